/**
 * EXTENDED COPY (LID1): copies blocks between units of one target, inside the target. SPC-4 6.4. The
 * answer comes when all is copied. An error inside a segment ends the copy with COPY ABORTED and
 * the number of the segment in COMMAND-SPECIFIC INFORMATION; what was copied stays copied. The sense
 * of the unit that failed is not passed on. SPC-4 5.16.7.
 */
import type { Call, Outcome } from '../call.ts'
import { type Command, command, whereSettable } from '../command.ts'
import { checkCondition, good, isGood, type Sense } from '../result.ts'
import { extendedCopy } from './cdb-copy.ts'
import { type CopyPlan, type CopySegment, parseCopyPlan } from './copy-plan.ts'
import type { CopyRecord } from './copy-records.ts'
import { findDevice } from './find-device.ts'
import { checkListLength, parameterList } from './parameter-list.ts'
import { copySegment, failureOf, planSegment } from './segment-copy.ts'

async function run(call: Call, parameterListLength: number): Promise<Outcome> {
  // A list of no length copies nothing, which is no error. SPC-4 6.4.2.
  if (parameterListLength === 0) return good()
  const plan = parseCopyPlan(parameterList(call, parameterListLength))
  if ('status' in plan) return plan
  const { listIdentifier } = plan
  const { blockBytes } = call.facts
  const copy = { listIdentifier, blockBytes, serviceAction: extendedCopy.serviceAction ?? 0 }
  return call.conditions.copies.run(call.nexus, copy, (record) => copySegments(call, plan, record))
}

type Progress = Pick<CopyRecord, 'bytes' | 'segments'>

async function copySegments(call: Call, plan: CopyPlan, record: Progress): Promise<Outcome> {
  for (const [index, segment] of plan.segments.entries()) {
    const outcome = await copyOne(call, { plan, segment }, record)
    if (outcome === 'drop') return outcome
    if ('key' in outcome) return checkCondition({ ...outcome, commandSpecific: index })
    if (!isGood(outcome)) return outcome
    record.segments += 1
  }
  return good()
}

async function copyOne(
  call: Call,
  { plan, segment }: { readonly plan: CopyPlan; readonly segment: CopySegment },
  record: Progress,
): Promise<Outcome | Sense> {
  const source = findDevice(call, plan.cscds, segment.source)
  if ('key' in source) return source
  const destination = findDevice(call, plan.cscds, segment.destination)
  if ('key' in destination) return destination
  const copy = planSegment(segment, { source, destination })
  if ('key' in copy) return copy
  const outcome = await copySegment(copy, call, record)
  return outcome === 'drop' || isGood(outcome) ? outcome : failureOf(outcome, record.bytes)
}

export const extendedCopyCommands: readonly Command[] = [
  // The unit that is asked need be neither source nor destination, so its own medium does not matter.
  command(extendedCopy, {
    medium: 'none',
    reservation: 'write',
    when: whereSettable,
    transfer: ({ parameterListLength }) => ({ direction: 'out', bytes: parameterListLength }),
    check: (_call, { parameterListLength }) => checkListLength(parameterListLength),
    run: (call, { parameterListLength }) => run(call, parameterListLength),
  }),
]
