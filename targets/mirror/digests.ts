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
      const left = endBlock - at
      const hole = wholePages(holeAt(store, at, left), left, pageBlocks)
      if (hole > 0) digests.push(...(await this.#hole(hole * store.blockBytes)))
      else digests.push(...(await this.#read(store, at, pieceOf(store, left))))
      at += hole > 0 ? hole : pieceOf(store, left)
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

  #hole(bytes: number): Promise<Buffer[]> {
    return Promise.all(pageLengths(bytes).map((length) => this.#holeDigest(length)))
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

function holeAt(store: ContentStore, lba: number, most: number): number {
  const run = store.run(lba, most)
  return run.mapped ? 0 : run.blocks
}

/** Of a run of `blocks` where `left` are left: up to a whole page, or the end. */
function wholePages(blocks: number, left: number, pageBlocks: number): number {
  return blocks === left ? blocks : blocks - (blocks % pageBlocks)
}

function pieceOf(store: ContentStore, left: number): number {
  return Math.min(left, mirror.digestPieceBytes / store.blockBytes)
}

function pageLengths(bytes: number): number[] {
  const pages = Math.ceil(bytes / pageBytes)
  return Array.from({ length: pages }, (_, i) => Math.min(pageBytes, bytes - i * pageBytes))
}
