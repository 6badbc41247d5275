/**
 * `--config FILE.toml`: every long option of a command can stand in the file under its own name
 * (`portal = ["10.0.0.1:3260"]`, `hold = 30`, `json = true`). What the command line says wins;
 * a key that is no option of the command is an error. Nothing here knows any single option.
 *
 * Commander checks mandatory options before this runs, so commands that take a file declare theirs
 * with `option` and ask for them with `requireOption`.
 */
import { readFile } from 'node:fs/promises'
import type { Command, Option } from 'commander'
import { StorageError, toError } from '../base/errors.ts'

/** Reads the file named by `--config`, if any, into the command's options. Call it first. */
export async function applyConfigFile(command: Command): Promise<void> {
  const file: unknown = command.getOptionValue('config')
  if (typeof file !== 'string') return
  for (const [key, value] of Object.entries(await readToml(file))) {
    const option = command.options.find((one) => one.long === `--${key}` && key !== 'config')
    if (option === undefined) {
      throw new StorageError('invalid', `${file}: unknown key "${key}"; known: ${keys(command)}`)
    }
    if (command.getOptionValueSource(option.attributeName()) === 'cli') continue
    const read = readValue(option, value, `${file}: ${key}`)
    command.setOptionValueWithSource(option.attributeName(), read, 'config')
  }
}

async function readToml(file: string): Promise<Record<string, unknown>> {
  const { parse } = await import('smol-toml')
  try {
    return parse(await readFile(file, 'utf8'))
  } catch (thrown) {
    throw new StorageError('invalid', `--config ${file}: ${toError(thrown).message}`)
  }
}

function keys(command: Command): string {
  const long = command.options.flatMap((option) => option.long?.slice(2) ?? [])
  return long.filter((name) => name !== 'config').join(', ')
}

/** The value as the command line would have given it, through the option's own parser. */
function readValue(option: Option, value: unknown, where: string): unknown {
  if (option.isBoolean()) {
    if (typeof value !== 'boolean') throw new StorageError('invalid', `${where}: true or false`)
    return value
  }
  const items = Array.isArray(value) ? value : [value]
  const repeatable = option.variadic || Array.isArray(option.defaultValue)
  if (items.length !== 1 && !repeatable) {
    throw new StorageError('invalid', `${where}: one value, not a list`)
  }
  const texts = items.map((item) => {
    if (typeof item === 'string' || typeof item === 'number') return String(item)
    throw new StorageError('invalid', `${where}: a string or a number`)
  })
  const parse = option.parseArg
  if (parse === undefined) return repeatable ? texts : texts[0]
  return texts.reduce<unknown>((before, text) => parse(text, before as never), option.defaultValue)
}

/** The value of an option that must be given, by flag or file. */
export function requireOption<T>(value: T | undefined, flag: string): T {
  if (value === undefined || (Array.isArray(value) && value.length === 0)) {
    throw new StorageError('invalid', `${flag} is missing: give it as a flag or in --config`)
  }
  return value
}

/** For options that may be given several times; their default must be `[]`. */
export function collect(value: string, before: readonly string[]): readonly string[] {
  return [...before, value]
}

/** A number of seconds, fractions allowed, as whole milliseconds. */
export function parseSeconds(text: string, field: string): number {
  const seconds = /^[0-9]+(\.[0-9]+)?$/.test(text) ? Number(text) : Number.NaN
  if (!(seconds <= 86_400)) {
    throw new StorageError('invalid', `${field}: "${text}" is not a number of seconds, 0 to 86400`)
  }
  return Math.round(seconds * 1000)
}

/** A whole number between two bounds. */
export function parseCount(text: string, field: string, range: readonly [number, number]): number {
  const [least, most] = range
  const count = /^[0-9]+$/.test(text) ? Number(text) : Number.NaN
  if (!(count >= least && count <= most)) {
    throw new StorageError(
      'invalid',
      `${field}: "${text}" is not a whole number, ${least} to ${most}`,
    )
  }
  return count
}
