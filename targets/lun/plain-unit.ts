/**
 * A logical unit that is nothing but a store: no generation, no map. For the standalone target.
 */

import type { TokenStore } from '../../src/scsi/copy/token-store.ts'
import type {
  AllocationRun,
  BlockExtent,
  LogicalUnit,
  Task,
  UnitFacts,
  UnitSpace,
  WriteOptions,
} from '../../src/scsi/logical-unit.ts'
import { good, isGood, type ScsiResult } from '../../src/scsi/result.ts'
import type { UnitSettings } from '../../src/scsi/unit-settings.ts'
import { unitFacts } from '../../src/volume/unit-facts.ts'
import type { ReplicaStore } from '../store/replica-store.ts'
import { storeFailure } from './store-failure.ts'
import {
  type CompareAndWrite,
  compareAndWrite,
  mapping,
  orWrite,
  writeAtomic,
} from './store-updates.ts'

const done = good()

export interface PlainUnitOptions {
  /** A UUID that stays with the data, the source of the designators. */
  readonly identity: string
  readonly settings: UnitSettings
  readonly tokens?: TokenStore
  readonly readOnly?: boolean
  readonly removable?: boolean
}

export class PlainUnit implements LogicalUnit {
  readonly facts: UnitFacts
  readonly settings: UnitSettings
  readonly tokens?: TokenStore
  readonly space?: UnitSpace
  readonly #store: ReplicaStore
  readonly #answerRead: (data: Buffer[]) => ScsiResult

  constructor(store: ReplicaStore, options: PlainUnitOptions) {
    const { identity, settings, tokens, ...given } = options
    this.settings = settings
    if (tokens !== undefined) this.tokens = tokens
    if (store.space !== undefined) this.space = store.space
    this.#store = store
    this.#answerRead =
      store.release === undefined ? good : (data) => good(data, () => store.release?.(data))
    const { blocks, blockBytes, thin, atomicBlocks } = store
    this.facts = unitFacts(identity, { blocks, blockBytes, thin, atomicBlocks, ...given })
  }

  // Reads and writes chain one promise each: they are the path that is measured.
  read(_task: Task, lba: number, blocks: number): Promise<ScsiResult> {
    return this.#store.read(lba, blocks).then(this.#answerRead, readFailure)
  }

  write(
    _task: Task,
    lba: number,
    data: readonly Buffer[],
    options: WriteOptions,
  ): Promise<ScsiResult> {
    const written = this.#store.write(lba, data)
    const durable = options.forceUnitAccess ? written.then(() => this.#store.flush()) : written
    return durable.then(answerGood, writeFailure)
  }

  compareAndWrite(
    _task: Task,
    lba: number,
    data: CompareAndWrite,
    options: WriteOptions,
  ): Promise<ScsiResult> {
    return this.#change(options, () => compareAndWrite(this.#store, lba, data))
  }

  orWrite(
    _task: Task,
    lba: number,
    data: readonly Buffer[],
    options: WriteOptions,
  ): Promise<ScsiResult> {
    return this.#change(options, () => orWrite(this.#store, lba, data))
  }

  writeAtomic(
    _task: Task,
    lba: number,
    data: readonly Buffer[],
    options: WriteOptions,
  ): Promise<ScsiResult> {
    return this.#change(options, () => writeAtomic(this.#store, lba, data))
  }

  async mapping(
    _task: Task,
    range: BlockExtent,
    runs: number,
  ): Promise<readonly AllocationRun[] | ScsiResult> {
    try {
      return mapping(this.#store, range, runs)
    } catch (error) {
      return storeFailure(error, 'read')
    }
  }

  async #change(options: WriteOptions, run: () => Promise<ScsiResult>): Promise<ScsiResult> {
    try {
      const result = await run()
      if (options.forceUnitAccess && isGood(result)) await this.#store.flush()
      return result
    } catch (error) {
      return storeFailure(error, 'write')
    }
  }

  async unmap(_task: Task, extents: readonly BlockExtent[]): Promise<ScsiResult> {
    try {
      for (const { lba, blocks } of extents) await this.#store.unmap(lba, blocks)
      return done
    } catch (error) {
      return storeFailure(error, 'write')
    }
  }

  flush(): Promise<ScsiResult> {
    return this.#store.flush().then(answerGood, writeFailure)
  }
}

const answerGood = (): ScsiResult => done
const readFailure = (error: unknown): ScsiResult => storeFailure(error, 'read')
const writeFailure = (error: unknown): ScsiResult => storeFailure(error, 'write')
