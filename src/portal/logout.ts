/**
 * Logout (RFC 7143 11.14, 11.15): of the session, of one of its connections, or of a connection whose
 * tasks another is to take over. What was begun ends before the answer; what was not is discarded.
 */
import {
  type LogoutRequest,
  logoutRequest,
  LogoutReason as Reason,
} from '../iscsi/pdu/logout-request.ts'
import { logoutResponse, LogoutOutcome as Outcome } from '../iscsi/pdu/logout-response.ts'
import { RejectReason } from '../iscsi/pdu/reject.ts'
import type { Clock } from '../ports/clock.ts'
import type { Membership } from './membership.ts'
import type { SessionConnection } from './session-connection.ts'
import { Aborting } from './task-management.ts'

export interface LogoutOptions {
  /** The session's. */
  readonly members: Membership
  /** Ends the session. */
  readonly close: () => void
  /** Where the request came, and the answer goes. */
  readonly from: SessionConnection
  readonly clock: Clock
}

export function answerLogout(header: Buffer, options: LogoutOptions): void {
  const request = logoutRequest.decode(header)
  const { members, from, close } = options
  const { reason, cid } = request
  if (reason > Reason.REMOVE_FOR_RECOVERY) {
    from.sender.reject(RejectReason.INVALID_PDU_FIELD, header)
    return
  }
  if (reason === Reason.CLOSE_SESSION) {
    leave(request, options, members.all, close)
    return
  }
  if (reason === Reason.REMOVE_FOR_RECOVERY && !members.recovers) {
    answer(request, from, Outcome.RECOVERY_NOT_SUPPORTED)
    return
  }
  const member = members.all.find((each) => each.cid === cid && !each.recovered)
  if (member === undefined) {
    answer(request, from, Outcome.CID_NOT_FOUND)
  } else if (reason === Reason.CLOSE_CONNECTION) {
    leave(request, options, [member], () => members.remove(member))
  } else if (member === from) {
    // Its answer could not be sent any more.
    from.sender.reject(RejectReason.PROTOCOL_ERROR, header)
  } else {
    member.destroyStream()
    members.removeForRecovery(member)
    answer(request, from, Outcome.SUCCESS, from.parameters.defaultTime2Retain)
  }
}

/** Ends the tasks of these connections, answers, and then ends the connections themselves. */
function leave(
  request: LogoutRequest,
  { from, clock }: LogoutOptions,
  leaving: readonly SessionConnection[],
  done: () => void,
): void {
  const aborting = new Aborting(clock, (all) => {
    answer(request, from, all ? Outcome.SUCCESS : Outcome.CLEANUP_FAILED)
    done()
  })
  for (const member of leaving) {
    if (member.phase === 'open') member.phase = 'leaving'
    for (const task of member.tasks?.all() ?? []) aborting.add(task)
  }
  aborting.begun()
}

function answer(
  request: LogoutRequest,
  from: SessionConnection,
  response: number,
  time2Retain = 0,
): void {
  // The connection may have been lost meanwhile: then nobody hears it.
  if (from.phase === 'lost' || from.phase === 'ended') return
  const { sender, parameters } = from
  const header = logoutResponse.build({
    response,
    initiatorTaskTag: request.initiatorTaskTag,
    statSn: sender.takeStatSn(),
    expCmdSn: sender.window.expCmdSn,
    maxCmdSn: sender.window.maxCmdSn,
    time2Wait: parameters.defaultTime2Wait,
    time2Retain,
  })
  sender.respond(header)
}
