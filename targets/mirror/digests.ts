/**
 * Digests of the pages of a replica, by which two servers find out where their copies differ
 * without sending them (design: digests before a replica is called in sync). A hole and a page of
 * zeros have the same one, for they read the same; holes are not read. What is written meanwhile
 * may be seen or not: whoever needs to know holds the range lock.
 */
import { assert } from '../../src/base/assert.ts'
import { BufferCursor } from '../../src/base/buffer-cursor.ts'
import { mirror, pageBytes } from '../../src/base/limits.ts'
import type { Digest } from '../../src/ports/digest.ts'
import type { BlockExtent } from '../../src/scsi/logical-unit.ts'
import type { ReplicaStore } from '../store/replica-store.ts'
import { zeros } from '../store/zeros.ts'

/** Of a store, what is asked for reading the content of a replica. */
export type ContentStore = Pick<ReplicaStore, 'blocks' | 'blockBytes' | 'read' | 'release' | 'run'>

export class PageDigests {
  readonly #digest: Digest
  /** Of a hole as long as a page, and of those that end replicas. */
  readonly #holes = new Map<number, Promise<Buffer>>()

  constructor(digest: Digest) {
    this.#digest = digest
  }

  /** SHA-256 of each page of the range, which begins with a page and ends with one or the replica. */
  async of(store: ContentStore, { lba, blocks }: BlockExtent): Promise<Buffer[]> {
    const pageBlocks = pageBytes / store.blockBytes
    const endBlock = lba + blocks
    assert(lba % pageBlocks === 0, 'digests begin with a page')
    assert(endBlock === store.blocks || blocks % pageBlocks === 0, 'digests are of whole pages')
    const digests: Buffer[] = []
    for (let at = lba; at < endBlock; ) {
      const { hole, blocks: length } = stretchAt(store, at, endBlock - at)
      digests.push(...(await (hole ? this.#hole(store, length) : this.#read(store, at, length))))
      at += length
    }
    return digests
  }

  async #read(store: ContentStore, lba: number, blocks: number): Promise<Buffer[]> {
    const data = await store.read(lba, blocks)
    const cursor = new BufferCursor(data)
    const made = pageLengths(blocks * store.blockBytes).map((bytes) =>
      this.#digest.sha256(cursor.take(bytes)),
    )
    // Every one has ended before the buffers are used for something else.
    await Promise.allSettled(made)
    store.release?.(data)
    return Promise.all(made)
  }

  #hole(store: ContentStore, blocks: number): Promise<Buffer[]> {
    const lengths = pageLengths(blocks * store.blockBytes)
    return Promise.all(lengths.map((bytes) => this.#holeDigest(bytes)))
  }

  #holeDigest(bytes: number): Promise<Buffer> {
    const known = this.#holes.get(bytes)
    if (known !== undefined) return known
    const made = this.#digest.sha256(zeros(bytes))
    this.#holes.set(bytes, made)
    return made
  }
}

/** Bytes of the range that are allocated, and so must be read to be digested. */
export function allocatedBytes(store: ContentStore, { lba, blocks }: BlockExtent): number {
  let allocated = 0
  for (let at = lba; at < lba + blocks; ) {
    const run = store.run(at, lba + blocks - at)
    if (run.mapped) allocated += run.blocks
    at += run.blocks
  }
  return allocated * store.blockBytes
}

/** Whole pages, or the end: all of it a hole, or as much else as is read at once. */
function stretchAt(
  store: ContentStore,
  lba: number,
  left: number,
): { readonly hole: boolean; readonly blocks: number } {
  const pageBlocks = pageBytes / store.blockBytes
  const { mapped, blocks } = store.run(lba, left)
  const holes = mapped ? 0 : blocks === left ? left : blocks - (blocks % pageBlocks)
  if (holes > 0) return { hole: true, blocks: holes }
  const most = mirror.digestPieceBytes / store.blockBytes
  const whole = mapped ? Math.ceil(blocks / pageBlocks) * pageBlocks : pageBlocks
  return { hole: false, blocks: Math.min(whole, left, most) }
}

function pageLengths(bytes: number): number[] {
  const pages = Math.ceil(bytes / pageBytes)
  return Array.from({ length: pages }, (_, i) => Math.min(pageBytes, bytes - i * pageBytes))
}
