/**
 * The front portal's host: discovery lists the volumes, a login attaches an initiator to one. A
 * login of an initiator that already has a session with that volume here, whatever its ISID, is
 * answered only when each older session has shown that it lives, or was closed and its commands
 * have ended: so nothing that a dead connection left behind comes after what the new one sends.
 *
 * A session at another portal that has nothing under way is left as it is, but what it sends from
 * now on waits until it has answered something that was sent after this login (`liveness.ts`), which
 * a dead connection never does. It is the other path of an initiator that has two, and such an
 * initiator need not be able to answer on one while it logs in on the other: libiscsi's are not.
 */
import { shim } from '../../src/base/limits.ts'
import { LoginStatus } from '../../src/iscsi/pdu/login-status.ts'
import type {
  DiscoveredTarget,
  FrontSession,
  LeadingLoginFacts,
  LoginDecision,
  LoginRequestFacts,
  PortalHost,
} from '../../src/portal/portal-host.ts'
import type { Clock } from '../../src/ports/clock.ts'
import type { FrontVolume } from '../device/front-volume.ts'
import type { Attendance } from './attendance.ts'
import type { Liveness } from './liveness.ts'
import type { LoginGuide } from './login-guide.ts'

export class FrontHost implements PortalHost {
  readonly #clock: Clock
  /** Volumes that initiators may see, in the order of their names. */
  readonly #volumes: () => readonly FrontVolume[]
  readonly #listed: Promise<void>
  readonly #attendance: Attendance
  readonly #liveness: Liveness
  readonly #guide: LoginGuide

  /** `listed` resolves when the volumes are known: until then no login is answered. */
  constructor(options: {
    readonly clock: Clock
    readonly attendance: Attendance
    readonly liveness: Liveness
    readonly guide: LoginGuide
    readonly volumes: () => readonly FrontVolume[]
    readonly listed: Promise<void>
  }) {
    this.#clock = options.clock
    this.#attendance = options.attendance
    this.#liveness = options.liveness
    this.#guide = options.guide
    this.#volumes = options.volumes
    this.#listed = options.listed
  }

  discover(): readonly DiscoveredTarget[] {
    const others = this.#attendance.others.flatMap(({ group, addresses }) =>
      addresses.map((address) => ({ address, portalGroupTag: group })),
    )
    // Its own portals are gone in a moment.
    const portals = this.#attendance.isLeaving && others.length > 0 ? { portals: [] } : {}
    return this.#volumes().map(({ state }) => ({ targetName: state.map.iqn, others, ...portals }))
  }

  elsewhere(login: LeadingLoginFacts): string | undefined {
    const volume = this.#volume(login.targetName)
    return volume && this.#guide.elsewhere(login, volume.isActiveFor(login.initiatorName))
  }

  async login(facts: LoginRequestFacts): Promise<LoginDecision> {
    await this.#listed
    const volume = this.#volume(facts.targetName)
    if (volume === undefined) return { kind: 'refuse', status: LoginStatus.NOT_FOUND }
    if (this.#attendance.isLeaving) {
      return { kind: 'refuse', status: LoginStatus.SERVICE_UNAVAILABLE }
    }
    const older = facts.sessions.filter(({ nexus }) => nexus.initiatorName === facts.initiatorName)
    await Promise.all(older.map((session) => this.#harmless(session, facts.portalAddress)))
    return { kind: 'accept', target: volume.target }
  }

  #volume(targetName: string): FrontVolume | undefined {
    const wanted = targetName.toLowerCase()
    return this.#volumes().find(({ state }) => state.map.iqn === wanted)
  }

  /** A session of the same initiator port is ended by the portal itself, after this. */
  async #harmless(session: FrontSession, portalAddress: string): Promise<void> {
    if (session.idle && !session.portalAddresses.includes(portalAddress)) {
      this.#liveness.distrust(session)
      return
    }
    const cancel = this.#clock.after(shim.olderSessionDeadlineMs, () =>
      session.end('its initiator came back and it does not answer'),
    )
    const alive = await session.ping()
    cancel()
    if (!alive) await session.ended
  }
}
