/**
 * The unit that a CSCD descriptor names. SPC-4 6.4.5, 6.4.6. It must be a unit of the same target, so
 * that a copy reaches nothing that its initiator does not reach by itself.
 */
import type { Call } from '../call.ts'
import { unitDesignators } from '../designators.ts'
import type { UnitFacts } from '../logical-unit.ts'
import type { Sense } from '../result.ts'
import {
  COPY_ABORTED_BY_INVALID_FIELD,
  COPY_TARGET_DEVICE_NOT_REACHABLE,
  INCORRECT_COPY_TARGET_DEVICE_TYPE,
} from '../sense.ts'
import type { CopyDevice } from './copy-device.ts'
import { type CscdDescriptor, thisUnit } from './cscd.ts'

/** The unit that is named, or why it cannot take part. */
export function findDevice(
  call: Pick<Call, 'copyDevice'>,
  cscds: readonly CscdDescriptor[],
  identifier: number,
): CopyDevice | Sense {
  if (identifier === thisUnit) return call.copyDevice() ?? COPY_TARGET_DEVICE_NOT_REACHABLE
  const named = cscds[identifier]
  // A null device (NUL) would have to be given data that nobody keeps: there is none here.
  if (named === undefined || named.nul) return COPY_TARGET_DEVICE_NOT_REACHABLE
  if (named.peripheralDeviceType !== 0) return INCORRECT_COPY_TARGET_DEVICE_TYPE
  const device = call.copyDevice((facts) => isNamed(facts, named))
  if (device === undefined) return COPY_TARGET_DEVICE_NOT_REACHABLE
  return device.facts.blockBytes === named.diskBlockBytes ? device : COPY_ABORTED_BY_INVALID_FIELD
}

function isNamed(facts: UnitFacts, named: CscdDescriptor): boolean {
  if (named.association !== 0 || named.designatorLength > named.designator.length) return false
  const designator = named.designator.subarray(0, named.designatorLength)
  return unitDesignators(facts).some(
    ({ codeSet, type, value }) =>
      codeSet === named.codeSet && type === named.designatorType && value.equals(designator),
  )
}
