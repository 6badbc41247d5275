/**
 * Fixed-size headers declared once, as tables: offsets are the standard's byte numbers and bit 7 is
 * the high bit. From a table come the static type, `decode`, `encode`, `describe` and `generate`.
 * At module load a layout is checked (no overlap, every bit declared or reserved) and compiled to
 * straight-line code with the Function constructor, which only ever sees these constants and never
 * input. Variable parts (AHS, data segments, parameter lists) are not its business.
 */
import { assert } from '../base/assert.ts'
import type { Random } from '../ports/random.ts'

type FieldKind = 'bit' | 'bits' | 'number' | 'words4' | 'u64' | 'bytes'

/** One row of a table. `T` is the type of its value; it exists for the compiler only. */
export interface Field<T> {
  readonly kind: FieldKind
  readonly byte: number
  readonly size: number
  /** Highest and lowest bit of a field inside one byte. */
  readonly high: number
  readonly low: number
  readonly note: string
  readonly valueOf_?: T
}

type AnyField = Field<boolean> | Field<number> | Field<bigint> | Field<Buffer>
type FieldValue = boolean | number | bigint | Buffer
export type Fields = Readonly<Record<string, AnyField>>

/** Bits of one byte that always have this value on the wire; ignored by `decode`. */
export interface Constant {
  readonly byte: number
  readonly high: number
  readonly low: number
  readonly value: number
}

type ValueOf<F extends Fields> = {
  readonly [K in keyof F]: F[K] extends Field<infer T> ? T : never
}

/** The record type of a layout. */
export type Value<L> = L extends Layout<infer F> ? ValueOf<F> : never

export interface Layout<F extends Fields> {
  readonly name: string
  /** Where the standard draws it. */
  readonly cite: string
  readonly sizeBytes: number
  readonly fields: F
  /** One bit for every bit that is a field or a constant; the rest is reserved. */
  readonly usedBits: Buffer
  /** Fields of kind bytes are views on `buffer`, borrowed from its owner. */
  decode(buffer: Buffer, offset?: number): ValueOf<F>
  /** Writes every byte, reserved ones as zero. A value that does not fit is an invariant error. */
  encode(value: ValueOf<F>, buffer: Buffer, offset?: number): void
  /** Encodes into a new buffer. */
  build(value: ValueOf<F>): Buffer
  /** One line for logs. */
  describe(value: ValueOf<F>): string
  /** Random values for property tests. */
  generate(random: Random): ValueOf<F>
}

function field<T>(kind: FieldKind, byte: number, size: number, note = '', high = 7, low = 0) {
  const row: Field<T> = { kind, byte, size, high, low, note }
  return row
}

export const bit = (byte: number, position: number, note?: string): Field<boolean> =>
  field('bit', byte, 1, note, position, position)
export const bits = (byte: number, high: number, low: number, note?: string): Field<number> =>
  field('bits', byte, 1, note, high, low)
export const u8 = (byte: number, note?: string): Field<number> => field('number', byte, 1, note)
export const u16 = (byte: number, note?: string): Field<number> => field('number', byte, 2, note)
export const u24 = (byte: number, note?: string): Field<number> => field('number', byte, 3, note)
export const u32 = (byte: number, note?: string): Field<number> => field('number', byte, 4, note)
export const u64 = (byte: number, note?: string): Field<bigint> => field('u64', byte, 8, note)
/** One byte that counts four-byte words; the value is in bytes. */
export const words4 = (byte: number, note?: string): Field<number> => field('words4', byte, 1, note)
export const bytes = (byte: number, size: number, note?: string): Field<Buffer> =>
  field('bytes', byte, size, note)

/** Bytes written as zero and ignored on read. */
export const reserved = (byte: number, count = 1): Field<never> => field('bytes', byte, count)
/** Bits of one byte written as zero and ignored on read. */
export const reservedBits = (byte: number, high: number, low: number): Field<never> =>
  field('bits', byte, 1, '', high, low)

export const constant = (byte: number, high: number, low: number, value: number): Constant => ({
  byte,
  high,
  low,
  value,
})

const bitMask = (high: number, low: number) => (2 ** (high - low + 1) - 1) * 2 ** low

/** Takes the bits of one row out of those still free; they must all have been free. */
function claim(free: Buffer, row: Omit<Constant, 'value'> & { size: number }, who: string): void {
  assert(row.high <= 7 && row.low >= 0 && row.high >= row.low, `${who}: no such bits`)
  assert(row.byte >= 0 && row.byte + row.size <= free.length, `${who}: outside the layout`)
  for (let byte = row.byte; byte < row.byte + row.size; byte++) {
    const mask = bitMask(row.high, row.low)
    assert((free[byte]! & mask) === mask, `${who}: byte ${byte} is declared twice`)
    free[byte] = free[byte]! & ~mask
  }
}

interface LayoutSpec<F extends Fields> {
  readonly name: string
  readonly cite: string
  readonly sizeBytes: number
  readonly fields: F
  readonly constants?: readonly Constant[]
  readonly reserved?: readonly Field<never>[]
}

/** Checks the table and returns the bits in use. */
function check(spec: LayoutSpec<Fields>): Buffer {
  const free = Buffer.alloc(spec.sizeBytes, 0xff)
  for (const [key, row] of Object.entries(spec.fields)) claim(free, row, `${spec.name}.${key}`)
  for (const row of spec.constants ?? []) {
    claim(free, { ...row, size: 1 }, `${spec.name} constant`)
    assert(row.value <= bitMask(row.high - row.low, 0), `${spec.name}: constant does not fit`)
  }
  const used = Buffer.from(free.map((byte) => ~byte))
  for (const row of spec.reserved ?? []) claim(free, row, `${spec.name} reserved`)
  const undeclared = free.findIndex((byte) => byte !== 0)
  assert(undeclared < 0, `${spec.name}: byte ${undeclared} is neither declared nor reserved`)
  return used
}

const at = (byte: number) => `b[o + ${byte}]`

/** The expression that reads one field from buffer `b` at offset `o`. */
function readExpression(row: AnyField): string {
  const { kind, byte, size } = row
  if (kind === 'bit') return `(${at(byte)} & ${bitMask(row.high, row.low)}) !== 0`
  if (kind === 'bits') return `(${at(byte)} & ${bitMask(row.high, row.low)}) >> ${row.low}`
  if (kind === 'words4') return `${at(byte)} * 4`
  if (kind === 'bytes') return `b.subarray(o + ${byte}, o + ${byte + size})`
  if (kind === 'u64') {
    return `(BigInt(${unsigned(byte, 4)}) << 32n) | BigInt(${unsigned(byte + 4, 4)})`
  }
  return unsigned(byte, size)
}

function unsigned(byte: number, size: number): string {
  const parts = Array.from({ length: size }, (_, i) => {
    const shift = 8 * (size - 1 - i)
    return shift === 0 ? at(byte + i) : `${at(byte + i)} << ${shift}`
  })
  return size === 4 ? `(${parts.join(' | ')}) >>> 0` : parts.join(' | ')
}

const largest = (row: AnyField) => bitMask(row.high - row.low, 0)

/** The condition that a value fits its field. */
function fitExpression(row: AnyField, v: string): string {
  if (row.kind === 'bit') return `typeof ${v} === 'boolean'`
  if (row.kind === 'bits') return `(${v} & ${largest(row)}) === ${v}`
  if (row.kind === 'words4') return `(${v} & 0x3fc) === ${v}`
  if (row.kind === 'bytes') return `${v}.length === ${row.size}`
  if (row.kind === 'u64') return `BigInt.asUintN(64, ${v}) === ${v}`
  return row.size === 4 ? `${v} >>> 0 === ${v}` : `(${v} & ${256 ** row.size - 1}) === ${v}`
}

/** What a field contributes to each of its bytes. */
function writeExpressions(row: AnyField, v: string): string[] {
  if (row.kind === 'bit') return [`(${v} ? ${bitMask(row.high, row.low)} : 0)`]
  if (row.kind === 'bits') return [`(${v} << ${row.low})`]
  if (row.kind === 'words4') return [`(${v} >> 2)`]
  return Array.from({ length: row.size }, (_, i) => {
    if (row.kind === 'bytes') return `${v}[${i}]`
    const shift = 8 * (row.size - 1 - i)
    return row.kind === 'u64'
      ? `Number((${v} >> ${shift}n) & 0xffn)`
      : `((${v} >>> ${shift}) & 0xff)`
  })
}

const literal = (key: string) => {
  assert(/^[a-zA-Z][a-zA-Z0-9]*$/.test(key), `${key} is no field name`)
  return key
}

function decoderSource(spec: LayoutSpec<Fields>): string {
  const rows = Object.entries(spec.fields).map(([key, row]) => {
    return `${literal(key)}: ${readExpression(row)},`
  })
  return `if (b.length < o + ${spec.sizeBytes}) short(); return { ${rows.join('\n')} }`
}

function encoderSource(spec: LayoutSpec<Fields>): string {
  const parts = Array.from({ length: spec.sizeBytes }, (): string[] => [])
  const checks: string[] = []
  for (const { byte, low, value } of spec.constants ?? []) parts[byte]!.push(`${value << low}`)
  for (const [key, row] of Object.entries(spec.fields)) {
    const v = `v.${literal(key)}`
    checks.push(`if (!(${fitExpression(row, v)})) misfit('${key}', ${v})`)
    for (const [i, part] of writeExpressions(row, v).entries()) parts[row.byte + i]!.push(part)
  }
  const writes = parts.map((part, byte) => `${at(byte)} = ${part.join(' | ') || '0'}`)
  return `if (b.length < o + ${spec.sizeBytes}) short()\n${[...checks, ...writes].join('\n')}`
}

type Decoder<F extends Fields> = (buffer: Buffer, offset: number) => ValueOf<F>
type Encoder<F extends Fields> = (value: ValueOf<F>, buffer: Buffer, offset: number) => void

function compile<F extends Fields>(
  spec: LayoutSpec<F>,
): { decode: Decoder<F>; encode: Encoder<F> } {
  const short = () =>
    assert(false, `${spec.name}: the buffer is shorter than ${spec.sizeBytes} bytes`)
  const misfit = (key: string, value: unknown) =>
    assert(false, `${spec.name}.${key}: ${String(value)} does not fit`)
  const decode = new Function('short', `return (b, o) => { ${decoderSource(spec)} }`)
  const encode = new Function('short', 'misfit', `return (v, b, o) => { ${encoderSource(spec)} }`)
  return {
    decode: decode(short) as Decoder<F>,
    encode: encode(short, misfit) as Encoder<F>,
  }
}

function describeValue(value: FieldValue | undefined): string {
  if (Buffer.isBuffer(value)) return `0x${value.toString('hex')}`
  return typeof value === 'number' && value > 0xffff ? `0x${value.toString(16)}` : String(value)
}

function randomValue(row: AnyField, random: Random): FieldValue {
  if (row.kind === 'bit') return random.below(2) === 1
  if (row.kind === 'bits') return random.below(largest(row) + 1)
  if (row.kind === 'words4') return random.below(256) * 4
  if (row.kind === 'bytes') return random.bytes(row.size)
  if (row.kind === 'u64') return random.bytes(8).readBigUInt64BE()
  return random.below(256 ** row.size)
}

/** Checks and compiles one table. Call it at module load only. */
export function layout<const F extends Fields>(spec: LayoutSpec<F>): Layout<F> {
  const { name, cite, sizeBytes, fields } = spec
  const usedBits = check(spec)
  const { decode, encode } = compile(spec)
  return {
    name,
    cite,
    sizeBytes,
    fields,
    usedBits,
    decode: (buffer, offset = 0) => decode(buffer, offset),
    encode: (value, buffer, offset = 0) => encode(value, buffer, offset),
    build(value) {
      const buffer = Buffer.allocUnsafe(sizeBytes)
      encode(value, buffer, 0)
      return buffer
    },
    describe(value) {
      const entries = Object.entries<FieldValue>(value as Readonly<Record<string, FieldValue>>)
      return `${name} ${entries.map(([key, v]) => `${key}=${describeValue(v)}`).join(' ')}`
    },
    generate(random) {
      const entries = Object.entries(fields).map(([key, row]) => [key, randomValue(row, random)])
      return Object.fromEntries(entries) as ValueOf<F>
    },
  }
}
