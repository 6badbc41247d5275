/** Commands that touch blocks: ranges, limits, protection, what is written and what is not. */
import t from 'tap'
import { encodeSense } from '../../../src/scsi/sense-format.ts'
import { MemoryUnit } from '../../support/memory-unit.ts'
import { hex, ScsiRig } from '../../support/scsi-rig.ts'

const block = 512
const fill = (byte: number, blocks = 1) => Buffer.alloc(blocks * block, byte)

interface Access {
  readonly lba?: bigint
  readonly blocks?: number
  readonly flags?: number
}

/** CDBs of the four sizes, built apart from the layouts that they test. */
function access(operationCode: number, { lba = 0n, blocks = 1, flags = 0 }: Access): Buffer {
  const sizes = [6, 10, 10, 10, 16, 12]
  const cdb = Buffer.alloc(sizes[operationCode >> 5]!)
  cdb.set([operationCode, flags])
  if (cdb.length === 6) {
    cdb.writeUIntBE(Number(lba), 1, 3)
    cdb[4] = blocks
  } else if (cdb.length === 10) {
    cdb.writeUInt32BE(Number(lba), 2)
    cdb.writeUInt16BE(blocks, 7)
  } else if (cdb.length === 12) {
    cdb.writeUInt32BE(Number(lba), 2)
    cdb.writeUInt32BE(blocks, 6)
  } else {
    cdb.writeBigUInt64BE(lba, 2)
    cdb.writeUInt32BE(blocks, 10)
  }
  return cdb
}

const reads = [0x08, 0x28, 0xa8, 0x88]
const writes = [0x0a, 0x2a, 0xaa, 0x8a]

t.test('READ and WRITE of every size move the right blocks', async (t) => {
  for (const [index, operationCode] of writes.entries()) {
    const rig = new ScsiRig()
    const data = [fill(0xa1).subarray(0, 200), fill(0xa1).subarray(200), fill(0xb2)]
    const write = access(operationCode, { lba: 77n, blocks: 2 })
    t.strictSame(rig.server.transfer(write, 0), { direction: 'out', bytes: 1024 })
    t.equal(await rig.outcome(write, { data }), 'GOOD')
    t.strictSame(rig.unit.calls, ['write 77+2'])
    const read = access(reads[index]!, { lba: 76n, blocks: 4 })
    t.strictSame(rig.server.transfer(read, 0), { direction: 'in', bytes: 2048 })
    const want = Buffer.concat([fill(0), fill(0xa1), fill(0xb2), fill(0)])
    t.ok((await rig.dataOf(read)).equals(want))
  }
})

t.test(
  'a length of 0 is 256 blocks for READ (6) and WRITE (6), and nothing for others',
  async (t) => {
    const rig = new ScsiRig()
    t.equal((await rig.dataOf(access(0x08, { lba: 5n, blocks: 0 }))).length, 256 * block)
    t.strictSame(rig.server.transfer(access(0x0a, { blocks: 0 }), 0).bytes, 256 * block)
    t.strictSame(rig.unit.calls.splice(0), ['read 5+256'])
    for (const operationCode of [...reads.slice(1), ...writes.slice(1)]) {
      for (const lba of [0n, 2048n]) {
        t.equal(await rig.outcome(access(operationCode, { lba, blocks: 0 })), 'GOOD')
      }
      t.equal(await rig.outcome(access(operationCode, { lba: 2049n, blocks: 0 })), '05/21/00')
    }
    t.strictSame(rig.unit.calls, [])
  },
)

t.test('nothing beyond the end, however the sum is made to overflow', async (t) => {
  const rig = new ScsiRig()
  const wide = [0x88, 0x8a, 0x8f, 0x91, 0x93]
  const narrow = [0x08, 0x0a, 0x28, 0x2a, 0xa8, 0xaa, 0x2f, 0x35, 0x41]
  for (const operationCode of [...wide, ...narrow]) {
    const outside: Access[] = [
      { lba: 2048n },
      { lba: 2047n, blocks: 2 },
      { lba: 2040n, blocks: 200 },
      ...(narrow.includes(operationCode) && operationCode > 0x0a ? [{ lba: 2n ** 32n - 1n }] : []),
      ...(wide.includes(operationCode)
        ? [
            { lba: 2n ** 53n },
            { lba: 2n ** 63n },
            { lba: 2n ** 64n - 1n },
            { lba: 2n ** 64n - 2n, blocks: 3 },
          ]
        : []),
    ]
    for (const where of outside) {
      t.equal(await rig.outcome(access(operationCode, where)), '05/21/00')
    }
  }
  t.strictSame(rig.unit.calls, [], 'the unit was not asked')
  t.equal(await rig.outcome(access(0x88, { lba: 2047n })), 'GOOD', 'the last block is there')
})

t.test('large units: 64-bit addresses are exact below 2^53', async (t) => {
  const rig = new ScsiRig()
  rig.unit.facts = { ...rig.unit.facts, blocks: 2 ** 50 + 3 }
  const last = 2n ** 50n + 2n
  t.equal(await rig.outcome(access(0x88, { lba: last })), 'GOOD')
  t.strictSame(rig.unit.calls, [`read ${last}+1`])
  t.equal(await rig.outcome(access(0x88, { lba: last + 1n })), '05/21/00')
  const capacity = await rig.dataOf('9e 10 0000000000000000 00000020 00 00')
  t.equal(capacity.readBigUInt64BE(0), last)
  t.equal((await rig.dataOf('25 00 00000000 0000 00 00')).readUInt32BE(0), 0xffff_ffff)
})

t.test('more than MAXIMUM TRANSFER LENGTH is an invalid field', async (t) => {
  const rig = new ScsiRig(new MemoryUnit({ blocks: 20_000 }))
  const most = 16_384
  for (const operationCode of [0x28, 0xa8, 0x88]) {
    t.equal((await rig.dataOf(access(operationCode, { blocks: most }))).length, most * block)
    t.equal(await rig.outcome(access(operationCode, { blocks: most + 1 })), '05/24/00')
  }
  for (const operationCode of [0x2a, 0xaa, 0x8a, 0x2f, 0x8f]) {
    t.equal(await rig.outcome(access(operationCode, { blocks: most + 1 })), '05/24/00')
  }
  t.equal(await rig.outcome(access(0x88, { blocks: 0xffff_ffff })), '05/24/00')
})

t.test('protection information, DPO, FUA, FUA_NV', async (t) => {
  const rig = new ScsiRig()
  for (const operationCode of [0x28, 0xa8, 0x88, 0x2a, 0xaa, 0x8a, 0x2f, 0x8f, 0x41, 0x93]) {
    for (let protect = 1; protect < 8; protect++) {
      const cdb = access(operationCode, { flags: protect << 5 })
      t.equal(await rig.outcome(cdb, { data: [fill(1)] }), '05/24/00')
    }
  }
  t.strictSame(rig.unit.calls, [])
  await rig.dataOf(access(0x28, { flags: 0x12 }))
  t.equal(await rig.outcome(access(0x2a, { flags: 0x18 }), { data: [fill(1)] }), 'GOOD')
  await rig.dataOf(access(0x88, { flags: 0x08 }))
  t.strictSame(rig.unit.calls, ['read 0+1', 'write 0+1 fua', 'flush', 'read 0+1'])
  rig.unit.failNext = { status: 0x08 }
  t.equal(await rig.outcome(access(0x28, { flags: 0x08 })), '8', 'a flush that fails ends it')
})

t.test('a write with less data than its length writes the whole blocks that came', async (t) => {
  const rig = new ScsiRig()
  const two = access(0x2a, { blocks: 2 })
  t.equal(await rig.outcome(two, { data: [] }), 'GOOD')
  t.strictSame(rig.unit.calls, [], 'nothing came, nothing is written')
  t.equal(await rig.outcome(two, { data: [fill(0xbb)] }), 'GOOD')
  t.strictSame(rig.unit.calls.splice(0), ['write 0+1'])
  t.equal(await rig.outcome(two, { data: [fill(0xcc).subarray(0, 200)] }), '05/0e/03')
  t.equal(await rig.outcome(two, { data: [fill(0xcc), Buffer.alloc(1)] }), '05/0e/03')
  t.strictSame(rig.unit.calls, [], 'never a part of a block')
  const more = [fill(0xdd).subarray(0, 500), Buffer.alloc(524, 0xdd), fill(0xee)]
  t.equal(await rig.outcome(two, { data: more }), 'GOOD', 'more than asked for is not written')
  t.strictSame(rig.unit.calls, ['write 0+2'])
  t.ok(rig.unit.content.subarray(0, 1536).equals(Buffer.concat([fill(0xdd, 2), fill(0)])))
})

t.test('a write-protected unit is not written in any way', async (t) => {
  const rig = new ScsiRig(new MemoryUnit({ readOnly: true }))
  for (const operationCode of [...writes, 0x41, 0x93]) {
    t.equal(await rig.outcome(access(operationCode, {}), { data: [fill(1)] }), '07/27/00')
  }
  t.equal(await rig.outcome('42 00 00000000 00 0018 00', { data: [unmapList([0, 1])] }), '07/27/00')
  t.strictSame(rig.unit.calls, [])
  t.equal(await rig.outcome(access(0x28, {})), 'GOOD')
  t.equal(await rig.outcome('35 00 00000000 00 0000 00'), 'GOOD')
})

t.test('VERIFY reads, compares, and names the first byte that differs', async (t) => {
  const rig = new ScsiRig(new MemoryUnit({ blocks: 8192 }))
  rig.unit.content.fill(0x5a, 0, 5000 * block)
  t.equal(await rig.outcome(access(0x2f, { blocks: 5000 })), 'GOOD')
  t.strictSame(rig.unit.calls.splice(0), ['read 0+2048', 'read 2048+2048', 'read 4096+904'])
  t.strictSame(rig.server.transfer(access(0x2f, { blocks: 3 }), 0), { direction: 'none', bytes: 0 })
  for (const operationCode of [0x2f, 0x8f]) {
    const compare = access(operationCode, { blocks: 3000, flags: 0x02 })
    t.strictSame(rig.server.transfer(compare, 0), { direction: 'out', bytes: 3000 * block })
    const data = fill(0x5a, 3000)
    const parts = [data.subarray(0, 700), data.subarray(700, 1_200_000), data.subarray(1_200_000)]
    t.equal(await rig.outcome(compare, { data: parts }), 'GOOD')
    for (const offset of [0, 699, 700, 1_048_576, 1_199_999, 3000 * block - 1]) {
      data[offset] = 0
      const result = await rig.send(compare, { data: parts })
      t.match(result, { status: 2, sense: { key: 0xe, asc: 0x1d, information: offset } })
      if (result !== 'drop' && result.status === 2) {
        t.equal(encodeSense(result.sense).readUInt32BE(3), offset)
      }
      data[offset] = 0x5a
    }
    t.equal(await rig.outcome(compare, { data: parts.slice(0, 2) }), '05/0e/03')
    t.equal(await rig.outcome(access(operationCode, { blocks: 0, flags: 0x02 })), 'GOOD')
    t.equal(await rig.outcome(access(operationCode, { flags: 0x04 })), '05/24/00', 'BYTCHK 2')
  }
  rig.unit.failNext = { status: 0x02, sense: { key: 3, asc: 0x11, ascq: 0 } }
  t.equal(await rig.outcome(access(0x2f, {})), '03/11/00', 'what cannot be read is not verified')
})

t.test('WRITE SAME: a pattern is written out, zeros are the matter of the unit', async (t) => {
  const pattern = Buffer.from(Array.from({ length: block }, (_, i) => i % 251))
  for (const operationCode of [0x41, 0x93]) {
    const rig = new ScsiRig(new MemoryUnit({ blocks: 8192 }))
    const cdb = access(operationCode, { lba: 3n, blocks: 4100 })
    t.strictSame(rig.server.transfer(cdb, 0), { direction: 'out', bytes: block })
    t.equal(await rig.outcome(cdb, { data: [pattern.subarray(0, 9), pattern.subarray(9)] }), 'GOOD')
    t.strictSame(rig.unit.calls.splice(0), ['write 3+2048', 'write 2051+2048', 'write 4099+4'])
    const want = Buffer.concat([fill(0, 3), ...Array<Buffer>(4100).fill(pattern), fill(0)])
    t.ok(rig.unit.content.subarray(0, want.length).equals(want))
    t.equal(await rig.outcome(cdb, { data: [fill(0)] }), 'GOOD')
    t.strictSame(rig.unit.calls.splice(0), ['unmap 3+4100'])
    t.ok(rig.unit.content.every((byte) => byte === 0))
    const unmap = access(operationCode, { blocks: 2, flags: 0x08 })
    t.equal(await rig.outcome(unmap, { data: [pattern] }), 'GOOD')
    t.strictSame(rig.unit.calls.splice(0), ['write 0+2'], 'UNMAP of what is not zero is a write')
    t.equal(await rig.outcome(cdb, { data: [pattern.subarray(1)] }), '05/0e/03')
    t.equal(await rig.outcome(access(operationCode, { flags: 0x18 })), '05/24/00', 'ANCHOR')
    const end = access(operationCode, { lba: 8000n, blocks: 0, flags: 0x08 })
    t.equal(await rig.outcome(end, { data: [fill(0)] }), 'GOOD')
    t.strictSame(rig.unit.calls.splice(0), ['unmap 8000+192'], '0 is to the end')
    t.equal(
      await rig.outcome(access(operationCode, { lba: 8192n, blocks: 0 }), { data: [pattern] }),
      'GOOD',
    )
    t.equal(await rig.outcome(access(operationCode, { lba: 8193n, blocks: 0 })), '05/21/00')
    t.strictSame(rig.unit.calls, [])
  }
})

t.test('WRITE SAME: no data at all, limits, thick units, failure and abort', async (t) => {
  const rig = new ScsiRig()
  const noData = access(0x93, { blocks: 7, flags: 0x01 })
  t.strictSame(rig.server.transfer(noData, 0), { direction: 'none', bytes: 0 })
  t.equal(await rig.outcome(noData), 'GOOD')
  t.strictSame(rig.unit.calls.splice(0), ['unmap 0+7'])
  rig.unit.facts = { ...rig.unit.facts, blocks: 70_000 }
  t.equal(await rig.outcome(access(0x93, { blocks: 65_537, flags: 0x01 })), '05/24/00')
  t.equal(await rig.outcome(access(0x93, { blocks: 0, flags: 0x01 })), '05/24/00', 'to the end')
  t.strictSame(rig.unit.calls, [])
  const thick = new ScsiRig(new MemoryUnit({ thin: false }))
  t.equal(await thick.outcome(access(0x41, { flags: 0x08 }), { data: [fill(0)] }), '05/24/00')
  t.equal(await thick.outcome(access(0x41, {}), { data: [fill(0)] }), 'GOOD')
  thick.unit.calls.length = 0
  thick.unit.failNext = { status: 0x02, sense: { key: 7, asc: 0x27, ascq: 7 } }
  t.equal(await thick.outcome(access(0x93, { blocks: 2048 }), { data: [fill(9)] }), '07/27/07')
  t.strictSame(thick.unit.calls.splice(0), ['write 0+2048'])
  const aborted = { ...thick.task(access(0x93, { blocks: 9 })), aborted: true }
  t.strictSame(await thick.server.execute(aborted, [fill(9)]), { status: 0x40 })
  t.strictSame(thick.unit.calls, [], 'what is aborted is not begun')
})

/** An UNMAP parameter list. */
function unmapList(...extents: readonly (readonly [number | bigint, number])[]): Buffer {
  const list = Buffer.alloc(8 + 16 * extents.length)
  list.writeUInt16BE(list.length - 2, 0)
  list.writeUInt16BE(list.length - 8, 2)
  for (const [index, [lba, blocks]] of extents.entries()) {
    list.writeBigUInt64BE(BigInt(lba), 8 + 16 * index)
    list.writeUInt32BE(blocks, 16 + 16 * index)
  }
  return list
}

function unmap(listBytes: number): Buffer {
  const cdb = hex('42 00 00000000 00 0000 00')
  cdb.writeUInt16BE(listBytes, 7)
  return cdb
}

t.test('UNMAP: lists that are right', async (t) => {
  const rig = new ScsiRig()
  const list = unmapList([8, 16], [100, 0], [2047, 1])
  t.strictSame(rig.server.transfer(unmap(56), 0), { direction: 'out', bytes: 56 })
  t.equal(await rig.outcome(unmap(56), { data: [list.subarray(0, 3), list.subarray(3)] }), 'GOOD')
  t.strictSame(rig.unit.calls.splice(0), ['unmap 8+16 2047+1'])
  t.equal(await rig.outcome(unmap(0)), 'GOOD', 'no list')
  t.equal(await rig.outcome(unmap(8), { data: [unmapList()] }), 'GOOD', 'no descriptors')
  t.equal(await rig.outcome(unmap(24), { data: [unmapList([2048, 0])] }), 'GOOD', 'no blocks')
  t.strictSame(rig.unit.calls.splice(0), [])
  const cut = unmapList([1, 1], [2, 2])
  cut.writeUInt16BE(16 + 15, 2)
  t.equal(await rig.outcome(unmap(40), { data: [cut] }), 'GOOD')
  t.strictSame(rig.unit.calls.splice(0), ['unmap 1+1'], 'an incomplete descriptor is ignored')
  const most = Array.from({ length: 256 }, (_, i) => [i * 8, 8] as const)
  t.equal(await rig.outcome(unmap(8 + 256 * 16), { data: [unmapList(...most)] }), 'GOOD')
  t.equal(rig.unit.calls.length, 1)
})

t.test('UNMAP: lists that are wrong change nothing', async (t) => {
  const rig = new ScsiRig()
  const one = unmapList([0, 8])
  const claims = (dataLength: number, descriptorsLength: number) => {
    const list = Buffer.from(one)
    list.writeUInt16BE(dataLength, 0)
    list.writeUInt16BE(descriptorsLength, 2)
    return list
  }
  const tooMany = Array.from({ length: 257 }, () => [0, 1] as const)
  const wrong: readonly (readonly [string, Buffer, string])[] = [
    ['shorter than its header', one.subarray(0, 7), '05/1a/00'],
    ['cut within a descriptor', one.subarray(0, 23), '05/1a/00'],
    ['descriptors longer than the list', claims(38, 32), '05/1a/00'],
    ['descriptors of 64 KiB', claims(0xffff, 0xffff), '05/1a/00'],
    ['data length shorter than the descriptors', claims(21, 16), '05/26/00'],
    ['beyond the end', unmapList([0, 8], [2047, 2]), '05/21/00'],
    ['an LBA of 2^64 - 1', unmapList([2n ** 64n - 1n, 2]), '05/21/00'],
    ['more blocks than the unit has', unmapList([0, 0xffff_ffff]), '05/21/00'],
    ['more descriptors than allowed', unmapList(...tooMany), '05/26/00'],
  ]
  for (const [name, list, sense] of wrong) {
    t.equal(await rig.outcome(unmap(list.length), { data: [list] }), sense, name)
  }
  t.equal(await rig.outcome(unmap(24), { data: [] }), '05/1a/00', 'no data came')
  t.equal(await rig.outcome('42 01 00000000 00 0018 00', { data: [one] }), '05/24/00', 'ANCHOR')
  rig.unit.facts = { ...rig.unit.facts, blocks: 2 ** 30 }
  const much = unmapList([0, 2 ** 19], [2 ** 19, 2 ** 19], [2 ** 20, 1])
  t.equal(await rig.outcome(unmap(much.length), { data: [much] }), '05/26/00', 'too many blocks')
  t.strictSame(rig.unit.calls, [])
})

t.test('SYNCHRONIZE CACHE flushes and says when it could not', async (t) => {
  const rig = new ScsiRig()
  t.equal(await rig.outcome('35 02 00000000 00 0000 00'), 'GOOD')
  t.equal(await rig.outcome('91 06 0000000000000000 00000800 00 00'), 'GOOD')
  t.strictSame(rig.unit.calls, ['flush', 'flush'])
  rig.unit.failNext = { status: 0x02, sense: { key: 3, asc: 0x0c, ascq: 0 } }
  t.equal(await rig.outcome('35 00 00000000 00 0000 00'), '03/0c/00')
  rig.unit.failNext = 'drop'
  t.equal(await rig.outcome('35 00 00000000 00 0000 00'), 'drop')
})
