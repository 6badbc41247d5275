/**
 * The values that a login has come to so far, whichever side asks: keys seen, keys settled, and the
 * record of effective values at the end. Immutable; both login machines hold one.
 */
import { assert } from '../base/assert.ts'
import type { BooleanKey, KeyRow, KeyValue, ListKey, NumberKey, TextKey } from './key.ts'
import { keys } from './keys.ts'
import type { SessionParameters } from './session-parameters.ts'

/** Which side's declaration of MaxRecvDataSegmentLength a value is. */
export interface Declared {
  readonly initiatorMaxRecv: number | undefined
  readonly targetMaxRecv: number | undefined
}

export type Settlements = ReadonlyMap<string, KeyValue>

const settledValue = (settled: Settlements, row: KeyRow) => settled.get(row.name)

export function numberOf(settled: Settlements, row: NumberKey): number {
  const value = settledValue(settled, row) ?? row.default
  assert(typeof value === 'number', `${row.name} is a number`)
  return value
}

export function booleanOf(settled: Settlements, row: BooleanKey): boolean {
  const value = settledValue(settled, row) ?? row.default
  assert(typeof value === 'boolean', `${row.name} is a boolean`)
  return value
}

export function listOf(settled: Settlements, row: ListKey): string {
  const value = settledValue(settled, row) ?? row.default
  assert(typeof value === 'string', `${row.name} is one of a list`)
  return value
}

export function textOf(settled: Settlements, row: TextKey): string | undefined {
  const value = settledValue(settled, row)
  assert(value === undefined || typeof value === 'string', `${row.name} is text`)
  return value
}

/** The effective values. MaxRecvDataSegmentLength has one for each direction. RFC 7143 13.12. */
export function sessionParameters(
  settled: Settlements,
  port: { readonly isid: Buffer; readonly cid: number },
  declared: Declared,
): SessionParameters {
  const maxBurstBytes = numberOf(settled, keys.MaxBurstLength)
  const segmentDefault = keys.MaxRecvDataSegmentLength.default
  const initiatorAlias = textOf(settled, keys.InitiatorAlias)
  const targetName = textOf(settled, keys.TargetName)
  const loginNumber = settledValue(settled, keys.Login)
  return {
    ...port,
    sessionType: textOf(settled, keys.SessionType) === 'Discovery' ? 'Discovery' : 'Normal',
    initiatorName: textOf(settled, keys.InitiatorName) ?? '',
    ...(initiatorAlias === undefined ? {} : { initiatorAlias }),
    ...(targetName === undefined ? {} : { targetName }),
    headerDigest: listOf(settled, keys.HeaderDigest) === 'CRC32C',
    dataDigest: listOf(settled, keys.DataDigest) === 'CRC32C',
    initiatorMaxRecvDataSegmentBytes: declared.initiatorMaxRecv ?? segmentDefault,
    targetMaxRecvDataSegmentBytes: declared.targetMaxRecv ?? segmentDefault,
    maxBurstBytes,
    // RFC 7143 13.14: FirstBurstLength must not exceed MaxBurstLength.
    firstBurstBytes: Math.min(numberOf(settled, keys.FirstBurstLength), maxBurstBytes),
    initialR2T: booleanOf(settled, keys.InitialR2T),
    immediateData: booleanOf(settled, keys.ImmediateData),
    maxOutstandingR2T: numberOf(settled, keys.MaxOutstandingR2T),
    maxConnections: numberOf(settled, keys.MaxConnections),
    defaultTime2Wait: numberOf(settled, keys.DefaultTime2Wait),
    defaultTime2Retain: numberOf(settled, keys.DefaultTime2Retain),
    errorRecoveryLevel: numberOf(settled, keys.ErrorRecoveryLevel),
    generationVersion: numberOf(settled, keys.Generation) >= 1 ? 1 : 0,
    ...(typeof loginNumber === 'number' ? { loginNumber } : {}),
  }
}
