/**
 * How a command descriptor block is declared: operation code and service action are constants of
 * the layout, every other bit is a field or reserved. SPC-4 4.2. The CONTROL byte, the last one, is
 * reserved whole: NACA is not supported (SAM-5 5.2), the rest is obsolete or vendor specific.
 */
import { constant, type Field, type Fields, type Layout, layout, reserved } from '../wire/layout.ts'

export interface CdbLayout<F extends Fields = Fields> extends Layout<F> {
  readonly operationCode: number
  readonly serviceAction: number | undefined
  /** Which bits the device server looks at; code and action hold their values. SPC-4 6.35.3. */
  readonly usageData: Buffer
}

interface CdbSpec<F extends Fields> {
  readonly cite: string
  readonly sizeBytes: 6 | 10 | 12 | 16
  readonly operationCode: number
  readonly serviceAction?: number
  readonly fields: F
  readonly reserved?: readonly Field<never>[]
}

export function cdb<const F extends Fields>(name: string, spec: CdbSpec<F>): CdbLayout<F> {
  const { operationCode, serviceAction, sizeBytes } = spec
  const constants = [constant(0, 7, 0, operationCode)]
  if (serviceAction !== undefined) constants.push(constant(1, 4, 0, serviceAction))
  const table = layout({
    name,
    cite: spec.cite,
    sizeBytes,
    fields: spec.fields,
    constants,
    reserved: [...(spec.reserved ?? []), reserved(sizeBytes - 1)],
  })
  const usageData = Buffer.from(table.usedBits)
  usageData[0] = operationCode
  if (serviceAction !== undefined) usageData[1] = (usageData[1]! & 0xe0) | serviceAction
  return { ...table, operationCode, serviceAction, usageData }
}

/** The first bit that is set and that the layout does not use. */
export function reservedBitInUse(
  cdbLayout: CdbLayout,
  block: Buffer,
): { readonly byte: number; readonly bit: number } | undefined {
  const { usedBits } = cdbLayout
  for (let byte = 0; byte < usedBits.length; byte++) {
    const wrong = block[byte]! & ~usedBits[byte]!
    if (wrong !== 0) return { byte, bit: 31 - Math.clz32(wrong) }
  }
  return undefined
}

/** Two halves of a 64-bit LBA. What is lost above 2^53 is beyond the end of every volume anyway. */
export function lba64(halves: { readonly lbaHigh: number; readonly lbaLow: number }): number {
  return halves.lbaHigh * 0x1_0000_0000 + halves.lbaLow
}
