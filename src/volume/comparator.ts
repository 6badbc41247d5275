/**
 * The rule that fences the data, stated once: may this request be served by this server now, and
 * if not, why. Pure; the storage server asks it when a command arrives and again in the turn in
 * which the store is touched. It knows what a map says and nothing of how the map came here.
 *
 * Equal generations are necessary and not sufficient: the server must be open, and the request must
 * come from whom the map allows. The header guards against mistakes and delays; it is no credential.
 */
import type { ScsiResult } from '../scsi/result.ts'
import type { Generation } from './generation.ts'
import { type Fence, FenceFlag } from './generation-header.ts'
import type { StalePolicy } from './map.ts'
import { Reason, refusalResult } from './refusal.ts'

/** What a server knows of one segment that it holds. A change makes a new view. */
export interface FenceView {
  /** 0 where there is none. */
  readonly generation: Generation
  /** The same, as wide as on the wire: 2^64 - 1 must compare as newer, not wrap or round. */
  readonly wideGeneration: bigint
  /**
   * `closed`: a change is under way. `unconfirmed`: a manager has not yet said that the map held
   * here is the current one, or that what the store lost is accounted for.
   */
  readonly state: 'open' | 'closed' | 'unconfirmed'
  /** This server is the segment's primary. */
  readonly primary: boolean
  /** InitiatorName of the primary; the only one that may send replication and resync. */
  readonly primaryInitiator: string
  /** InitiatorNames of the clients that are shut out. */
  readonly fencedClients: ReadonlySet<string>
  readonly stalePolicy: StalePolicy
}

/** Who asks, as its session and its command say. */
export interface FencedRequest {
  readonly initiatorName: string
  /** Version of the generation keys that the session negotiated; 0 is none. */
  readonly generationVersion: number
  readonly fence: Fence
}

const replicated = FenceFlag.replication | FenceFlag.resync

/**
 * Undefined lets the request pass; otherwise the first reason that holds, in the order of
 * precedence: header, admission, older, newer, closed, not primary.
 */
export function compare(view: FenceView, request: FencedRequest): Reason | undefined {
  const { fence } = request
  if (request.generationVersion === 0 || fence.kind !== 'header') return Reason.HEADER
  if (view.fencedClients.has(request.initiatorName)) return Reason.NOT_ADMITTED
  if (fence.generation < view.wideGeneration) return Reason.SENDER_OLDER
  if (fence.generation > view.wideGeneration) return Reason.SENDER_NEWER
  if (view.state !== 'open') return Reason.CLOSED
  return mayReach(view, request.initiatorName, fence.flags) ? undefined : Reason.NOT_PRIMARY
}

/** Clients reach the primary only; the other replicas obey the primary, and it obeys nobody. */
function mayReach(view: FenceView, initiatorName: string, flags: number): boolean {
  if ((flags & replicated) === 0) return view.primary
  return !view.primary && initiatorName === view.primaryInitiator
}

/** What the sender of a request that was not served gets to hear, if anything. */
export function answerRefused(view: FenceView, reason: Reason): ScsiResult | 'drop' {
  const stale = reason === Reason.SENDER_OLDER || reason === Reason.SENDER_NEWER
  if (stale && view.stalePolicy === 'ignore') return 'drop'
  return refusalResult({ reason, generation: view.generation })
}

/** Commands that say nothing of the medium's content or size, and so are answered to anybody. */
const freeOperationCodes: ReadonlySet<number> = new Set([
  0x00, // TEST UNIT READY
  0x03, // REQUEST SENSE
  0x12, // INQUIRY
  0x1a, // MODE SENSE (6)
  0x4d, // LOG SENSE
  0x5a, // MODE SENSE (10)
  0xa0, // REPORT LUNS
])
const maintenanceIn = 0xa3
const freeMaintenanceActions: ReadonlySet<number> = new Set([
  0x0a, // REPORT TARGET PORT GROUPS
  0x0c, // REPORT SUPPORTED OPERATION CODES
  0x0d, // REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS
])

/** True for every command but the few above: what is not known to be harmless is compared. */
export function isCompared(cdb: Uint8Array): boolean {
  const operationCode = cdb[0]
  if (operationCode === undefined) return true
  if (operationCode !== maintenanceIn) return !freeOperationCodes.has(operationCode)
  const serviceAction = (cdb[1] ?? 0) & 0x1f
  return !freeMaintenanceActions.has(serviceAction)
}
