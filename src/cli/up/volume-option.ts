/** `--volume NAME=SIZE[,stripe=N]` of `palisade up`. */

import { StorageError } from '../../base/errors.ts'
import { blockBytes } from '../../base/limits.ts'
import { isName, namePatternText } from '../../volume/names.ts'
import { parseCount } from '../config-file.ts'
import { parseSize } from '../size.ts'

export interface WantedVolume {
  readonly name: string
  readonly sizeBytes: number
  /** Number of columns; absent for a linear volume. */
  readonly stripe?: number
}

/** The most columns that a stripe set may have: as many servers as one `up` starts. */
export const mostServers = 64

export function parseVolumeOption(text: string): WantedVolume {
  const match = /^([^=]*)=([^,]*)(?:,stripe=([^,]*))?$/.exec(text)
  const [, name, size, stripe] = match ?? []
  if (name === undefined || size === undefined) {
    throw new StorageError('invalid', `--volume: "${text}" is not NAME=SIZE[,stripe=N]`)
  }
  if (!isName(name)) {
    throw new StorageError('invalid', `--volume: name "${name}": ${namePatternText}`)
  }
  const field = `--volume ${name}: size`
  const sizeBytes = parseSize(size, { field, multipleOfBytes: blockBytes })
  if (stripe === undefined) return { name, sizeBytes }
  return {
    name,
    sizeBytes,
    stripe: parseCount(stripe, `--volume ${name}: stripe`, [2, mostServers]),
  }
}

/** All of them; a name given twice is an error. */
export function parseVolumeOptions(texts: readonly string[]): WantedVolume[] {
  const wanted = texts.map(parseVolumeOption)
  for (const [i, { name }] of wanted.entries()) {
    if (wanted.findIndex((other) => other.name === name) !== i) {
      throw new StorageError('invalid', `--volume: "${name}" is given twice`)
    }
  }
  return wanted
}
