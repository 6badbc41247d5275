/**
 * A stock initiator's session with a volume at a front end: it logs in, and again whenever its
 * session was lost, as often as it takes. Commands wait for as long as the initiator's patience;
 * then it breaks the session off, as Linux does. What it answers to a NOP-In is the leg's affair.
 */
import { toError } from '../../../src/base/errors.ts'
import { leg as legLimits } from '../../../src/base/limits.ts'
import type { Leg } from '../../../src/leg/leg.ts'
import type { LegAnswer } from '../../../src/leg/leg-command.ts'
import { openLeg } from '../../../src/leg/open-leg.ts'
import type { Clock } from '../../../src/ports/clock.ts'
import type { Network } from '../../../src/ports/network.ts'
import { volumeIqn } from '../../../src/volume/names.ts'

export interface FrontSessionOptions {
  readonly network: Network
  readonly clock: Clock
  readonly initiatorName: string
  readonly isid: number
  /** Another ISID for each session. */
  readonly newIsids: boolean
  readonly volume: string
  /** Tried one after the other. */
  readonly portals: readonly string[]
  readonly patienceMs: number
  /** When its patience is over: first asks for the command to be aborted. */
  readonly aborts: boolean
  /** Finds out by pings of its own that the front end is gone; otherwise by its patience alone. */
  readonly pings: boolean
  readonly note: (text: string) => void
}

export interface Request {
  readonly cdb: Buffer
  readonly dataOut?: readonly Buffer[]
  readonly dataInBytes?: number
}

/** How an initiator reaches its volume, by one path or by several. */
export interface Attachment {
  /** Resolves when commands can be sent. */
  ready(): Promise<void>
  /** Sends the command once. */
  submit(request: Request): Promise<LegAnswer>
  /** Resolves when what was lost before can have no effect any more. */
  settled(): Promise<void>
}

const retryMs = 250
/** An abort is to be answered within 10 s. */
const abortMs = 12_000

export class FrontSession implements Attachment {
  readonly #options: FrontSessionOptions
  #leg: Leg | undefined
  #connecting: Promise<void> | undefined
  #attempts = 0
  #stopped = false
  /** Where a front end has sent it. */
  #elsewhere: string | undefined
  /** Where its session is. */
  address = ''
  /** Sessions so far. */
  logins = 0

  constructor(options: FrontSessionOptions) {
    this.#options = options
  }

  get connected(): boolean {
    return this.#leg?.open === true
  }

  stop(): void {
    this.#stopped = true
    this.#leg?.close()
  }

  /** Resolves when there is a session. */
  async ready(): Promise<void> {
    while (!this.connected && !this.#stopped) {
      this.#connecting ??= this.#connect().finally(() => {
        this.#connecting = undefined
      })
      await this.#connecting
    }
  }

  /** The login that is answered ends whatever was left of the session before. */
  settled(): Promise<void> {
    return this.ready()
  }

  /** Sends the command once, in a session that stands now. */
  async submit({ cdb, dataOut, dataInBytes }: Request): Promise<LegAnswer> {
    const leg = this.#leg
    if (leg === undefined) return { kind: 'lost', sent: false }
    const task = leg.submit({ lun: 0, cdb, dataOut, dataInBytes })
    const { clock, patienceMs, aborts, note } = this.#options
    const giveUp = (): void => {
      note('its patience is over')
      leg.close()
    }
    let cancel = clock.after(patienceMs, () => {
      if (!aborts) {
        giveUp()
        return
      }
      note('asks for an abort')
      task.abort()
      cancel = clock.after(abortMs, giveUp)
    })
    const answer = await task.answer
    cancel()
    return answer
  }

  async #connect(): Promise<void> {
    const { network, initiatorName, volume, portals, clock, note } = this.#options
    const address = this.#elsewhere ?? portals[this.#attempts++ % portals.length]!
    this.#elsewhere = undefined
    const opening = await openLeg({
      network,
      clock: this.#legClock,
      address,
      initiatorName,
      isid: this.#isid,
      targetName: volumeIqn(volume),
    }).catch((error: unknown) => ({ kind: 'failed' as const, cause: toError(error).message }))
    if (opening.kind === 'open') {
      this.#leg = opening.leg
      this.address = address
      this.logins++
      note('logged in')
      return
    }
    note(`no session: ${opening.cause}`)
    if (opening.kind === 'refused' && opening.elsewhere !== undefined) {
      note(`sent to ${opening.elsewhere}`)
      this.#elsewhere = opening.elsewhere
      return
    }
    await new Promise<void>((resolve) => void clock.after(retryMs, resolve))
  }

  get #isid(): Buffer {
    const { isid, newIsids } = this.#options
    const bytes = Buffer.from([0x80, 0, 0, 0, 0, isid])
    if (newIsids) bytes.writeUInt16BE(this.#attempts, 3)
    return bytes
  }

  /** Without pings of its own it still gives up a login that is not answered. */
  get #legClock(): Clock {
    const { clock, pings } = this.#options
    if (pings) return clock
    return {
      ...clock,
      after: (ms, run) => (ms === legLimits.pulseTickMs ? () => undefined : clock.after(ms, run)),
    }
  }
}
