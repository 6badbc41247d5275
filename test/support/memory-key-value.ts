/** A KeyValue in memory: what a transaction put is durable when it resolves, and never before. */
import type { KeyValue, KeyValueEntry, Transaction } from '../../src/ports/key-value.ts'
import type { FaultPlan } from './fault-plan.ts'

export class MemoryKeyValue implements KeyValue {
  readonly #entries: Map<string, Buffer>
  readonly #faults: FaultPlan | undefined

  /** `faults` counts each transaction as one operation of the disk. */
  constructor(faults?: FaultPlan, entries: ReadonlyMap<string, Buffer> = new Map()) {
    this.#faults = faults
    this.#entries = new Map(entries)
  }

  async get(key: string): Promise<Buffer | undefined> {
    const value = this.#entries.get(key)
    return value && Buffer.from(value)
  }

  async range(prefix: string): Promise<KeyValueEntry[]> {
    const keys = [...this.#entries.keys()].filter((key) => key.startsWith(prefix)).sort()
    return keys.map((key) => ({ key, value: Buffer.from(this.#entries.get(key)!) }))
  }

  async transact(transaction: Transaction): Promise<boolean> {
    const { require = [], put = [], remove = [] } = transaction
    await this.#faults?.before('transact')
    this.#faults?.mustHaveRoom('the key-value store')
    for (const { key, value } of require) {
      const held = this.#entries.get(key)
      const same = value === undefined ? held === undefined : held?.equals(value) === true
      if (!same) return false
    }
    for (const { key, value } of put) this.#entries.set(key, Buffer.from(value))
    for (const key of remove) this.#entries.delete(key)
    await this.#faults?.after()
    return true
  }

  async close(): Promise<void> {
    await Promise.resolve()
  }

  /** What is there after the machine died: the same, in an object of its own. */
  survivor(faults?: FaultPlan): MemoryKeyValue {
    return new MemoryKeyValue(faults, this.#entries)
  }
}
