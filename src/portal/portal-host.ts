/**
 * What an iSCSI portal (the target role's driver) asks of the program that it serves: the storage
 * server, the standalone target, the shim's front, the manager's discovery.
 */
import type { InitiatorProfile } from '../iscsi/initiator-profile.ts'
import type { LeadingLogin } from '../iscsi/login-policy.ts'
import type { TargetAddress } from '../iscsi/send-targets.ts'
import type { Nexus, Task } from '../scsi/logical-unit.ts'
import type { ScsiTarget } from '../scsi/scsi-target.ts'
import type { Fence } from '../volume/generation-header.ts'
import type { ByteBudget } from './byte-budget.ts'

/** A SCSI task that came over iSCSI. */
export interface PortalTask extends Task {
  /** What the command's generation header says; Data-Out PDUs were checked to say the same. */
  readonly fence: Fence
  readonly session: FrontSession
  /** Calls `run` once when the task is aborted or its session ends; at once if it already was. */
  whenAborted(run: () => void): void
}

/** A session, for people. */
export interface SessionDescription {
  readonly initiatorName: string
  /** What the initiator calls itself; absent: nothing. */
  readonly initiatorAlias?: string
  readonly profile: InitiatorProfile
  /** Where its connections come from. */
  readonly addresses: readonly string[]
  readonly portalGroupTag: number
  readonly headerDigest: boolean
  readonly dataDigest: boolean
  readonly errorRecoveryLevel: number
  /** Name with which it proved itself. */
  readonly chapUser?: string
}

/** A session in full-feature phase, as its host sees it. */
export interface FrontSession {
  readonly nexus: Nexus
  /** TSIH. */
  readonly handle: number
  /** Version of the generation keys negotiated; 0: none, the session cannot touch fenced data. */
  readonly generationVersion: number
  /** `Clock.nowMs` at which the newest answered NOP-In was sent; -Infinity before the first. */
  readonly provenAtMs: number
  /** `HOST:PORT` of this side of each of its connections. */
  readonly portalAddresses: readonly string[]
  /** No task of it is under way. */
  readonly idle: boolean
  /** What proved until now that its initiator lives counts no more; see `provenAtMs`. */
  distrust(): void
  describe(): SessionDescription
  /**
   * Sends a NOP-In now. True when it was answered, false when the session ended first.
   * Never rejects.
   */
  ping(): Promise<boolean>
  /**
   * Ends the session's tasks for a LUN, or those of other sessions with the same target by their
   * initiator ports: they are not answered. Resolves when none can touch the store any more, or when
   * that took too long.
   */
  abortTasks(lun: number): Promise<void>
  abortTasksOf(initiatorPorts: readonly string[], lun: number): Promise<void>
  /** Ends the session: stops reading, discards what has not begun. */
  end(cause: string): void
  /** Resolves when the session was closed and the last of its begun tasks has settled. */
  readonly ended: Promise<void>
}

/** A new session's login before anything but the names is known. */
export interface LeadingLoginFacts extends LeadingLogin {
  /** Which of the program's portals was asked, in the order in which they were opened. */
  readonly portalIndex: number
  /** Sessions with this target that are open now, or not yet ended. */
  readonly sessions: readonly FrontSession[]
}

export interface LoginRequestFacts {
  readonly initiatorName: string
  /** The SCSI initiator port name: InitiatorName and ISID. */
  readonly initiatorPort: string
  readonly targetName: string
  readonly portalAddress: string
  readonly portalGroupTag: number
  readonly remoteAddress: string
  /** X-io.palisade.Generation as negotiated, X-io.palisade.Login as declared. */
  readonly generationVersion: number
  readonly loginNumber: number | undefined
  /** Sessions with this target that are open now, or not yet ended. */
  readonly sessions: readonly FrontSession[]
  /** True once the connection of this login is gone. */
  readonly abandoned: () => boolean
}

export type LoginDecision =
  | {
      readonly kind: 'accept'
      readonly target: ScsiTarget<PortalTask>
      /** Memory for the data of its writes; absent: what all sessions of the portal share. */
      readonly writeBudget?: ByteBudget
    }
  | {
      readonly kind: 'refuse'
      /** Status-Class and Status-Detail as one number, e.g. 0x0203. RFC 7143 11.13.5. */
      readonly status: number
      readonly keys?: readonly (readonly [key: string, value: string])[]
    }

export interface DiscoveredTarget {
  readonly targetName: string
  /** `HOST:PORT`, all of portal group 1; absent: the portals of the `Portal` that asks. */
  readonly portals?: readonly string[]
  /** Portals of other programs that serve it too, beside those. */
  readonly others?: readonly TargetAddress[]
}

export interface PortalHost {
  /**
   * `HOST:PORT` where this session is to be opened instead; asked before the initiator has proved
   * itself. Absent: every login is for this program.
   */
  elsewhere?(facts: LeadingLoginFacts): string | undefined
  /** SendTargets: what this initiator may see. RFC 7143 Appendix C. */
  discover(initiatorName: string, portalAddress: string): readonly DiscoveredTarget[]
  /**
   * Decides a normal login before its last response is sent; may take its time. Only after an
   * accept does the portal end a former session of the same initiator port and wait for its
   * tasks (session reinstatement, RFC 7143 6.3.5), and only then does it answer the login.
   */
  login(facts: LoginRequestFacts): Promise<LoginDecision>
}
