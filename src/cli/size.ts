/**
 * Sizes as people write them: plain bytes, KiB to TiB (binary) or kB to TB (decimal). Every error
 * names the field, what was given and what is accepted.
 */
import { StorageError } from '../base/errors.ts'
import { pageBytes } from '../base/limits.ts'

const units = {
  B: 1,
  kB: 1e3,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
} as const
const unitNames = 'KiB, MiB, GiB, TiB (binary) or kB, MB, GB, TB (decimal)'
const binaryUnits = ['TiB', 'GiB', 'MiB', 'KiB'] as const

export interface SizeRule {
  /** What the size is called in errors, for example `--size`. */
  readonly field: string
  /** The size must be a whole multiple of this many bytes. */
  readonly multipleOfBytes: number
  readonly atLeastBytes?: number
}

/** Bytes, or StorageError `invalid`. */
export function parseSize(text: string, rule: SizeRule): number {
  const match = /^([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)$/.exec(text.trim())
  const factor = match?.[2] === '' ? 1 : units[match?.[2] as keyof typeof units]
  if (match?.[1] === undefined || factor === undefined) {
    throw wrong(rule, text, `is not a size: a number of bytes, or a number with ${unitNames}`)
  }
  const bytes = Number(match[1]) * factor
  const least = rule.atLeastBytes ?? rule.multipleOfBytes
  if (!Number.isSafeInteger(bytes)) {
    throw wrong(rule, text, 'is not a whole number of bytes below 2^53')
  }
  if (bytes < least) throw wrong(rule, text, `is too small: at least ${formatSize(least)}`)
  if (bytes % rule.multipleOfBytes !== 0) {
    const near = Math.max(1, Math.round(bytes / rule.multipleOfBytes)) * rule.multipleOfBytes
    throw wrong(
      rule,
      text,
      `is ${bytes} bytes, not a multiple of ${rule.multipleOfBytes}; the nearest is ${near}`,
    )
  }
  return bytes
}

/** A stripe unit is whole pages. */
export function parseStripeUnit(text: string, field: string): number {
  return parseSize(text, { field, multipleOfBytes: pageBytes })
}

function wrong(rule: SizeRule, text: string, what: string): StorageError {
  return new StorageError('invalid', `${rule.field}: "${text}" ${what}`)
}

/** The shortest exact form that `parseSize` reads back to the same number: `64KiB`, `10GiB`. */
export function formatSize(bytes: number): string {
  for (const unit of binaryUnits) {
    if (bytes > 0 && bytes % units[unit] === 0) return `${bytes / units[unit]}${unit}`
  }
  return `${bytes}`
}

/** For people: three digits and a unit, rounded. */
export function approximateSize(bytes: number): string {
  const unit = binaryUnits.find((name) => bytes >= units[name])
  if (unit === undefined) return `${bytes} B`
  const value = bytes / units[unit]
  return `${value >= 100 ? Math.round(value) : Number(value.toPrecision(3))} ${unit}`
}
