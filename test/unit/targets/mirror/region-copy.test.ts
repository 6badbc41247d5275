/** Digests of pages, and what is copied where they differ. */
import t from 'tap'
import { mirror, pageBytes } from '../../../../src/base/limits.ts'
import type { Digest } from '../../../../src/ports/digest.ts'
import { allocatedBytes, PageDigests } from '../../../../targets/mirror/digests.ts'
import { PartnerFailure } from '../../../../targets/mirror/partner.ts'
import { RegionCopy } from '../../../../targets/mirror/region-copy.ts'
import { Regions } from '../../../../targets/mirror/regions.ts'
import {
  memoryBlockBytes,
  memoryMasks,
  regionBlocks,
  steadyDigest,
} from '../../../support/memory-mirror.ts'
import { MemoryPartner } from '../../../support/memory-partner.ts'
import { MemoryReplica } from '../../../support/memory-replica.ts'
import { testUuid } from '../../../support/volume-maps.ts'

const pageBlocks = pageBytes / memoryBlockBytes
/** Two regions, and a page that is cut short. */
const blocks = 2 * regionBlocks + pageBlocks + 5
const everything = { lba: 0, blocks }
const page = (text: string, count = 1): Buffer => Buffer.alloc(count * pageBytes, text)

function countingDigest(): { digest: Digest; digested: number[] } {
  const digested: number[] = []
  const digest: Digest = {
    sha256(parts) {
      digested.push(parts.reduce((sum, { length }) => sum + length, 0))
      return steadyDigest.sha256(parts)
    },
  }
  return { digest, digested }
}

t.test('a digest for each page; holes are not read, and count as zeros', async (t) => {
  const { digest, digested } = countingDigest()
  const store = new MemoryReplica({ blocks })
  store.put(3 * pageBlocks, page('three'))
  store.put(10 * pageBlocks, Buffer.alloc(pageBytes))
  store.put(2 * regionBlocks + pageBlocks + 4, Buffer.alloc(memoryBlockBytes, 'end'))
  const digests = new PageDigests(digest)
  const made = await digests.of(store, everything)
  t.equal(made.length, 130)
  t.equal(store.readsBlocks, 2 * pageBlocks + 5)
  t.same(made[3], await steadyDigest.sha256([page('three')]))
  t.same(made[0], await steadyDigest.sha256([Buffer.alloc(pageBytes)]))
  t.same(made[10], made[0], 'written zeros read like a hole')
  t.same(made[129], await steadyDigest.sha256([store.content(2 * regionBlocks + pageBlocks, 5)]))
  const once = digested.length
  await digests.of(store, everything)
  t.equal(digested.length - once, 3, 'of holes they are known by then')
  t.equal(allocatedBytes(store, everything), 2 * pageBytes + 5 * memoryBlockBytes)
  await t.rejects(digests.of(store, { lba: 1, blocks: pageBlocks }), /begin with a page/)
  await t.rejects(digests.of(store, { lba: 0, blocks: pageBlocks + 1 }), /whole pages/)
  t.same(await digests.of(store, { lba: 16, blocks: 0 }), [])
})

t.test('a long stretch is read piece by piece', async (t) => {
  const reads: number[] = []
  const store = new MemoryReplica({ blocks })
  store.put(0, page('long', 20))
  const watched = {
    blocks: store.blocks,
    blockBytes: store.blockBytes,
    run: (lba: number, most?: number) => store.run(lba, most),
    read(lba: number, count: number) {
      reads.push(count * memoryBlockBytes)
      return store.read(lba, count)
    },
  }
  await new PageDigests(steadyDigest).of(watched, { lba: 0, blocks: 30 * pageBlocks })
  t.same(reads, Array(5).fill(mirror.digestPieceBytes))
})

async function copying(): Promise<{
  store: MemoryReplica
  partners: MemoryPartner[]
  copy: RegionCopy
}> {
  const store = new MemoryReplica({ blocks })
  const digests = new PageDigests(steadyDigest)
  const partners = [2, 3].map(async (number) => {
    const masks = await memoryMasks(blocks)
    const other = new MemoryReplica({ blocks })
    return new MemoryPartner({ serverId: testUuid(number), store: other, masks, digests })
  })
  const copy = new RegionCopy({ store, digests, generation: 1 })
  return { store, partners: await Promise.all(partners), copy }
}

t.test(
  'pages that differ are sent, holes are made holes, and the rest is left alone',
  async (t) => {
    const { store, partners, copy } = await copying()
    const [one, two] = partners as [MemoryPartner, MemoryPartner]
    store.put(0, page('same', 4))
    store.put(8 * pageBlocks, page('long', 40))
    store.put(2 * regionBlocks + pageBlocks, Buffer.alloc(5 * memoryBlockBytes, 'end'))
    one.store.put(0, page('same', 4))
    one.store.put(100 * pageBlocks, page('gone', 2))
    two.store.put(0, store.content(0, blocks))
    t.same(await copy.differences(partners, everything), [
      [
        { lba: 8 * pageBlocks, blocks: 40 * pageBlocks },
        { lba: 100 * pageBlocks, blocks: 2 * pageBlocks },
        { lba: 129 * pageBlocks, blocks: 5 },
      ],
      [],
    ])
    const counts = await copy.copy(partners, everything)
    t.same(counts, [
      { pages: 43, bytes: 40 * pageBytes + 5 * memoryBlockBytes },
      { pages: 0, bytes: 0 },
    ])
    t.same(store.differences(one.store), [])
    t.notOk(one.store.pages.has(100))
    t.equal(one.calls.filter((call) => call === 'write').length, 4, 'in pieces of a mebibyte')
    t.equal(one.resyncBytes, counts[0]!.bytes, 'flagged as what brings it up to date')
    t.notOk(two.calls.includes('write'))
  },
)

t.test('a partner that fails, or answers nonsense, is told of when all has ended', async (t) => {
  const { store, partners, copy } = await copying()
  const [one, two] = partners as [MemoryPartner, MemoryPartner]
  store.put(0, page('new', 2))
  one.failNext = new PartnerFailure('failed', 'its disk')
  await t.rejects(copy.copy(partners, everything), /its disk/)
  t.notOk(two.calls.includes('write'), 'and nothing is written before all is known')
  one.digests = () => Promise.resolve([])
  await t.rejects(copy.copy([one], everything), /0 digests of 130/)
})

t.test('the pieces of a region', (t) => {
  const regions = new Regions({ blocks, blockBytes: memoryBlockBytes })
  t.equal(regions.count, 3)
  t.equal([...regions.pieces(0)].length, 4)
  t.same([...regions.pieces(2)], [{ lba: 2 * regionBlocks, blocks: pageBlocks + 5 }])
  t.equal(regions.pages({ lba: 0, blocks: pageBlocks + 5 }), 2)
  t.equal(regions.bytes(2), (pageBlocks + 5) * memoryBlockBytes)
  t.end()
})
