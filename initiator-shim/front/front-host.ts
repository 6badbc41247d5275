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
  LoginDecision,
  LoginRequestFacts,
  PortalHost,
} from '../../src/portal/portal-host.ts'
import type { Clock } from '../../src/ports/clock.ts'
import type { FrontVolume } from '../device/front-volume.ts'
import type { Attendance } from './attendance.ts'
import type { Liveness } from './liveness.ts'

export class FrontHost implements PortalHost {
  readonly #clock: Clock
  /** Volumes that initiators may see, in the order of their names. */
  readonly #volumes: () => readonly FrontVolume[]
  readonly #listed: Promise<void>
  readonly #attendance: Attendance
  readonly #liveness: Liveness

  /** `listed` resolves when the volumes are known: until then no login is answered. */
  constructor(options: {
    readonly clock: Clock
    readonly attendance: Attendance
    readonly liveness: Liveness
    readonly volumes: () => readonly FrontVolume[]
    readonly listed: Promise<void>
  }) {
    this.#clock = options.clock
    this.#attendance = options.attendance
    this.#liveness = options.liveness
    this.#volumes = options.volumes
    this.#listed = options.listed
  }

  discover(): readonly DiscoveredTarget[] {
    const others = this.#attendance.others.flatMap(({ group, addresses }) =>
      addresses.map((address) => ({ address, portalGroupTag: group })),
    )
    return this.#volumes().map(({ state }) => ({ targetName: state.map.iqn, others }))
  }

  async login(facts: LoginRequestFacts): Promise<LoginDecision> {
    await this.#listed
    const wanted = facts.targetName.toLowerCase()
    const volume = this.#volumes().find(({ state }) => state.map.iqn === wanted)
    if (volume === undefined) return { kind: 'refuse', status: LoginStatus.NOT_FOUND }
    const older = facts.sessions.filter(({ nexus }) => nexus.initiatorName === facts.initiatorName)
    await Promise.all(older.map((session) => this.#harmless(session, facts.portalAddress)))
    return { kind: 'accept', target: volume.target }
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
