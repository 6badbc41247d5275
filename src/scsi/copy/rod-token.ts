/**
 * ROD tokens as bytes: 512 of them, of which the initiator understands the head at most. SPC-4
 * 5.16.6.4, and the block device zero ROD token, SBC-3 4.28.4. Chance makes a token unguessable: it
 * is the only credential of the data behind it. The information for devices of a type is left zero.
 */
import { bytes, layout, reserved, u16, u32, u64 } from '../../wire/layout.ts'

export const rodTokenBytes = 512

/** ROD TYPE. SPC-4 5.16.6.2, SBC-3 4.28.4. */
export const RodType = {
  COPY_MANAGER_INTERNAL: 0,
  POINT_IN_TIME_COPY_DEFAULT: 0x0080_0000,
  BLOCK_DEVICE_ZERO: 0xffff_0001,
} as const

/** ROD TOKEN LENGTH: what follows that field. */
export const rodTokenLength = rodTokenBytes - 8

export const secretBytes = 32

export const rodToken = layout({
  name: 'ROD token',
  cite: 'SPC-4 5.16.6.4',
  sizeBytes: rodTokenBytes,
  fields: {
    rodType: u32(0),
    rodTokenLength: u16(6),
    identifier: bytes(8, 8, 'COPY MANAGER ROD TOKEN IDENTIFIER'),
    creator: bytes(16, 32, 'CREATOR LOGICAL UNIT DESCRIPTOR'),
    bytesHigh: u64(48),
    bytesLow: u64(56, 'NUMBER OF BYTES REPRESENTED'),
    secret: bytes(128, secretBytes, 'EXTENDED ROD TOKEN DATA'),
  },
  reserved: [reserved(4, 2), reserved(64, 64), reserved(160, rodTokenBytes - 160)],
})

/** The time it takes tells nothing of where they differ. */
export function sameToken(one: Buffer, other: Buffer): boolean {
  let difference = one.length ^ other.length
  for (let i = 0; i < one.length; i++) difference |= one[i]! ^ (other[i] ?? 0)
  return difference === 0
}
