/**
 * A PDU is a layout of 48 bytes with an opcode. The table of a PDU says nothing about the I bit,
 * TotalAHSLength and DataSegmentLength: they belong to the framer and to `encodeFrame`, and are
 * written as zero here. RFC 7143 11.2.1.
 */
import {
  type Constant,
  constant,
  type Field,
  type Fields,
  type Layout,
  layout,
  reserved,
  reservedBits,
} from '../../wire/layout.ts'
import { basicHeaderBytes } from './basic-header.ts'
import type { Opcode } from './opcode.ts'

export interface Pdu<F extends Fields> extends Layout<F> {
  readonly opcode: Opcode
}

interface PduRows<F extends Fields> {
  readonly fields: F
  readonly constants?: readonly Constant[]
  readonly reserved: readonly Field<never>[]
}

/** The F bit where the standard fixes it to one. */
export const alwaysFinal = constant(1, 7, 7, 1)

export function pdu<const F extends Fields>(
  name: string,
  opcode: Opcode,
  section: string,
  rows: PduRows<F>,
): Pdu<F> {
  const table = layout({
    name,
    cite: `RFC 7143 ${section}`,
    sizeBytes: basicHeaderBytes,
    fields: rows.fields,
    constants: [constant(0, 5, 0, opcode), ...(rows.constants ?? [])],
    reserved: [reservedBits(0, 7, 6), reserved(4, 4), ...rows.reserved],
  })
  return { ...table, opcode }
}
