/** `--volume NAME=SIZE` of `palisade up`, with words for stripes, copies and the kind of disk. */

import { StorageError } from '../../base/errors.ts'
import { blockSizes, mirror as mirrorLimits, smallestBlockBytes } from '../../base/limits.ts'
import { isName, namePatternText } from '../../volume/names.ts'
import { parseCount } from '../config-file.ts'
import { parseSize, parseStripeUnit } from '../size.ts'

export interface WantedVolume {
  readonly name: string
  readonly sizeBytes: number
  /** Number of columns; absent for a linear volume. */
  readonly stripe?: number
  readonly stripeUnitBytes?: number
  /** Copies of each block; absent for one. */
  readonly mirror?: number
  readonly blockBytes: number
  readonly removable: boolean
  readonly readOnly: boolean
}

/** The most columns that a stripe set may have: as many servers as one `up` starts. */
export const mostServers = 64

const form = 'NAME=SIZE[,stripe=N[,unit=SIZE]][,mirror=N][,block=512|4096][,removable][,read-only]'

export function parseVolumeOption(text: string): WantedVolume {
  const [first = '', ...words] = text.split(',')
  const [name, size, ...rest] = first.split('=')
  if (name === undefined || size === undefined || rest.length > 0) {
    throw wrongForm(text)
  }
  if (!isName(name)) {
    throw new StorageError('invalid', `--volume: name "${name}": ${namePatternText}`)
  }
  const found = parseWords(text, words)
  const { removable, readOnly } = found
  const blockBytes = parseBlock(name, found.block)
  const field = `--volume ${name}: size`
  const sizeBytes = parseSize(size, { field, multipleOfBytes: blockBytes })
  const layout = { ...parseStripes(name, found), ...parseMirror(name, found) }
  return { name, sizeBytes, ...layout, blockBytes, removable, readOnly }
}

type Layout = Pick<WantedVolume, 'stripe' | 'stripeUnitBytes' | 'mirror'>

function parseStripes(name: string, { stripe, unit }: Words): Layout {
  if (stripe === undefined) {
    if (unit === undefined) return {}
    throw new StorageError('invalid', `--volume ${name}: unit: the volume has no stripes`)
  }
  const columns = parseCount(stripe, `--volume ${name}: stripe`, [2, mostServers])
  if (unit === undefined) return { stripe: columns }
  return { stripe: columns, stripeUnitBytes: parseStripeUnit(unit, `--volume ${name}: unit`) }
}

function parseMirror(name: string, { mirror }: Words): Layout {
  if (mirror === undefined) return {}
  return { mirror: parseCount(mirror, `--volume ${name}: mirror`, [1, mirrorLimits.mostCopies]) }
}

function wrongForm(text: string): StorageError {
  return new StorageError('invalid', `--volume: "${text}" is not ${form}`)
}

interface Words {
  stripe: string | undefined
  unit: string | undefined
  mirror: string | undefined
  block: string | undefined
  removable: boolean
  readOnly: boolean
}

function parseWords(text: string, words: readonly string[]): Words {
  const texts = { stripe: undefined, unit: undefined, mirror: undefined, block: undefined }
  const found: Words = { ...texts, removable: false, readOnly: false }
  const seen = new Set<string>()
  for (const word of words) {
    const [key = '', value] = word.split('=')
    if (seen.has(key)) throw new StorageError('invalid', `--volume: "${key}" twice in "${text}"`)
    seen.add(key)
    if (key === 'stripe' && value !== undefined) found.stripe = value
    else if (key === 'unit' && value !== undefined) found.unit = value
    else if (key === 'mirror' && value !== undefined) found.mirror = value
    else if (key === 'block' && value !== undefined) found.block = value
    else if (word === 'removable') found.removable = true
    else if (word === 'read-only') found.readOnly = true
    else throw wrongForm(text)
  }
  return found
}

function parseBlock(name: string, block: string | undefined): number {
  if (block === undefined) return smallestBlockBytes
  const known = blockSizes.find((bytes) => String(bytes) === block)
  if (known !== undefined) return known
  const sizes = blockSizes.join(' or ')
  throw new StorageError('invalid', `--volume ${name}: block "${block}" is not ${sizes}`)
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
