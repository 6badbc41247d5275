/**
 * From this server to one partner: at most one session with its replication target, over whichever
 * of its portals answers first, logged in anew whenever it ends (design: no ghosts). The login of
 * a session ends the former one there before it is answered, for name and ISID are the same and the
 * login number grows: what was lost with a session can have no effect any more once the next stands.
 * It says whether the partner is heard of. It decides nothing about replicas.
 */
import { mirror as limits } from '../../src/base/limits.ts'
import type { Leg } from '../../src/leg/leg.ts'
import type { LegCommand } from '../../src/leg/leg-command.ts'
import type { LoginNumbers } from '../../src/leg/login-numbers.ts'
import { openLeg, probe } from '../../src/leg/open-leg.ts'
import { ProbeRace } from '../../src/leg/probe-race.ts'
import { anyOf, Signal } from '../../src/leg/signal.ts'
import type { Cancel, Clock } from '../../src/ports/clock.ts'
import type { Log } from '../../src/ports/log.ts'
import type { Network } from '../../src/ports/network.ts'
import { replicationIqn } from '../../src/volume/names.ts'
import type { Leases } from './leases.ts'
import { PartnerSession, type SentCommand } from './partner-session.ts'
import type { RunningTime } from './running-time.ts'

/** The same in every server: random format (RFC 7143 11.12.5), "PAL". One kind of session, one ISID. */
const replicationIsid = Buffer.from([0x80, 0x50, 0x41, 0x4c, 0x00, 0x02])

export interface PartnerLinkPorts {
  readonly network: Network
  readonly clock: Clock
  readonly log: Log
  /** Of this server. */
  readonly initiatorName: string
  readonly numbers: LoginNumbers
  readonly leases: Leases
  readonly running: RunningTime
}

/** As maps name it. */
export interface PartnerServer {
  readonly server: string
  readonly portals: readonly string[]
}

export class PartnerLink {
  readonly serverId: string
  /** Notified when `up`, `silent` or what the partner confirms may have changed. */
  readonly changed = new Signal()
  readonly #ports: PartnerLinkPorts
  readonly #poked = new Signal()
  #server: PartnerServer | undefined
  #session: PartnerSession | undefined
  #recovering = false
  /** Before the next try; 0 after a session on which the partner was heard. */
  #delayMs = 0
  #heardAtMs: number
  #wasSilent = false
  #incarnation = ''
  #cancelLook: Cancel | undefined

  constructor(ports: PartnerLinkPorts, serverId: string) {
    this.serverId = serverId
    this.#ports = ports
    this.#heardAtMs = ports.running.nowMs()
  }

  /** A session stands. */
  get up(): boolean {
    return this.#session?.open === true
  }

  /** It answered no heartbeat for so long that it must be taken for unusable. */
  get silent(): boolean {
    return this.#ports.running.nowMs() - this.#heardAtMs >= limits.suspectedMs
  }

  /** Of the partner's store, as it last said; empty: it never did, or the store is not open. */
  get incarnation(): string {
    return this.#incarnation
  }

  /** See `PartnerSession.immediateBytes`. */
  get immediateBytes(): number {
    return this.#session?.immediateBytes ?? 0
  }

  /** Brings a session up and keeps one up until `rest`. */
  connect(server: PartnerServer): void {
    if (this.#server === undefined) {
      this.#heardAtMs = this.#ports.running.nowMs()
      this.#cancelLook = this.#nextLook()
    }
    this.#server = server
    this.#poked.notify()
    if (this.#recovering || this.#session !== undefined) return
    this.#recovering = true
    void this.#recover()
  }

  /** Nobody needs the partner now. What is under way is lost. */
  rest(): void {
    this.#server = undefined
    this.#cancelLook?.()
    this.#poked.notify()
    this.abandon()
  }

  /** Ends the session, if there is one; another is opened in its place. */
  abandon(): void {
    this.#session?.close()
  }

  /** Undefined: there is no session. */
  submit(command: LegCommand): SentCommand | undefined {
    return this.up ? this.#session?.submit(command) : undefined
  }

  /** Somebody waits for what the partner confirms. */
  hurry(): void {
    this.#session?.hurry()
  }

  async #recover(): Promise<void> {
    const { clock } = this.#ports
    while (this.#server !== undefined && this.#session === undefined) {
      if (this.#delayMs > 0) await anyOf([this.#poked], { clock, ms: this.#delayMs })
      const longer = Math.max(limits.reconnectFirstMs, this.#delayMs * 2)
      this.#delayMs = Math.min(longer, limits.reconnectLongestMs)
      if (this.#server !== undefined) await this.#connectOnce(this.#server)
    }
    this.#recovering = false
  }

  /** One login at a time, at the portals in the order in which they answer. */
  async #connectOnce({ server, portals }: PartnerServer): Promise<void> {
    const ways = portals.map((portal) => ({ route: 'direct', portal }) as const)
    const race = new ProbeRace(this.#ports.clock, ways, ({ portal }) => this.#probe(portal))
    while (this.#server !== undefined && this.#session === undefined) {
      const way = await race.next()
      if (way === undefined) return
      const leg = await this.#login(server, way.portal)
      if (leg !== undefined) this.#adopt(leg, way.portal)
    }
  }

  #probe(address: string): Promise<boolean> {
    const { network, clock, initiatorName } = this.#ports
    const deadlineMs = limits.probeDeadlineMs
    return probe({ network, clock, address, initiatorName, isid: replicationIsid, deadlineMs })
  }

  async #login(server: string, address: string): Promise<Leg | undefined> {
    const { network, clock, initiatorName, numbers, log } = this.#ports
    // A server that knows a higher number says which; the second try goes above it.
    for (const attempt of [1, 2]) {
      const outcome = await openLeg({
        network,
        clock,
        address,
        initiatorName,
        isid: replicationIsid,
        targetName: replicationIqn(server),
        fenced: { loginNumber: numbers.next() },
      })
      if (outcome.kind === 'open') return outcome.leg
      log.info('partner login failed', { server, portal: address, attempt, cause: outcome.cause })
      if (outcome.kind === 'failed' || outcome.knownLoginNumber === undefined) return undefined
      numbers.seen(outcome.knownLoginNumber)
    }
    return undefined
  }

  #adopt(leg: Leg, portal: string): void {
    const { clock, running, leases, log } = this.#ports
    const { serverId } = this
    if (this.#server === undefined) {
      leg.close()
      return
    }
    const { server } = this.#server
    const session = new PartnerSession({
      ...{ leg, clock, running, leases, serverId },
      beaten: (incarnation) => this.#beaten(incarnation),
      misled: () => log.error('a heartbeat was answered with nonsense', { server, portal }),
    })
    this.#session = session
    log.info('partner up', { server, portal })
    void leg.ended.then((cause) => this.#ended(session, { server, portal, cause }))
    this.changed.notify()
  }

  #beaten(incarnation: string): void {
    this.#heardAtMs = this.#ports.running.nowMs()
    this.#delayMs = 0
    this.#incarnation = incarnation
    this.#wasSilent = false
    this.changed.notify()
  }

  #ended(session: PartnerSession, fields: Readonly<Record<string, unknown>>): void {
    if (this.#session !== session) return
    this.#session = undefined
    this.#ports.log.warn('partner session ended', fields)
    if (this.#server !== undefined) this.connect(this.#server)
    this.changed.notify()
  }

  /** Tells in time that the partner fell silent: nothing else happens then. */
  #nextLook(): Cancel {
    return this.#ports.clock.after(limits.heartbeatMs / 4, () => {
      this.#cancelLook = this.#nextLook()
      if (this.silent === this.#wasSilent) return
      this.#wasSilent = this.silent
      this.changed.notify()
    })
  }
}
