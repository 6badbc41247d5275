/**
 * Persistent reservations against a simple model, for random histories of four initiators: every
 * status, the keys, the holder, PRGENERATION and, after each step, who may read and who may write.
 * The model is written from SPC-4 5.12 alone and keeps what the product keeps in another shape.
 */
import fc from 'fast-check'
import t from 'tap'
import { DeviceServer } from '../../src/scsi/device-server.ts'
import type { Task } from '../../src/scsi/logical-unit.ts'
import { MemoryUnitSettings } from '../../src/scsi/memory-unit-settings.ts'
import { MemoryUnit, testNexus, testTask } from '../support/memory-unit.ts'
import {
  Action,
  inCdb,
  outCdb,
  outList,
  parseKeys,
  parseReservation,
  release6,
  reserve6,
} from '../support/reservation-commands.ts'
import { describe, hex } from '../support/scsi-rig.ts'

const types = [1, 3, 5, 6, 7, 8] as const
const initiators = ['a', 'b', 'c', 'd'] as const
type Name = (typeof initiators)[number]

interface Step {
  readonly who: Name
  readonly action: number
  readonly key: number
  readonly serviceActionKey: number
  readonly type: number
}

const RESERVE_6 = 100
const RELEASE_6 = 101
const unregisteredKey = 0
const conflict = '18'

/** Who has which key, who holds what: the standard's sentences, one after the other. */
class Model {
  readonly keys = new Map<Name, number>()
  type = 0
  /** Of types that have one. */
  holder: Name | undefined
  reserved: Name | undefined
  generation = 0

  get shared(): boolean {
    return this.type >= 5
  }

  get ofAll(): boolean {
    return this.type >= 7
  }

  isHolder(who: Name): boolean {
    if (this.type === 0) return false
    return this.ofAll ? this.keys.has(who) : this.holder === who
  }

  may(who: Name, access: 'read' | 'write'): boolean {
    if (this.reserved !== undefined) return this.reserved === who
    if (this.type === 0 || this.isHolder(who)) return true
    if (this.shared && this.keys.has(who)) return true
    return access === 'read' && ![3, 6, 8].includes(this.type)
  }

  step(step: Step): string {
    const { who, action } = step
    if (action === RESERVE_6 || action === RELEASE_6) return this.#simple(who, action)
    if (this.reserved !== undefined) return conflict
    if (action === Action.REGISTER || action === Action.REGISTER_AND_IGNORE) {
      return this.#register(step)
    }
    if (!this.keys.has(who) || this.keys.get(who) !== step.key) return conflict
    if (action === Action.RESERVE) return this.#reserve(step)
    if (action === Action.RELEASE) return this.#release(step)
    if (action === Action.CLEAR) return this.#clear()
    return this.#preempt(step)
  }

  #simple(who: Name, action: number): string {
    if (this.keys.size > 0) {
      const exempt = this.isHolder(who) || (this.shared && this.keys.has(who))
      return exempt ? 'GOOD' : conflict
    }
    if (action === RELEASE_6) {
      if (this.reserved === who) this.reserved = undefined
      return 'GOOD'
    }
    if (this.reserved !== undefined && this.reserved !== who) return conflict
    this.reserved = who
    return 'GOOD'
  }

  #register({ who, action, key, serviceActionKey }: Step): string {
    const own = this.keys.get(who) ?? unregisteredKey
    if (action === Action.REGISTER && key !== own) return conflict
    if (own === unregisteredKey && serviceActionKey === 0) return 'GOOD'
    this.generation++
    if (serviceActionKey !== 0) {
      this.keys.set(who, serviceActionKey)
      return 'GOOD'
    }
    this.keys.delete(who)
    if (this.holder === who || (this.ofAll && this.keys.size === 0)) this.#free()
    return 'GOOD'
  }

  #free(): void {
    this.type = 0
    this.holder = undefined
  }

  #hold(who: Name, type: number): void {
    this.type = type
    this.holder = type >= 7 ? undefined : who
  }

  #reserve({ who, type }: Step): string {
    if (this.type === 0) this.#hold(who, type)
    else if (!this.isHolder(who) || this.type !== type) return conflict
    return 'GOOD'
  }

  #release({ who, type }: Step): string {
    if (!this.isHolder(who)) return 'GOOD'
    if (this.type !== type) return '05/26/04'
    this.#free()
    return 'GOOD'
  }

  #clear(): string {
    this.keys.clear()
    this.#free()
    this.generation++
    return 'GOOD'
  }

  #preempt({ who, type, serviceActionKey: theirs }: Step): string {
    if (theirs === 0 && !this.ofAll) return '05/26/00'
    const all = theirs === 0
    const ofHolder = this.holder !== undefined && this.keys.get(this.holder) === theirs
    if (all || ofHolder) {
      for (const [name, key] of [...this.keys]) {
        if (name !== who && (all || key === theirs)) this.keys.delete(name)
      }
      this.#hold(who, type)
      this.generation++
      return 'GOOD'
    }
    const gone = [...this.keys].filter(([, key]) => key === theirs)
    if (gone.length === 0) return conflict
    for (const [name] of gone) this.keys.delete(name)
    if (this.keys.size === 0) this.#free()
    this.generation++
    return 'GOOD'
  }
}

const step: fc.Arbitrary<Step> = fc.record({
  who: fc.constantFrom(...initiators),
  action: fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom(0, 6) },
    { weight: 3, arbitrary: fc.constantFrom(1, 4, 5) },
    { weight: 1, arbitrary: fc.constantFrom(2, 3, RESERVE_6, RELEASE_6) },
  ),
  key: fc.nat(3),
  serviceActionKey: fc.nat(3),
  type: fc.constantFrom(...types),
})

/** The product, driven by bytes. An observer of its own reads the state. */
class Product {
  readonly #server: DeviceServer<Task>
  readonly #nexuses = new Map(
    [...initiators, 'observer'].map((name) => [name, testNexus(`iqn.2026-11.test:${name}`)]),
  )

  constructor() {
    const unit = Object.assign(new MemoryUnit(), { settings: new MemoryUnitSettings() })
    this.#server = new DeviceServer<Task>({ luns: () => [0], unit: () => unit })
    for (const nexus of this.#nexuses.values()) this.#server.nexusGained(nexus)
  }

  async send(name: string, cdb: Buffer, data: readonly Buffer[] = []) {
    for (;;) {
      const task = testTask(this.#nexuses.get(name)!, cdb)
      const result = this.#server.arrive(task) ?? (await this.#server.execute(task, data))
      if (!describe(result).startsWith('06/')) return result
    }
  }

  async step({ who, action, key, serviceActionKey, type }: Step): Promise<string> {
    if (action === RESERVE_6) return describe(await this.send(who, reserve6))
    if (action === RELEASE_6) return describe(await this.send(who, release6))
    // The list that REGISTER AND IGNORE takes has a key that nobody looks at.
    const spec = { action, key, serviceActionKey, type }
    return describe(await this.send(who, outCdb(spec, 24), [outList(spec)]))
  }

  async in(action: number): Promise<Buffer> {
    const result = await this.send('observer', inCdb(action))
    if (result === 'drop' || result.status !== 0) throw new Error(describe(result))
    return Buffer.concat(result.dataIn)
  }
}

const read = hex('28000000000000000100')
const write = hex('2a000000000000000100')
const block = [Buffer.alloc(512)]

async function compare(model: Model, product: Product, where: string): Promise<void> {
  const expectSame = (what: string, found: unknown, expected: unknown): void => {
    const [one, other] = [JSON.stringify(found), JSON.stringify(expected)]
    if (one !== other) throw new Error(`${where}: ${what} is ${one}, should be ${other}`)
  }
  for (const name of initiators) {
    const mayRead = describe(await product.send(name, read)) === 'GOOD'
    const mayWrite = describe(await product.send(name, write, block)) === 'GOOD'
    expectSame(`${name} reads`, mayRead, model.may(name, 'read'))
    expectSame(`${name} writes`, mayWrite, model.may(name, 'write'))
  }
  // PERSISTENT RESERVE IN conflicts with a RESERVE.
  if (model.reserved !== undefined) return
  const { generation, keys } = parseKeys(await product.in(0))
  expectSame('PRGENERATION', generation, model.generation)
  expectSame('keys', keys.sort(), [...model.keys.values()].sort())
  const held = parseReservation(await product.in(1))
  expectSame('type', held?.type ?? 0, model.type)
  const holderKey = model.holder === undefined ? 0 : model.keys.get(model.holder)
  if (held !== undefined) expectSame('key of the holder', held.key, holderKey)
}

t.test('random histories', async (t) => {
  let good = 0
  let refused = 0
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 40 }), async (steps) => {
      const model = new Model()
      const product = new Product()
      for (const [i, each] of steps.entries()) {
        const expected = model.step(each)
        const found = await product.step(each)
        const where = `step ${i}, ${JSON.stringify(each)}`
        if (found !== expected) throw new Error(`${where}: ${found}, should be ${expected}`)
        if (found === 'GOOD') good++
        else refused++
        await compare(model, product, where)
      }
    }),
    { numRuns: 120 },
  )
  t.ok(good > 200 && refused > 200, `${good} steps carried out, ${refused} refused`)
})
