/**
 * The path from this front end to one server's share of one volume: at most one session (leg), over
 * a direct portal or over the management path, logged in anew whenever it breaks.
 *
 * No ghosts: what was sent on a session that is gone may still reach the server until the next
 * login was answered, because that login reinstates the session (same name and ISID, growing login
 * number) and ends the former one there. So the path is `up` again only after such an answer, and
 * `logins` counts them: a caller whose command was lost at login n sends it again only at n + 1 or
 * later. Nothing is queued here.
 */
import { assert } from '../../src/base/assert.ts'
import { shim } from '../../src/base/limits.ts'
import type { Leg } from '../../src/leg/leg.ts'
import type { LegCommand, LegTask } from '../../src/leg/leg-command.ts'
import type { LoginNumbers } from '../../src/leg/login-numbers.ts'
import { openLeg, probe } from '../../src/leg/open-leg.ts'
import { ProbeRace, type Way } from '../../src/leg/probe-race.ts'
import { anyOf, Signal } from '../../src/leg/signal.ts'
import type { Clock } from '../../src/ports/clock.ts'
import type { Log } from '../../src/ports/log.ts'
import type { Network } from '../../src/ports/network.ts'
import { encodeGenerationHeader, FenceFlag } from '../../src/volume/generation-header.ts'
import { encodeRequestIdentity, type RequestIdentity } from '../../src/volume/request-identity.ts'
import type { PathCounters } from './path-counters.ts'

/** Told to the manager. */
export interface PathReport {
  readonly serverId: string
  readonly portal: string
  readonly reachable: boolean
  readonly cause: string
}

export interface PathPorts {
  readonly network: Network
  readonly clock: Clock
  readonly log: Log
  readonly initiatorName: string
  readonly isid: Buffer
  readonly numbers: LoginNumbers
  /** iSCSI portals of the management path, as known now. */
  readonly managementPortals: () => readonly string[]
  readonly report: (report: PathReport) => void
}

export interface PathTarget {
  readonly serverId: string
  readonly server: string
  readonly iqn: string
  readonly portals: readonly string[]
}

interface Session {
  readonly leg: Leg
  readonly way: Way
  /** The header of the last command, for the next: it changes only with the generation. */
  stamp?: { readonly generation: number; readonly header: Buffer }
}

export class ServerPath {
  /** Notified when the path comes up, goes down or is closed. */
  readonly changed = new Signal()
  readonly counters: PathCounters
  readonly #ports: PathPorts
  #target: PathTarget
  #session: Session | undefined
  #logins = 0
  #recovering = false
  #switching = false
  #closed = false
  /** Portals that the manager was told are out of reach. */
  readonly #reported = new Set<string>()
  /** And it was not told yet that there is another way. */
  #accuses = false

  /** `counters` go on where a former path to the server left them. */
  constructor(ports: PathPorts, target: PathTarget, counters: PathCounters) {
    this.counters = counters
    this.#ports = ports
    this.#target = target
  }

  get target(): PathTarget {
    return this.#target
  }

  /** May commands be sent in this turn? */
  get up(): boolean {
    return !this.#switching && this.#session?.leg.open === true
  }

  get closed(): boolean {
    return this.#closed
  }

  /** Logins answered so far. */
  get logins(): number {
    return this.#logins
  }

  /** How commands go now. */
  get way(): Way | undefined {
    return this.#session?.way
  }

  update(target: PathTarget): void {
    this.#target = target
  }

  /**
   * Another server leads now what this one led. It may not know yet, and wait for others before it
   * answers what it was sent; so it has a short time, and then the commands count as lost.
   */
  deposed(): void {
    if (this.#session !== undefined) void this.#endIfOwed(this.#session)
  }

  /** Brings the path up and keeps it up until `close`. */
  connect(): void {
    if (this.#closed || this.#recovering || this.#switching || this.#session !== undefined) return
    this.#recovering = true
    void this.#recover()
  }

  /** Sends a command, stamped with a generation. Only while `up`. */
  send(
    command: Omit<LegCommand, 'header'>,
    generation: number,
    identity?: RequestIdentity,
  ): LegTask {
    const session = this.#session
    assert(session !== undefined && this.up, 'a path that is up')
    const { route } = session.way
    const { lun, cdb, dataOut, dataInBytes } = command
    this.counters.sent(route, dataInBytes ?? bytesOf(dataOut))
    const fence = stamp(session, generation)
    const header = identity ? Buffer.concat([fence, encodeRequestIdentity(identity)]) : fence
    return session.leg.submit({ lun, cdb, header, dataOut, dataInBytes })
  }

  /** For good. What is in flight is lost, and what was lost stays in doubt. */
  close(): void {
    this.#closed = true
    const session = this.#session
    this.#session = undefined
    session?.leg.close()
    this.changed.notify()
  }

  async #recover(): Promise<void> {
    let delayMs: number = shim.reconnectFirstMs
    while (!this.#closed && this.#session === undefined) {
      await this.#connectOnce()
      if (this.#session !== undefined || this.#closed) break
      await this.#pause(delayMs)
      delayMs = Math.min(delayMs * 2, shim.reconnectLongestMs)
    }
    this.#recovering = false
  }

  /** One normal login at a time, on the ways in the order in which they answer. */
  async #connectOnce(): Promise<void> {
    const race = new ProbeRace(this.#ports.clock, this.#ways(), (way) => this.#probe(way.portal))
    while (!this.#closed && this.#session === undefined) {
      const way = await race.next()
      if (way === undefined) return
      const leg = await this.#login(way)
      if (leg !== undefined) this.#adopt({ leg, way })
    }
  }

  #ways(): Way[] {
    const { portals } = this.#target
    return [
      ...portals.map((portal): Way => ({ route: 'direct', portal })),
      ...this.#ports.managementPortals().map((portal): Way => ({ route: 'management', portal })),
    ]
  }

  #probe(portal: string): Promise<boolean> {
    const { network, clock, initiatorName, isid } = this.#ports
    const deadlineMs = shim.probeDeadlineMs
    return probe({ network, clock, address: portal, initiatorName, isid, deadlineMs })
  }

  async #login(way: Way): Promise<Leg | undefined> {
    const { network, clock, initiatorName, isid, numbers, log } = this.#ports
    // A server that knows a higher number says which; the second try goes above it.
    for (const attempt of [1, 2]) {
      const outcome = await openLeg({
        network,
        clock,
        address: way.portal,
        initiatorName,
        isid,
        targetName: this.#target.iqn,
        fenced: { loginNumber: numbers.next() },
      })
      if (outcome.kind === 'open') return outcome.leg
      const fields = { server: this.#target.server, target: this.#target.iqn, ...way }
      log.info('login failed', { ...fields, attempt, cause: outcome.cause })
      if (outcome.kind === 'failed' || outcome.knownLoginNumber === undefined) return undefined
      numbers.seen(outcome.knownLoginNumber)
      // The path that took this one's place has the session now.
      if (this.#closed) return undefined
    }
    return undefined
  }

  #adopt(session: Session): void {
    if (this.#closed) {
      session.leg.close()
      return
    }
    const { leg, way } = session
    this.#session = session
    this.#logins++
    this.counters[way.route].logins++
    this.#ports.log.info('path up', { server: this.#target.server, ...way })
    if (this.#reported.delete(way.portal) || this.#accuses) this.#report(way.portal, true, '')
    this.#accuses = false
    void leg.ended.then((cause) => this.#broken(session, cause))
    this.changed.notify()
    if (way.route === 'management') void this.#returnToDirect(session)
  }

  #broken(session: Session, cause: string): void {
    if (this.#session !== session) return
    this.#session = undefined
    this.counters.breaks++
    const { route, portal } = session.way
    this.#ports.log.warn('path broken', { server: this.#target.server, route, portal, cause })
    this.#reported.add(portal)
    this.#accuses = true
    this.#report(portal, false, cause)
    this.changed.notify()
    this.connect()
  }

  async #endIfOwed(session: Session): Promise<void> {
    const sinceMs = this.#ports.clock.nowMs()
    await this.#pause(shim.deposedAnswerMs)
    if (this.#session !== session) return
    session.leg.endIfOwed(sinceMs, 'it does not lead any more, and owes an answer')
  }

  #report(portal: string, reachable: boolean, cause: string): void {
    this.#ports.report({ serverId: this.#target.serverId, portal, reachable, cause })
  }

  /** Watches the direct portals from a session over the management path. */
  async #returnToDirect(session: Session): Promise<void> {
    const good = new Map<string, number>()
    while (this.#session === session && !this.#closed) {
      await this.#pause(shim.returnProbeIntervalMs)
      const { portals } = this.#target
      const answers = await Promise.all(portals.map((portal) => this.#probe(portal)))
      portals.forEach((portal, i) => {
        good.set(portal, answers[i] ? (good.get(portal) ?? 0) + 1 : 0)
      })
      const portal = portals.find((each) => (good.get(each) ?? 0) >= shim.returnProbes)
      if (portal === undefined || this.#session !== session || this.#closed) continue
      await this.#switchTo(session, { route: 'direct', portal })
      good.clear()
    }
  }

  /** Replaces a working session: nothing is sent until the new login was answered, or failed. */
  async #switchTo(former: Session, way: Way): Promise<void> {
    this.#switching = true
    await former.leg.idle(shim.switchDrainMs)
    const leg = await this.#login(way)
    this.#switching = false
    if (leg !== undefined) {
      this.counters.returns++
      this.#adopt({ leg, way })
      former.leg.close()
      return
    }
    this.changed.notify()
    // The former session may have broken meanwhile, or been ended by the login that failed.
    this.connect()
  }

  /** Waits, but no longer than until the path is closed or changes. */
  #pause(ms: number): Promise<void> {
    return anyOf([this.changed], { clock: this.#ports.clock, ms })
  }
}

function stamp(session: Session, generation: number): Buffer {
  if (session.stamp?.generation !== generation) {
    const flags = session.way.route === 'management' ? FenceFlag.managementPath : 0
    session.stamp = { generation, header: encodeGenerationHeader(BigInt(generation), flags) }
  }
  return session.stamp.header
}

function bytesOf(buffers: readonly Buffer[] | undefined): number {
  let bytes = 0
  for (const buffer of buffers ?? []) bytes += buffer.length
  return bytes
}
