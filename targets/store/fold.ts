/**
 * Folds log records into the stored page tables: computes the chunks that change, from the chunks
 * as stored and not from the tables in memory, which are ahead of what is durable.
 */
import type { Transaction } from '../../src/ports/key-value.ts'
import type { MapRecord, Sequenced } from './map-record.ts'
import { chunkPages, decodeChunk, encodeChunk } from './page-table.ts'
import { chunkKey, type StoreMetadata } from './store-metadata.ts'

export type Changes = Required<Pick<Transaction, 'put' | 'remove'>>

/** Records of replicas that are not `live` any more are left out. */
export async function foldChanges(
  metadata: StoreMetadata,
  entries: readonly Sequenced<MapRecord>[],
  live: ReadonlySet<number>,
): Promise<Changes> {
  const chunks = new Map<string, Uint32Array>()
  const chunkAt = async (replica: number, index: number): Promise<Uint32Array> => {
    const key = chunkKey(replica, index)
    let chunk = chunks.get(key)
    if (chunk === undefined) {
      const stored = await metadata.chunk(replica, index)
      chunk = stored === undefined ? new Uint32Array(chunkPages) : decodeChunk(stored)
      chunks.set(key, chunk)
    }
    return chunk
  }
  for (const { record } of entries) {
    if (record.kind === 'flush' || !live.has(record.replica)) continue
    if (record.kind === 'map') {
      const chunk = await chunkAt(record.replica, Math.floor(record.page / chunkPages))
      chunk[record.page % chunkPages] = record.physical + 1
      continue
    }
    const end = record.page + record.count
    for (let page = record.page; page < end; ) {
      const index = Math.floor(page / chunkPages)
      const stop = Math.min(end, (index + 1) * chunkPages)
      const chunk = await chunkAt(record.replica, index)
      chunk.fill(0, page - index * chunkPages, stop - index * chunkPages)
      page = stop
    }
  }
  return split(chunks)
}

/** A chunk without a mapping is not stored at all. */
function split(chunks: ReadonlyMap<string, Uint32Array>): Changes {
  const put: { key: string; value: Buffer }[] = []
  const remove: string[] = []
  for (const [key, chunk] of chunks) {
    if (chunk.some((entry) => entry !== 0)) put.push({ key, value: encodeChunk(chunk) })
    else remove.push(key)
  }
  return { put, remove }
}
