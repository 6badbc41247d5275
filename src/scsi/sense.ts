/**
 * Sense data by the standard's names: sense key, additional sense code, qualifier. SPC-4 4.5 and
 * annex E.2. Which bytes they become is sense-format.ts; the refusals of the generation header, a
 * vendor's matter, are src/volume's. A row is added when something answers it.
 */
import type { Sense } from './result.ts'

export const SenseKey = {
  NO_SENSE: 0x0,
  NOT_READY: 0x2,
  MEDIUM_ERROR: 0x3,
  HARDWARE_ERROR: 0x4,
  ILLEGAL_REQUEST: 0x5,
  UNIT_ATTENTION: 0x6,
  DATA_PROTECT: 0x7,
  ABORTED_COMMAND: 0xb,
  MISCOMPARE: 0xe,
} as const
export type SenseKey = (typeof SenseKey)[keyof typeof SenseKey]

export function sense(key: SenseKey, asc: number, ascq: number): Sense {
  return { key, asc, ascq }
}

const {
  NO_SENSE: noSense,
  NOT_READY,
  MEDIUM_ERROR,
  HARDWARE_ERROR,
  ILLEGAL_REQUEST,
  UNIT_ATTENTION,
  DATA_PROTECT,
  ABORTED_COMMAND,
  MISCOMPARE,
} = SenseKey

export const NO_SENSE = sense(noSense, 0x00, 0x00)

export const LOGICAL_UNIT_NOT_READY = sense(NOT_READY, 0x04, 0x00)
export const INITIALIZING_COMMAND_REQUIRED = sense(NOT_READY, 0x04, 0x02)
export const SANITIZE_IN_PROGRESS = sense(NOT_READY, 0x04, 0x1b)
export const MEDIUM_NOT_PRESENT = sense(NOT_READY, 0x3a, 0x00)

export const WRITE_ERROR = sense(MEDIUM_ERROR, 0x0c, 0x00)
export const SANITIZE_COMMAND_FAILED = sense(MEDIUM_ERROR, 0x31, 0x03)
export const UNRECOVERED_READ_ERROR = sense(MEDIUM_ERROR, 0x11, 0x00)

export const INTERNAL_TARGET_FAILURE = sense(HARDWARE_ERROR, 0x44, 0x00)

export const INVALID_FIELD_IN_COMMAND_INFORMATION_UNIT = sense(ILLEGAL_REQUEST, 0x0e, 0x03)
export const PARAMETER_LIST_LENGTH_ERROR = sense(ILLEGAL_REQUEST, 0x1a, 0x00)
export const INVALID_COMMAND_OPERATION_CODE = sense(ILLEGAL_REQUEST, 0x20, 0x00)
export const LBA_OUT_OF_RANGE = sense(ILLEGAL_REQUEST, 0x21, 0x00)
export const INVALID_FIELD_IN_CDB = sense(ILLEGAL_REQUEST, 0x24, 0x00)
export const LOGICAL_UNIT_NOT_SUPPORTED = sense(ILLEGAL_REQUEST, 0x25, 0x00)
export const INVALID_FIELD_IN_PARAMETER_LIST = sense(ILLEGAL_REQUEST, 0x26, 0x00)
export const INVALID_RELEASE_OF_PERSISTENT_RESERVATION = sense(ILLEGAL_REQUEST, 0x26, 0x04)
export const SAVING_PARAMETERS_NOT_SUPPORTED = sense(ILLEGAL_REQUEST, 0x39, 0x00)
export const INSUFFICIENT_REGISTRATION_RESOURCES = sense(ILLEGAL_REQUEST, 0x55, 0x04)
export const MEDIUM_REMOVAL_PREVENTED = sense(ILLEGAL_REQUEST, 0x53, 0x02)

export const NOT_READY_TO_READY_CHANGE = sense(UNIT_ATTENTION, 0x28, 0x00)
export const POWER_ON_OR_RESET_OCCURRED = sense(UNIT_ATTENTION, 0x29, 0x00)
export const SCSI_BUS_RESET_OCCURRED = sense(UNIT_ATTENTION, 0x29, 0x02)
export const BUS_DEVICE_RESET_FUNCTION_OCCURRED = sense(UNIT_ATTENTION, 0x29, 0x03)
export const I_T_NEXUS_LOSS_OCCURRED = sense(UNIT_ATTENTION, 0x29, 0x07)
export const MODE_PARAMETERS_CHANGED = sense(UNIT_ATTENTION, 0x2a, 0x01)
export const RESERVATIONS_PREEMPTED = sense(UNIT_ATTENTION, 0x2a, 0x03)
export const RESERVATIONS_RELEASED = sense(UNIT_ATTENTION, 0x2a, 0x04)
export const REGISTRATIONS_PREEMPTED = sense(UNIT_ATTENTION, 0x2a, 0x05)
export const CAPACITY_DATA_HAS_CHANGED = sense(UNIT_ATTENTION, 0x2a, 0x09)
export const COMMANDS_CLEARED_BY_ANOTHER_INITIATOR = sense(UNIT_ATTENTION, 0x2f, 0x00)
export const COMMANDS_CLEARED_BY_POWER_LOSS = sense(UNIT_ATTENTION, 0x2f, 0x01)
export const THIN_PROVISIONING_SOFT_THRESHOLD_REACHED = sense(UNIT_ATTENTION, 0x38, 0x07)
export const REPORTED_LUNS_DATA_HAS_CHANGED = sense(UNIT_ATTENTION, 0x3f, 0x0e)

export const WRITE_PROTECTED = sense(DATA_PROTECT, 0x27, 0x00)
export const SPACE_ALLOCATION_FAILED = sense(DATA_PROTECT, 0x27, 0x07)

/** It may have been carried out, or may still be. */
export const COMMAND_TIMEOUT_DURING_PROCESSING = sense(ABORTED_COMMAND, 0x2e, 0x02)

/** Raised by the iSCSI driver itself. RFC 7143 11.4.7.2. */
export const INCORRECT_AMOUNT_OF_DATA = sense(ABORTED_COMMAND, 0x0c, 0x0d)
export const PROTOCOL_SERVICE_CRC_ERROR = sense(ABORTED_COMMAND, 0x47, 0x05)

export const MISCOMPARE_DURING_VERIFY = sense(MISCOMPARE, 0x1d, 0x00)

export function sameSense(one: Sense, other: Sense): boolean {
  return one.key === other.key && one.asc === other.asc && one.ascq === other.ascq
}
