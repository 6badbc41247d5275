/**
 * CDBs about the medium as a whole: whether it is in and turning, whether it may be taken out, what
 * is wrong with it, and how it is wiped. SBC-3 5. Layouts only.
 */
import { bit, bits, reserved, reservedBits, u16, u32 } from '../wire/layout.ts'
import { cdb } from './cdb-layout.ts'

export const startStopUnit = cdb('START STOP UNIT', {
  cite: 'SBC-3 5.25',
  sizeBytes: 6,
  operationCode: 0x1b,
  fields: {
    immediate: bit(1, 0, 'IMMED'),
    powerConditionModifier: bits(3, 3, 0),
    powerCondition: bits(4, 7, 4),
    noFlush: bit(4, 2, 'NO_FLUSH'),
    loadEject: bit(4, 1, 'LOEJ'),
    start: bit(4, 0, 'START'),
  },
  reserved: [reservedBits(1, 7, 1), reserved(2), reservedBits(3, 7, 4), reservedBits(4, 3, 3)],
})

export const preventAllowMediumRemoval = cdb('PREVENT ALLOW MEDIUM REMOVAL', {
  cite: 'SBC-3 5.10',
  sizeBytes: 6,
  operationCode: 0x1e,
  fields: { prevent: bits(4, 1, 0) },
  reserved: [reserved(1, 3), reservedBits(4, 7, 2)],
})

const defectFlags = (byte: number) => ({
  requestPrimaryList: bit(byte, 4, 'REQ_PLIST'),
  requestGrownList: bit(byte, 3, 'REQ_GLIST'),
  defectListFormat: bits(byte, 2, 0),
})
export const readDefectData10 = cdb('READ DEFECT DATA (10)', {
  cite: 'SBC-3 5.17',
  sizeBytes: 10,
  operationCode: 0x37,
  fields: { ...defectFlags(2), allocationLength: u16(7) },
  reserved: [reserved(1), reservedBits(2, 7, 5), reserved(3, 4)],
})
export const readDefectData12 = cdb('READ DEFECT DATA (12)', {
  cite: 'SBC-3 5.18',
  sizeBytes: 12,
  operationCode: 0xb7,
  fields: {
    ...defectFlags(1),
    addressDescriptorIndex: u32(2),
    allocationLength: u32(6),
  },
  reserved: [reservedBits(1, 7, 5), reserved(10)],
})

function sanitize(what: string, serviceAction: number) {
  return cdb(`SANITIZE, ${what}`, {
    cite: 'SBC-3 5.24',
    sizeBytes: 10,
    operationCode: 0x48,
    serviceAction,
    fields: {
      immediate: bit(1, 7, 'IMMED'),
      allowUnrestrictedExit: bit(1, 5, 'AUSE'),
      parameterListLength: u16(7),
    },
    reserved: [reservedBits(1, 6, 6), reserved(2, 5)],
  })
}
export const sanitizeOverwrite = sanitize('OVERWRITE', 0x01)
export const sanitizeBlockErase = sanitize('BLOCK ERASE', 0x02)
export const sanitizeCryptographicErase = sanitize('CRYPTOGRAPHIC ERASE', 0x03)
export const sanitizeExitFailureMode = sanitize('EXIT FAILURE MODE', 0x1f)

export interface Sanitizing {
  readonly immediate: boolean
  readonly allowUnrestrictedExit: boolean
  readonly parameterListLength: number
}
