/**
 * A host with several paths to one disk, which keeps to what dm-multipath does over open-iscsi with
 * `prio alua`, `path_grouping_policy group_by_prio`, `no_path_retry queue`: a session for each path,
 * whose NOP-Outs find out that it hangs; TEST UNIT READY as the path checker; I/O on one path, the
 * others in standby; SET TARGET PORT GROUPS before another one is used; what was not answered on a
 * path is sent again on another as soon as its session was dropped here, whatever may still be on
 * its way to, in, or behind the far end. Only the session's timers are shorter than open-iscsi can
 * have them (a NOP-Out every 0.5 s, 1 s for its answer; not 1 s and 1 s).
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { nodeClock } from '../../src/adapters/node-clock.ts'
import type { Leg } from '../../src/leg/leg.ts'
import type { LegAnswer } from '../../src/leg/leg-command.ts'
import { openLeg } from '../../src/leg/open-leg.ts'
import { anyOf, Signal } from '../../src/leg/signal.ts'
import type { Network } from '../../src/ports/network.ts'
import { describe } from './initiator.ts'

/** `polling_interval 1`, `checker_timeout 3`. */
const checkMs = 1_000
const checkerTimeoutMs = 3_000
const reconnectMs = 500
const repeatMs = 50
/** As the SCSI midlayer does it before it says that the command failed. */
const abortedRetries = 5
const closed = { how: 'closed', data: Buffer.alloc(0) } as const
const testUnitReady = Buffer.alloc(6)
const standby = 'sense 2/4/b'
const isUnitAttention = (said: string): boolean => said.startsWith('sense 6/')
const isAborted = (said: string): boolean => said.startsWith('sense b/')
/** BUSY, TASK SET FULL and TASK ABORTED: the midlayer sends it again. SAM-5 5.3.1. */
const again: ReadonlySet<string> = new Set(['status 8', 'status 28', 'status 40'])

export interface MultipathOptions {
  readonly network: Network
  readonly initiatorName: string
  readonly targetName: string
  /** Where each path begins; the host is one initiator with a port for each. */
  readonly addresses: readonly string[]
}

interface Command {
  readonly cdb: Buffer
  readonly dataOut?: readonly Buffer[]
  readonly dataInBytes?: number
}

export interface MultipathEnd {
  /** `good`, or what it was. */
  readonly how: string
  readonly data: Buffer
  /** When the path was known to be dead on which it was, or would have been, sent first. */
  readonly movedAtMs: number | undefined
  /** It was lost on one path, where it may still be parked, and sent again on another. */
  readonly resent: boolean
}

/** What the checker finds: it may be used, it is in standby, it does not work. */
export type PathState = 'ready' | 'ghost' | 'down'

class Path {
  readonly address: string
  readonly #options: MultipathOptions
  readonly #isid: Buffer
  readonly #changed: Signal
  #leg: Leg | undefined
  #closed = false
  #group = 0
  state: PathState = 'down'

  constructor(options: MultipathOptions, index: number, changed: Signal) {
    this.address = options.addresses[index] ?? ''
    this.#options = options
    this.#isid = Buffer.from([0x80, 0, 0, 0x0d, 0x30, index])
    this.#changed = changed
    void this.#keep()
  }

  send(command: Command): Promise<LegAnswer> {
    const lost: LegAnswer = { kind: 'lost', sent: false }
    return this.#leg?.submit({ lun: 0, ...command }).answer ?? Promise.resolve(lost)
  }

  set(state: PathState): void {
    if (this.state === state) return
    this.state = state
    this.#changed.notify()
  }

  /** SET TARGET PORT GROUPS: active/optimized. SPC-4 6.45. */
  async activate(): Promise<string> {
    const list = Buffer.alloc(8)
    list.writeUInt16BE(this.#group, 6)
    const cdb = Buffer.from([0xa4, 0x0a, 0, 0, 0, 0, 0, 0, 0, list.length, 0, 0])
    const said = describe(await this.send({ cdb, dataOut: [list] }))
    if (said === 'good') this.set('ready')
    return said
  }

  close(): void {
    this.#closed = true
    this.#leg?.close()
    this.set('down')
  }

  /** A session, and another one whenever it breaks. */
  async #keep(): Promise<void> {
    const { network, initiatorName, targetName } = this.#options
    const session = { initiatorName, targetName, isid: this.#isid, address: this.address }
    while (!this.#closed) {
      const opening = await openLeg({ network, clock: nodeClock, ...session })
      if (opening.kind !== 'open') {
        await sleep(reconnectMs)
        continue
      }
      this.#leg = opening.leg
      if (this.#closed) opening.leg.close()
      const ended = opening.leg.ended.then(() => this.set('down'))
      await this.#learnGroup()
      while (opening.leg.open) {
        await this.#check(opening.leg)
        await Promise.race([ended, sleep(checkMs)])
      }
    }
  }

  async #check(leg: Leg): Promise<void> {
    // A checker that hangs takes the path out of use; so does the error handler its session.
    const cancel = nodeClock.after(checkerTimeoutMs, () => leg.close())
    let said = ''
    do said = describe(await this.send({ cdb: testUnitReady }))
    while (isUnitAttention(said))
    cancel()
    if (leg.open) this.set(said === 'good' ? 'ready' : said === standby ? 'ghost' : 'down')
  }

  /** The target port group in the device identification page. SPC-4 7.8.6. */
  async #learnGroup(): Promise<void> {
    const answer = await this.send({
      cdb: Buffer.from([0x12, 1, 0x83, 4, 0, 0]),
      dataInBytes: 1024,
    })
    if (answer.kind !== 'status' || answer.status !== 0) return
    const page = Buffer.concat(answer.dataIn)
    for (let at = 4; at + 8 <= page.length; at += 4 + page[at + 3]!) {
      if ((page[at + 1]! & 0xf) === 5) this.#group = page.readUInt16BE(at + 6)
    }
  }
}

export class Multipath {
  readonly #paths: readonly Path[]
  readonly #changed = new Signal()
  #current: Path
  #switching: Promise<void> | undefined
  #closed = false
  /** How often another path was taken. */
  moves = 0

  constructor(options: MultipathOptions) {
    this.#paths = options.addresses.map((_, i) => new Path(options, i, this.#changed))
    this.#current = this.#paths[0]!
  }

  /** Where the active path begins. */
  get address(): string {
    return this.#current.address
  }

  get states(): readonly PathState[] {
    return this.#paths.map(({ state }) => state)
  }

  /** Sends a command, on one path after the other, until it is answered. */
  async run(command: Command): Promise<MultipathEnd> {
    let movedAtMs: number | undefined
    let resent = false
    let aborts = 0
    for (;;) {
      if (this.#current.state === 'down') movedAtMs ??= performance.now()
      const path = await this.#usable()
      if (path === undefined) return { ...closed, movedAtMs, resent }
      const answer = await path.send(command)
      const how = describe(answer)
      if (answer.kind === 'lost') {
        movedAtMs ??= performance.now()
        resent = true
      } else if (how === standby) path.set('ghost')
      else if (isAborted(how) && ++aborts <= abortedRetries) continue
      else if (again.has(how)) await anyOf([this.#changed], { clock: nodeClock, ms: repeatMs })
      else if (!isUnitAttention(how)) {
        const data = answer.kind === 'status' ? Buffer.concat(answer.dataIn) : Buffer.alloc(0)
        return { how, data, movedAtMs, resent }
      }
    }
  }

  /** Resolves when every path works, one of them active. */
  async whole(deadlineMs: number): Promise<void> {
    const untilMs = performance.now() + deadlineMs
    for (;;) {
      const { states } = this
      if (this.#current.state === 'ready' && !states.includes('down')) return
      if (performance.now() > untilMs) throw new Error(`paths are ${states.join(' and ')}`)
      await anyOf([this.#changed], { clock: nodeClock, ms: repeatMs })
    }
  }

  close(): void {
    this.#closed = true
    for (const path of this.#paths) path.close()
    this.#changed.notify()
  }

  /** The path to use; undefined after `close`. */
  async #usable(): Promise<Path | undefined> {
    while (!this.#closed) {
      if (this.#current.state === 'ready') return this.#current
      this.#switching ??= this.#switch().finally(() => {
        this.#switching = undefined
      })
      await this.#switching
    }
    return undefined
  }

  /** Of the paths that work the best one; waits a moment where there is none. */
  async #switch(): Promise<void> {
    const ready = this.#paths.find(({ state }) => state === 'ready')
    const path = ready ?? this.#paths.find(({ state }) => state === 'ghost')
    if (path === undefined) {
      await anyOf([this.#changed], { clock: nodeClock, ms: repeatMs })
      return
    }
    const said = ready === undefined ? await path.activate() : 'good'
    if (said !== 'good') {
      if (!isUnitAttention(said)) await anyOf([this.#changed], { clock: nodeClock, ms: repeatMs })
      return
    }
    if (path !== this.#current) this.moves++
    this.#current = path
  }
}
