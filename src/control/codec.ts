/**
 * Between protobuf bytes and plain typed records. Numbers are plain numbers on our side: a uint64
 * above 2^53 - 1 is refused at decode, never rounded, and no Long or bigint gets past this file
 * (protobufjs drops a bigint given to `encode` without a word). Absent sub-messages and absent
 * members of a oneof are absent properties; scalars and lists are always there.
 */
import protobuf from 'protobufjs/light.js'
import { assert } from '../base/assert.ts'
import { StorageError } from '../base/errors.ts'
import { descriptor } from './generated/descriptor.ts'

export interface Codec<T> {
  encode(message: T): Buffer
  /** Rejects bytes that are no such message with StorageError `invalid`. */
  decode(bytes: Uint8Array): T
}

/** What protobufjs calls a plain object; numbers are safe integers or doubles. */
export type Wire = Record<string, unknown>

/** How our record differs from the message's fields, for instance in its enums. */
export interface Conversion<T> {
  toWire(message: T): Wire
  fromWire(wire: Wire): T
}

const root = protobuf.Root.fromJSON(descriptor)
const conversion = { longs: Number, enums: String, defaults: true, arrays: true } as const

/** The codec of message `name` of package palisade; without `convert`, T is the message's fields. */
export function codec<T extends object>(name: string, convert?: Conversion<T>): Codec<T> {
  const type = root.lookupType(`palisade.${name}`)
  return {
    encode(message) {
      const wire = convert === undefined ? (message as Wire) : convert.toWire(message)
      checkNumbers(wire, name)
      return Buffer.from(type.encode(type.fromObject(wire)).finish())
    },
    decode(bytes) {
      try {
        const wire = type.toObject(type.decode(bytes), conversion)
        tidy(wire, name)
        return convert === undefined ? (wire as T) : convert.fromWire(wire)
      } catch (error) {
        if (error instanceof StorageError) throw error
        throw new StorageError('invalid', `these bytes are no ${name}`, error)
      }
    },
  }
}

/** Drops absent sub-messages and refuses numbers that a number cannot hold. */
function tidy(wire: Wire, path: string): void {
  for (const [key, value] of Object.entries(wire)) {
    if (value === null) delete wire[key]
    else tidyValue(value, `${path}.${key}`)
  }
}

function tidyValue(value: unknown, path: string): void {
  if (typeof value === 'number') {
    if (!isHoldable(value)) throw new StorageError('invalid', `${path} is above 2^53 - 1`)
  } else if (Array.isArray(value)) {
    for (const each of value) tidyValue(each, path)
  } else if (typeof value === 'object' && value !== null) tidy(value as Wire, path)
}

/** Anything from 2^53 on may have been rounded. */
function isHoldable(value: number): boolean {
  return Number.isFinite(value) && Math.abs(value) <= Number.MAX_SAFE_INTEGER
}

function checkNumbers(value: unknown, path: string): void {
  assert(typeof value !== 'bigint', `${path} is a bigint`)
  if (typeof value === 'number') assert(isHoldable(value), `${path} is ${value}`)
  else if (typeof value === 'object' && value !== null) {
    for (const [key, each] of Object.entries(value)) checkNumbers(each, `${path}.${key}`)
  }
}
