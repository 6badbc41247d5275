/**
 * Compares all in-sync copies of a segment while clients go on, piece by piece under a shared range
 * lock, at no more than the limit; with `repair` the primary's content is written over what differs.
 * It may be stopped, and begun again where it was. A difference that it finds is a fault: of a disk,
 * or of this program.
 */
import { StorageError, toError } from '../../src/base/errors.ts'
import { mirror } from '../../src/base/limits.ts'
import type { Log } from '../../src/ports/log.ts'
import type { BlockExtent } from '../../src/scsi/logical-unit.ts'
import { allocatedBytes, type ContentStore } from './digests.ts'
import { JobLocks } from './job-locks.ts'
import { type Partner, PartnerFailure } from './partner.ts'
import type { RangeLocks } from './range-locks.ts'
import type { RegionCopy } from './region-copy.ts'
import type { Regions } from './regions.ts'
import { costBytes, type Throttle } from './throttle.ts'

export interface VerificationOptions {
  /** Every other in-sync replica. */
  readonly partners: readonly Partner[]
  /** This server's own replica. */
  readonly store: ContentStore
  readonly regions: Regions
  readonly copy: RegionCopy
  readonly locks: RangeLocks
  readonly throttle: Throttle
  readonly log: Log
  readonly repair: boolean
  /** Where a former one ended: `nextRegion`. */
  readonly firstRegion?: number
  /** Regions that may differ legally are compared first (Comparison.ensure). */
  readonly ensure?: (firstRegion: number, endRegion: number) => Promise<void> | undefined
}

export type VerificationState = 'running' | 'done' | 'stopped' | 'failed'

export interface VerificationProgress {
  readonly state: VerificationState
  /** Why it failed. */
  readonly why: string | undefined
  readonly totalRegions: number
  /** All before this one were compared. */
  readonly nextRegion: number
  /** Of the replica, holes included. */
  readonly comparedBytes: number
  readonly differingPages: number
  readonly repairedPages: number
  /** The first of them. */
  readonly differences: readonly Difference[]
}

export interface Difference extends BlockExtent {
  readonly serverId: string
}

export class Verification {
  /** Resolves when it is not running any more. */
  readonly ended: Promise<void>
  readonly #options: VerificationOptions
  readonly #locks: JobLocks
  #state: VerificationState = 'running'
  #why: string | undefined
  #nextRegion: number
  #comparedBytes = 0
  #differingPages = 0
  #repairedPages = 0
  readonly #differences: Difference[] = []

  /** Begins at once. */
  constructor(options: VerificationOptions) {
    this.#options = options
    this.#locks = new JobLocks(options.locks)
    this.#nextRegion = options.firstRegion ?? 0
    this.ended = this.#run()
  }

  get progress(): VerificationProgress {
    return {
      state: this.#state,
      why: this.#why,
      totalRegions: this.#options.regions.count,
      nextRegion: this.#nextRegion,
      comparedBytes: this.#comparedBytes,
      differingPages: this.#differingPages,
      repairedPages: this.#repairedPages,
      differences: this.#differences,
    }
  }

  stop(): void {
    if (this.#state === 'running') this.#state = 'stopped'
    this.#locks.end()
  }

  async #run(): Promise<void> {
    const { regions, log } = this.#options
    try {
      while (this.#state === 'running' && this.#nextRegion < regions.count) {
        await this.#verify(this.#nextRegion)
        if (this.#state === 'running') this.#nextRegion++
      }
      if (this.#state === 'running') this.#state = 'done'
    } catch (error) {
      if (!(error instanceof PartnerFailure || error instanceof StorageError)) throw error
      if (this.#state !== 'running') return
      this.#state = 'failed'
      this.#why = toError(error).message
    }
    log.info('copies verified', { ...this.progress })
  }

  async #verify(region: number): Promise<void> {
    const { regions, throttle, ensure } = this.#options
    await ensure?.(region, region + 1)
    for (const piece of regions.pieces(region)) {
      for (let wait = throttle.wait(); wait !== undefined; wait = throttle.wait()) {
        await wait
        if (this.#state !== 'running') return
      }
      const differs = await this.#compare(piece)
      if (this.#state !== 'running') return
      if (differs && this.#options.repair) await this.#repair(piece)
    }
    this.#comparedBytes += regions.bytes(region)
  }

  /** Reads go on meanwhile; writes to the piece wait. */
  async #compare(piece: BlockExtent): Promise<boolean> {
    const { partners, copy, store, throttle } = this.#options
    const release = await this.#locks.shared(piece)
    if (release === undefined) return false
    try {
      const spend = throttle.begin()
      const differences = await copy.differences(partners, piece)
      spend(costBytes({ read: allocatedBytes(store, piece), sent: 0 }))
      for (const [i, runs] of differences.entries()) this.#note(partners[i]!, runs)
      return differences.some((runs) => runs.length > 0)
    } finally {
      release()
    }
  }

  async #repair(piece: BlockExtent): Promise<void> {
    const { partners, copy } = this.#options
    const release = await this.#locks.exclusive(piece)
    if (release === undefined) return
    try {
      for (const { pages } of await copy.copy(partners, piece)) this.#repairedPages += pages
    } finally {
      release()
    }
  }

  #note(partner: Partner, runs: readonly BlockExtent[]): void {
    const { serverId } = partner
    for (const run of runs) {
      this.#differingPages += this.#options.regions.pages(run)
      if (this.#differences.length >= mirror.namedDifferences) continue
      this.#options.log.error('copies differ', { serverId, ...run })
      this.#differences.push({ serverId, ...run })
    }
  }
}
