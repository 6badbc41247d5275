/**
 * What every Basic Header Segment has in common: opcode, I bit and lengths. RFC 7143 11.2.1. The
 * layouts of the PDUs leave these bits alone. The framer and `encodeFrame` handle them by hand,
 * because a header may lie in pieces there; the golden tests hold both against this table.
 */
import { bit, bits, layout, reserved, reservedBits, u24, words4 } from '../../wire/layout.ts'

export const basicHeaderBytes = 48

export const basicHeader = layout({
  name: 'Basic Header Segment',
  cite: 'RFC 7143 11.2.1',
  sizeBytes: basicHeaderBytes,
  fields: {
    immediate: bit(0, 6, 'I: not subject to CmdSN order'),
    opcode: bits(0, 5, 0),
    totalAhsLengthBytes: words4(4, 'TotalAHSLength: all AHS with their padding'),
    dataSegmentLength: u24(5, 'DataSegmentLength: bytes, without padding'),
  },
  reserved: [reservedBits(0, 7, 7), reserved(1, 3), reserved(8, 40)],
})
