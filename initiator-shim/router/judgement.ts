/**
 * What a server's status means for the piece that got it: done, an answer for the initiator, or a
 * reason to send it again. One place for the sender's answers to each refusal (design, section 3).
 * Pure. What is sent again after *interrupted* may take effect more than once: reads, plain writes,
 * UNMAP and flush. COMPARE AND WRITE and ORWRITE carry an identity then, by which a server knows
 * what became of them, or says that it does not.
 */
import { checkCondition, type ScsiResult, type Sense, Status } from '../../src/scsi/result.ts'
import {
  INTERNAL_TARGET_FAILURE,
  LOGICAL_UNIT_COMMUNICATION_FAILURE,
  LOGICAL_UNIT_NOT_SUPPORTED,
  SenseKey,
} from '../../src/scsi/sense.ts'
import { decodeSense } from '../../src/scsi/sense-format.ts'
import { decodeRefusal, Reason } from '../../src/volume/refusal.ts'

export type Judgement =
  | { readonly kind: 'good' }
  /** For the initiator. `alarm`: for the operator as well. */
  | { readonly kind: 'failed'; readonly result: ScsiResult; readonly alarm?: string }
  /** The server has a newer generation: go on with a newer map. */
  | { readonly kind: 'newer-map'; readonly why: string }
  /** Repeat after a while, or with a newer map. `touched`: it may have had its effect all the same. */
  | { readonly kind: 'repeat'; readonly why: string; readonly touched?: true }

  /** The server does not know what became of it. */
  | { readonly kind: 'unknown' }

const good: Judgement = { kind: 'good' }
const conflict: ScsiResult = { status: Status.RESERVATION_CONFLICT }
const broken = checkCondition(INTERNAL_TARGET_FAILURE)

/** By reason; a reason's name is what the status shows. */
const refusals: Readonly<Record<Reason, Judgement>> = {
  [Reason.SENDER_OLDER]: { kind: 'newer-map', why: 'sender-older' },
  [Reason.SENDER_NEWER]: { kind: 'repeat', why: 'sender-newer' },
  [Reason.CLOSED]: { kind: 'repeat', why: 'closed' },
  [Reason.NOT_PRIMARY]: { kind: 'repeat', why: 'not-primary' },
  [Reason.HEADER]: { kind: 'failed', result: broken, alarm: 'a server misses our header' },
  [Reason.INTERRUPTED]: { kind: 'repeat', why: 'interrupted', touched: true },
  [Reason.NOT_ADMITTED]: { kind: 'failed', result: conflict },
}

export function judge(status: number, senseBytes: Buffer | undefined): Judgement {
  switch (status) {
    case Status.GOOD:
      return good
    case Status.CHECK_CONDITION:
      return judgeSense(senseBytes ?? Buffer.alloc(0))
    case Status.BUSY:
    case Status.TASK_SET_FULL:
      return { kind: 'repeat', why: 'busy' }
    case Status.TASK_ABORTED:
      return { kind: 'repeat', why: 'task-aborted', touched: true }
    case Status.RESERVATION_CONFLICT:
      return { kind: 'failed', result: conflict }
    default:
      return { kind: 'failed', result: broken, alarm: `a server answered status ${status}` }
  }
}

function judgeSense(bytes: Buffer): Judgement {
  const refusal = decodeRefusal(bytes)
  if (refusal !== undefined) return refusals[refusal.reason]
  const sense = decodeSense(bytes)
  if (sense === undefined) {
    return { kind: 'failed', result: broken, alarm: 'a server answered without sense data' }
  }
  // A leg is a nexus of ours: its conditions are not the initiator's, whose own are raised in front.
  if (sense.key === SenseKey.UNIT_ATTENTION) return { kind: 'repeat', why: 'unit-attention' }
  if (sense.key === SenseKey.NOT_READY) return { kind: 'repeat', why: 'not-ready' }
  if (isSame(sense, LOGICAL_UNIT_COMMUNICATION_FAILURE)) return { kind: 'unknown' }
  if (sense.key === SenseKey.ABORTED_COMMAND) {
    return { kind: 'repeat', why: 'aborted-command', touched: true }
  }
  // The server has not got its share of the volume yet, or not any more.
  if (isSame(sense, LOGICAL_UNIT_NOT_SUPPORTED)) return { kind: 'repeat', why: 'no-such-unit' }
  const { key, asc, ascq, information } = sense
  // An offset in the data is the same here as there; of anything else INFORMATION names a block of
  // the replica, which means nothing to the initiator.
  if (key === SenseKey.MISCOMPARE && information !== undefined) {
    return { kind: 'failed', result: checkCondition({ key, asc, ascq, information }) }
  }
  return { kind: 'failed', result: checkCondition({ key, asc, ascq }) }
}

function isSame(one: Sense, other: Sense): boolean {
  return one.key === other.key && one.asc === other.asc && one.ascq === other.ascq
}
