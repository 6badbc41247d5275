/** The eight-byte LUN field of iSCSI PDUs. SAM-5 4.7; our logical units have one level only. */

/** A number that no logical unit has: for LUN fields that name none. */
export const noLun = -1

/** Peripheral and flat addressing, 0 to 16383; `noLun` for everything else. */
export function decodeLun(field: Buffer): number {
  const high = field[0]!
  const method = high >> 6
  const rest = field[2]! | field[3]! | field[4]! | field[5]! | field[6]! | field[7]!
  if (rest !== 0 || method > 1) return noLun
  if (method === 0) return high === 0 ? field[1]! : noLun
  return ((high & 0x3f) << 8) | field[1]!
}

export function encodeLun(lun: number): Buffer {
  const field = Buffer.alloc(8)
  if (lun < 256) field[1] = lun
  else field.writeUInt16BE(0x4000 | lun, 0)
  return field
}
