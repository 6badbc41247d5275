/**
 * Stamped writes and verifying reads on a Multipath host, several at a time. A write that was lost on
 * a path and sent again on another may still be parked on its way, in or behind what stopped. So its
 * slot is written once more, with a later stamp, and then left alone until `settle`: the parked one,
 * should it ever land, stays to be seen.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { stampedBlocks, stampsOfBlocks } from './initiator.ts'
import { Multipath, type MultipathOptions } from './multipath.ts'
import { read10, write10 } from './raw-initiator.ts'

const slotBlocks = 16
const blockBytes = 512
/** Between commands, so that a long run leaves the machine to what it is about. */
const restMs = 5

export interface MultipathWriterOptions extends MultipathOptions {
  /** First block of the range that this writer alone writes. */
  readonly lba: number
  readonly lanes: number
  readonly slotsPerLane: number
}

export class MultipathWriter {
  readonly host: Multipath
  readonly #options: MultipathWriterOptions
  /** Stamp of the last acknowledged write of each slot; 0 where there was none. */
  readonly #acknowledged: number[]
  /** Slots that are left alone. */
  readonly #guarded = new Set<number>()
  readonly latenciesMs: number[] = []
  /** Of commands that found their path dead, or became lost on it: from when that was known. */
  readonly afterMoveMs: number[] = []
  readonly errors: string[] = []
  readonly stale: string[] = []
  acknowledgedWrites = 0
  #stamp = 0
  #stopping = false
  #loops: Promise<void>[] = []

  constructor(options: MultipathWriterOptions) {
    this.#options = options
    this.host = new Multipath(options)
    const { lanes, slotsPerLane } = options
    this.#acknowledged = Array.from({ length: lanes * slotsPerLane }, () => 0)
  }

  start(): void {
    this.#loops = Array.from({ length: this.#options.lanes }, (_, lane) => this.#run(lane))
  }

  async stop(): Promise<void> {
    this.#stopping = true
    await Promise.all(this.#loops)
  }

  /** All is well again: what was left alone has still its last stamp. Resolves with how many. */
  async settle(): Promise<number> {
    const guarded = [...this.#guarded]
    for (const slot of guarded) await this.#readBack(slot, 'after a move')
    this.#guarded.clear()
    return guarded.length
  }

  /** Reads every slot back; those that do not hold their last acknowledged write. */
  async verify(): Promise<number[]> {
    const wrong: number[] = []
    for (const slot of this.#acknowledged.keys()) {
      if (!(await this.#readBack(slot, 'in the end'))) wrong.push(slot)
    }
    return wrong
  }

  async close(): Promise<void> {
    this.host.close()
    await this.stop()
  }

  async #run(lane: number): Promise<void> {
    const { slotsPerLane } = this.#options
    const first = lane * slotsPerLane
    for (let turn = 0; !this.#stopping; turn++) {
      const slot = first + (turn % slotsPerLane)
      const other = first + ((turn + (slotsPerLane >> 1)) % slotsPerLane)
      // Both at once, so that whatever stands still has a write of each lane.
      const write = this.#guarded.has(slot) ? undefined : this.#write(slot)
      await Promise.all([write, this.#readBack(other, 'under load')])
      await sleep(restMs)
    }
  }

  async #write(slot: number): Promise<void> {
    let moved = true
    let parked = false
    for (let writes = 0; moved && writes < 2; writes++) {
      const stamp = ++this.#stamp
      const cdb = write10(this.#lba(slot), slotBlocks)
      const end = await this.#command({ cdb, dataOut: [stampedBlocks(slotBlocks, stamp)] })
      if (end.how !== 'good') return
      this.#acknowledged[slot] = stamp
      this.acknowledgedWrites++
      moved = end.resent
      parked ||= moved
    }
    if (parked) this.#guarded.add(slot)
  }

  /** Nobody writes the slot meanwhile: a lane waits for each of its commands. */
  async #readBack(slot: number, when: string): Promise<boolean> {
    const stamp = this.#acknowledged[slot] ?? 0
    if (stamp === 0) return true
    const dataInBytes = slotBlocks * blockBytes
    const { how, data } = await this.#command({
      cdb: read10(this.#lba(slot), slotBlocks),
      dataInBytes,
    })
    if (how !== 'good') return false
    // A slot that is read between rounds may have been written meanwhile.
    if (this.#acknowledged[slot] !== stamp) return true
    const found = stampsOfBlocks(data)
    const right = found.length === slotBlocks && found.every((each) => each === stamp)
    if (!right)
      this.stale.push(`slot ${slot} ${when}: stamp ${stamp}, found ${[...new Set(found)]}`)
    return right
  }

  async #command(command: Parameters<Multipath['run']>[0]) {
    const startedMs = performance.now()
    const end = await this.host.run(command)
    const endedMs = performance.now()
    if (end.how === 'closed') return end
    this.latenciesMs.push(endedMs - startedMs)
    if (end.movedAtMs !== undefined) this.afterMoveMs.push(endedMs - end.movedAtMs)
    if (end.how !== 'good') this.errors.push(`${command.cdb.toString('hex')}: ${end.how}`)
    return end
  }

  #lba(slot: number): number {
    return this.#options.lba + slot * slotBlocks
  }
}
