/**
 * One session with a partner's replication target, from its login to its end: commands, and
 * heartbeats as long as it stands (design: leases). It gives itself up when nothing is heard, sooner
 * than the partner would be suspected, so that another portal may be tried first. It owns the leg.
 */
import { mirror as limits } from '../../src/base/limits.ts'
import type { Leg } from '../../src/leg/leg.ts'
import type { LegAnswer, LegCommand } from '../../src/leg/leg-command.ts'
import { anyOf, Signal } from '../../src/leg/signal.ts'
import type { Cancel, Clock } from '../../src/ports/clock.ts'
import { Status } from '../../src/scsi/result.ts'
import type { Generation } from '../../src/volume/generation.ts'
import type { Leases } from './leases.ts'
import { heartbeat } from './replication-cdb.ts'
import { decodeHeartbeat, type Heartbeat, heartbeatBytes } from './replication-data.ts'
import type { RunningTime } from './running-time.ts'

export interface PartnerSessionOptions {
  readonly leg: Leg
  readonly clock: Clock
  readonly running: RunningTime
  readonly leases: Leases
  readonly serverId: string
  /** It answered a heartbeat. */
  readonly beaten: (incarnation: string) => void
  /** It answered one in a way that makes no sense. */
  readonly misled: () => void
}

export interface SentCommand {
  readonly answer: Promise<LegAnswer>
  /** Boot time, from before it was sent. */
  readonly sentAtMs: number
}

const lookMs = limits.sessionSilenceMs / 8

export class PartnerSession {
  readonly #options: PartnerSessionOptions
  readonly #wake = new Signal()
  #heardAtMs: number
  #hurried = false
  #cancelLook: Cancel

  constructor(options: PartnerSessionOptions) {
    this.#options = options
    this.#heardAtMs = options.running.nowMs()
    this.#cancelLook = this.#nextLook()
    void options.leg.ended.then(() => {
      this.#cancelLook()
      this.#wake.notify()
    })
    void this.#beatWhileOpen()
  }

  get open(): boolean {
    return this.#options.leg.open
  }

  /** What goes with a command at most, and so keeps its place among the commands. */
  get immediateBytes(): number {
    const { immediateData, firstBurstBytes, targetMaxRecvDataSegmentBytes } =
      this.#options.leg.parameters
    return immediateData ? Math.min(firstBurstBytes, targetMaxRecvDataSegmentBytes) : 0
  }

  submit(command: LegCommand): SentCommand {
    const { leases, leg } = this.#options
    // Read before it is sent, wherever it waits meanwhile: a lease counts from here.
    const sentAtMs = leases.sendingAtMs()
    const answer = leg.submit(command).answer.then((given) => {
      if (given.kind === 'status') this.#heardAtMs = this.#options.running.nowMs()
      return given
    })
    return { sentAtMs, answer }
  }

  /** The next heartbeat goes out as soon as one may follow the last. */
  hurry(): void {
    if (this.#hurried) return
    this.#hurried = true
    this.#wake.notify()
  }

  /** Ends it; what is under way is lost. */
  close(): void {
    this.#options.leg.close()
  }

  async #beatWhileOpen(): Promise<void> {
    while (this.open) {
      this.#hurried = false
      const begunMs = this.#options.clock.nowMs()
      await this.#beat()
      await this.#untilDue(begunMs)
    }
  }

  async #beat(): Promise<void> {
    const { leases, serverId, beaten } = this.#options
    const sentAtMs = leases.sendingAtMs()
    const named = new Map<number, Generation>()
    let incarnation = ''
    for (let next: number | undefined = 0; next !== undefined; ) {
      const beat = await this.#ask(next)
      if (beat === undefined) return
      incarnation = beat.incarnation
      for (const { number, generation } of beat.confirmed) named.set(number, generation)
      next = beat.more ? beat.confirmed.at(-1)!.number + 1 : undefined
    }
    leases.beaten(serverId, named, sentAtMs)
    beaten(incarnation)
  }

  async #ask(startingNumber: number): Promise<Heartbeat | undefined> {
    const cdb = heartbeat.build({ startingNumber, allocationLength: heartbeatBytes })
    // Immediate: the disk there may be slow and the window full of writes, and it lives all the same.
    const command = { lun: 0, cdb, dataInBytes: heartbeatBytes, immediate: true }
    const answer = await this.submit(command).answer
    if (answer.kind !== 'status') return undefined
    const isGood = answer.status === Status.GOOD
    const beat = isGood ? decodeHeartbeat(Buffer.concat(answer.dataIn)) : undefined
    const goesOn = beat?.more !== true || beat.confirmed[0]!.number >= startingNumber
    if (beat !== undefined && goesOn) return beat
    this.#options.misled()
    this.close()
    return undefined
  }

  /** Until the time for the next heartbeat, which may come nearer meanwhile. */
  async #untilDue(sinceMs: number): Promise<void> {
    const { clock } = this.#options
    while (this.open) {
      const apartMs = this.#hurried ? limits.hurriedHeartbeatMs : limits.heartbeatMs
      const leftMs = sinceMs + apartMs - clock.nowMs()
      if (leftMs <= 0) return
      await anyOf([this.#wake], { clock, ms: leftMs })
    }
  }

  #nextLook(): Cancel {
    return this.#options.clock.after(lookMs, () => {
      this.#cancelLook = this.#nextLook()
      const silentMs = this.#options.running.nowMs() - this.#heardAtMs
      if (silentMs >= limits.sessionSilenceMs) this.close()
    })
  }
}
