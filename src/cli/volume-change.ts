/** What all verbs that change a volume share: the call with its progress, and what came of it. */
import type { VolumeMap } from '../volume/map.ts'
import { type VerbOptions, withManager, withProgress } from './manager-connection.ts'
import { printJson, printLines } from './output.ts'
import { formatSize, parseSize } from './size.ts'
import { volumeJson } from './volume-json.ts'

export type Admin = Parameters<Parameters<typeof withManager>[1]>[0]
type Changed = {
  readonly map: VolumeMap
  readonly shutOutMs: number
  readonly warnings?: readonly string[]
}

export async function change(
  options: VerbOptions,
  name: string,
  done: string,
  make: (admin: Admin) => Promise<Changed>,
): Promise<void> {
  const reply = await withManager(options, (admin) => withProgress(admin, name, make(admin)))
  const { warnings = [] } = reply
  if (options.json) {
    printJson({ ...volumeJson(reply.map), shutOutMs: reply.shutOutMs, warnings })
    return
  }
  const shutOut =
    reply.shutOutMs > 0 ? `, clients shut out for ${reply.shutOutMs.toFixed(1)} ms` : ''
  printLines([`${done} ${summary(reply.map)}${shutOut}`])
  for (const warning of warnings) process.stderr.write(`warning: ${warning}\n`)
}

export function summary(map: VolumeMap): string {
  const size = formatSize(map.blocks * map.blockBytes)
  return `${map.name}: ${size}, ${layout(map)}, generation ${map.generation}`
}

/** `linear on server-1`, `3 stripes, 2 copies on a, b, c`. */
export function layout(map: VolumeMap): string {
  const stripes = Math.max(0, ...map.segments.map((segment) => segment.stripe?.count ?? 0))
  const servers = map.segments.flatMap((segment) => segment.replicas.map((one) => one.server))
  const where = [...new Set(servers)].join(', ')
  const copies = map.copies > 1 ? `, ${map.copies} copies` : ''
  return `${stripes > 0 ? `${stripes} stripes` : 'linear'}${copies} on ${where}`
}

export function parseVolumeSize(text: string, blockBytes: number): number {
  return parseSize(text, { field: '--size', multipleOfBytes: blockBytes })
}
