/** The `--lun` option of the standalone target: `FILE[=SIZE][,thin][,read-only][,removable][,block=…]`. */
import { resolve } from 'node:path'
import { StorageError } from '../base/errors.ts'
import { smallestBlockBytes } from '../base/limits.ts'
import { parseSize } from './size.ts'

export interface LunSpec {
  readonly path: string
  readonly sizeBytes: number | undefined
  readonly thin: boolean
  readonly readOnly: boolean
  readonly removable: boolean
  readonly blockBytes: number
}

const form = 'FILE[=SIZE][,thin][,read-only][,removable][,block=512|4096]'
const largeBlockBytes = 4096
const blockOptions: ReadonlyMap<string, number> = new Map([
  ['block=512', smallestBlockBytes],
  ['block=4096', largeBlockBytes],
])
const flags: ReadonlySet<string> = new Set(['thin', 'read-only', 'removable'])

/** A comma that no word of ours follows belongs to the name of the file. */
export function parseLun(text: string): LunSpec {
  const { rest, words } = wordsAtEnd(text)
  const equals = rest.lastIndexOf('=')
  const path = equals < 0 ? rest : rest.slice(0, equals)
  if (path === '') throw new StorageError('invalid', `--lun: "${text}" is not ${form}`)
  const blockBytes = blockBytesOf(words, path)
  const rule = { field: `--lun ${path}`, multipleOfBytes: blockBytes }
  return {
    path: resolve(path),
    sizeBytes: equals < 0 ? undefined : parseSize(rest.slice(equals + 1), rule),
    thin: words.includes('thin'),
    readOnly: words.includes('read-only'),
    removable: words.includes('removable'),
    blockBytes,
  }
}

function wordsAtEnd(text: string): { readonly rest: string; readonly words: readonly string[] } {
  const words: string[] = []
  let rest = text
  for (;;) {
    const comma = rest.lastIndexOf(',')
    const word = rest.slice(comma + 1)
    if (comma < 0 || !(flags.has(word) || word.startsWith('block='))) return { rest, words }
    words.push(word)
    rest = rest.slice(0, comma)
  }
}

function blockBytesOf(words: readonly string[], path: string): number {
  const given = words.filter((word) => word.startsWith('block='))
  const [first] = given
  if (first === undefined) return smallestBlockBytes
  const bytes = given.length === 1 ? blockOptions.get(first) : undefined
  if (bytes !== undefined) return bytes
  throw new StorageError('invalid', `--lun ${path}: ",${first}" is not ,block=512 or ,block=4096`)
}
