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
  COPY_ABORTED: 0xa,
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
  COPY_ABORTED: copyAborted,
  ABORTED_COMMAND,
  MISCOMPARE,
} = SenseKey

export const NO_SENSE = sense(noSense, 0x00, 0x00)

export const LOGICAL_UNIT_NOT_READY = sense(NOT_READY, 0x04, 0x00)
export const TARGET_PORT_IN_STANDBY_STATE = sense(NOT_READY, 0x04, 0x0b)
export const SANITIZE_IN_PROGRESS = sense(NOT_READY, 0x04, 0x1b)
export const MEDIUM_NOT_PRESENT = sense(NOT_READY, 0x3a, 0x00)

export const WRITE_ERROR = sense(MEDIUM_ERROR, 0x0c, 0x00)
export const SANITIZE_COMMAND_FAILED = sense(MEDIUM_ERROR, 0x31, 0x03)
export const UNRECOVERED_READ_ERROR = sense(MEDIUM_ERROR, 0x11, 0x00)

export const INTERNAL_TARGET_FAILURE = sense(HARDWARE_ERROR, 0x44, 0x00)

export const OPERATION_IN_PROGRESS = sense(ILLEGAL_REQUEST, 0x00, 0x16)
export const INVALID_FIELD_IN_COMMAND_INFORMATION_UNIT = sense(ILLEGAL_REQUEST, 0x0e, 0x03)
export const PARAMETER_LIST_LENGTH_ERROR = sense(ILLEGAL_REQUEST, 0x1a, 0x00)
export const INVALID_COMMAND_OPERATION_CODE = sense(ILLEGAL_REQUEST, 0x20, 0x00)
export const LBA_OUT_OF_RANGE = sense(ILLEGAL_REQUEST, 0x21, 0x00)
export const INVALID_FIELD_IN_CDB = sense(ILLEGAL_REQUEST, 0x24, 0x00)
export const LOGICAL_UNIT_NOT_SUPPORTED = sense(ILLEGAL_REQUEST, 0x25, 0x00)
export const INVALID_FIELD_IN_PARAMETER_LIST = sense(ILLEGAL_REQUEST, 0x26, 0x00)
export const INVALID_RELEASE_OF_PERSISTENT_RESERVATION = sense(ILLEGAL_REQUEST, 0x26, 0x04)
export const INVALID_TOKEN_OPERATION = sense(ILLEGAL_REQUEST, 0x23, 0x00)
export const UNSUPPORTED_TOKEN_TYPE = sense(ILLEGAL_REQUEST, 0x23, 0x01)
export const TOKEN_UNKNOWN = sense(ILLEGAL_REQUEST, 0x23, 0x04)
export const TOKEN_CORRUPT = sense(ILLEGAL_REQUEST, 0x23, 0x05)
export const TOKEN_REVOKED = sense(ILLEGAL_REQUEST, 0x23, 0x06)
export const TOKEN_EXPIRED = sense(ILLEGAL_REQUEST, 0x23, 0x07)
export const TOKEN_DELETED = sense(ILLEGAL_REQUEST, 0x23, 0x09)
export const INVALID_TOKEN_LENGTH = sense(ILLEGAL_REQUEST, 0x23, 0x0a)
export const TOO_MANY_TARGET_DESCRIPTORS = sense(ILLEGAL_REQUEST, 0x26, 0x06)
export const UNSUPPORTED_TARGET_DESCRIPTOR_TYPE_CODE = sense(ILLEGAL_REQUEST, 0x26, 0x07)
export const TOO_MANY_SEGMENT_DESCRIPTORS = sense(ILLEGAL_REQUEST, 0x26, 0x08)
export const UNSUPPORTED_SEGMENT_DESCRIPTOR_TYPE_CODE = sense(ILLEGAL_REQUEST, 0x26, 0x09)
export const INLINE_DATA_LENGTH_EXCEEDED = sense(ILLEGAL_REQUEST, 0x26, 0x0b)
export const INSUFFICIENT_RESOURCES_TO_CREATE_ROD_TOKEN = sense(ILLEGAL_REQUEST, 0x55, 0x0d)
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
export const ASYMMETRIC_ACCESS_STATE_CHANGED = sense(UNIT_ATTENTION, 0x2a, 0x06)
export const CAPACITY_DATA_HAS_CHANGED = sense(UNIT_ATTENTION, 0x2a, 0x09)
export const COMMANDS_CLEARED_BY_ANOTHER_INITIATOR = sense(UNIT_ATTENTION, 0x2f, 0x00)
export const COMMANDS_CLEARED_BY_POWER_LOSS = sense(UNIT_ATTENTION, 0x2f, 0x01)
export const THIN_PROVISIONING_SOFT_THRESHOLD_REACHED = sense(UNIT_ATTENTION, 0x38, 0x07)
export const REPORTED_LUNS_DATA_HAS_CHANGED = sense(UNIT_ATTENTION, 0x3f, 0x0e)

export const WRITE_PROTECTED = sense(DATA_PROTECT, 0x27, 0x00)
export const SPACE_ALLOCATION_FAILED = sense(DATA_PROTECT, 0x27, 0x07)

/** Of a command that may have been carried out or not, and is not under way any more. */
export const LOGICAL_UNIT_COMMUNICATION_FAILURE = sense(ABORTED_COMMAND, 0x08, 0x00)
/** It may have been carried out, or may still be. */
export const COMMAND_TIMEOUT_DURING_PROCESSING = sense(ABORTED_COMMAND, 0x2e, 0x02)

/** Of third-party copies: the segment that they ended in is reported with them. SPC-4 5.16.7. */
export const COPY_ABORTED = sense(copyAborted, 0x00, 0x00)
export const THIRD_PARTY_DEVICE_FAILURE = sense(copyAborted, 0x0d, 0x01)
export const COPY_TARGET_DEVICE_NOT_REACHABLE = sense(copyAborted, 0x0d, 0x02)
export const INCORRECT_COPY_TARGET_DEVICE_TYPE = sense(copyAborted, 0x0d, 0x03)
export const COPY_TARGET_DEVICE_DATA_UNDERRUN = sense(copyAborted, 0x0d, 0x04)
export const COPY_ABORTED_BY_INVALID_FIELD = sense(copyAborted, 0x26, 0x00)
export const UNEXPECTED_INEXACT_SEGMENT = sense(copyAborted, 0x26, 0x0a)

/** Raised by the iSCSI driver itself. RFC 7143 11.4.7.2. */
export const INCORRECT_AMOUNT_OF_DATA = sense(ABORTED_COMMAND, 0x0c, 0x0d)
export const PROTOCOL_SERVICE_CRC_ERROR = sense(ABORTED_COMMAND, 0x47, 0x05)

export const MISCOMPARE_DURING_VERIFY = sense(MISCOMPARE, 0x1d, 0x00)

export function sameSense(one: Sense, other: Sense): boolean {
  return one.key === other.key && one.asc === other.asc && one.ascq === other.ascq
}
