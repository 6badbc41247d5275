/** Writes that do more than write, and what is told of allocation; with both block sizes. */
import t from 'tap'
import type { UnitFacts } from '../../../src/scsi/logical-unit.ts'
import { MemoryUnit } from '../../support/memory-unit.ts'
import { describe, ScsiRig } from '../../support/scsi-rig.ts'

const sizes = [512, 4096] as const

function rigOf(facts: Partial<UnitFacts> = {}): ScsiRig {
  return new ScsiRig(new MemoryUnit({ blocks: 512, ...facts }))
}

/** A 10, 12 or 16-byte CDB, built apart from the layouts that it tests. */
function cdb(operationCode: number, lba: bigint | number, blocks: number, flags = 0): Buffer {
  const size = { 1: 10, 2: 10, 4: 16, 5: 12 }[operationCode >> 5]!
  const block = Buffer.alloc(size)
  block.set([operationCode, flags])
  if (size === 16) {
    block.writeBigUInt64BE(BigInt(lba), 2)
    block.writeUInt32BE(blocks, 10)
  } else {
    block.writeUInt32BE(Number(lba), 2)
    if (size === 10) block.writeUInt16BE(blocks, 7)
    else block.writeUInt32BE(blocks, 6)
  }
  return block
}

const compareCdb = (lba: bigint | number, blocks: number, flags = 0): Buffer =>
  cdb(0x89, lba, blocks, flags)
/** TRANSFER LENGTH is in the last two of the four bytes, ATOMIC BOUNDARY in the first two. */
const atomicCdb = (lba: bigint | number, blocks: number, flags = 0): Buffer =>
  cdb(0x9c, lba, blocks, flags)

/** Arrival and execution of a command whose initiator announces so many bytes. */
async function announce(
  rig: ScsiRig,
  block: Buffer,
  announcedBytes: number,
  data: readonly Buffer[] = [],
): Promise<string> {
  const task = { ...rig.task(block), announcedBytes }
  return describe(rig.server.arrive(task) ?? (await rig.server.execute(task, data)))
}

for (const blockBytes of sizes) {
  const fill = (byte: number, blocks = 1) => Buffer.alloc(blocks * blockBytes, byte)

  t.test(`READ, WRITE, VERIFY and WRITE SAME of ${blockBytes}-byte blocks`, async (t) => {
    const rig = rigOf({ blockBytes })
    const bytes = 3 * blockBytes
    t.strictSame(rig.server.transfer(cdb(0x28, 0, 3), 0), { direction: 'in', bytes })
    t.strictSame(rig.server.transfer(cdb(0x8a, 0, 3), 0), { direction: 'out', bytes })
    t.equal(await rig.outcome(cdb(0x2a, 7, 3), { data: [fill(1), fill(2, 2)] }), 'GOOD')
    t.ok((await rig.dataOf(cdb(0xa8, 6, 3))).equals(Buffer.concat([fill(0), fill(1), fill(2)])))
    t.equal(await rig.outcome(cdb(0x2f, 7, 1, 0x02), { data: [fill(1)] }), 'GOOD')
    t.equal(await rig.outcome(cdb(0x2f, 8, 1, 0x02), { data: [fill(1)] }), '0e/1d/00')
    t.strictSame(rig.server.transfer(cdb(0x41, 0, 9), 0), { direction: 'out', bytes: blockBytes })
    t.equal(await rig.outcome(cdb(0x93, 0, 9), { data: [fill(7)] }), 'GOOD')
    t.ok((await rig.dataOf(cdb(0x28, 0, 10))).equals(Buffer.concat([fill(7, 9), fill(2)])))
    t.equal(await rig.outcome(cdb(0x93, 0, 9), { data: [fill(7).subarray(1)] }), '05/0e/03')
    const most = (8 * 1024 * 1024) / blockBytes
    t.equal(await rig.outcome(cdb(0x88, 0, most + 1)), '05/24/00', 'MAXIMUM TRANSFER LENGTH')
    const capacity = await rig.dataOf('9e 10 0000000000000000 00000020 00 00')
    t.equal(capacity.readUInt32BE(8), blockBytes)
    t.equal(1 << (capacity[13]! & 0x0f), 4096 / blockBytes, 'LBPPBE')
    t.equal((await rig.dataOf('25 00 00000000 0000 00 00')).readUInt32BE(4), blockBytes)
  })

  t.test(`COMPARE AND WRITE of ${blockBytes}-byte blocks`, async (t) => {
    const rig = rigOf({ blockBytes })
    const bytes = 2 * blockBytes
    t.strictSame(rig.server.transfer(compareCdb(0, 1), 0), { direction: 'out', bytes })
    const swap = Buffer.concat([fill(0), fill(5)])
    const odd = [
      swap.subarray(0, 100),
      swap.subarray(100, blockBytes + 3),
      swap.subarray(blockBytes + 3),
    ]
    t.equal(await rig.outcome(compareCdb(9, 1, 0x10), { data: odd }), 'GOOD')
    t.ok((await rig.dataOf(cdb(0x28, 9, 1))).equals(fill(5)))
    const result = await rig.send(compareCdb(9, 1), { data: [swap] })
    t.match(result, { status: 2, sense: { key: 0xe, asc: 0x1d, ascq: 0, information: 0 } })
    const late = Buffer.concat([fill(5), fill(6)])
    late[blockBytes - 1] = 0
    const other = await rig.send(compareCdb(9, 1), { data: [late] })
    t.match(other, { status: 2, sense: { information: blockBytes - 1 } })
    t.ok((await rig.dataOf(cdb(0x28, 9, 1))).equals(fill(5)), 'a miscompare changes nothing')
    rig.unit.calls.length = 0
    t.equal(await rig.outcome(compareCdb(10, 1, 0x08), { data: [swap] }), 'GOOD')
    t.strictSame(rig.unit.calls, ['compareAndWrite 10+1 fua'])
    for (const wrong of [bytes - 1, bytes + 1, blockBytes, 4 * blockBytes]) {
      t.equal(await announce(rig, compareCdb(10, 1), wrong), '05/24/00', `${wrong} bytes announced`)
    }
    t.equal(await announce(rig, compareCdb(11, 1), bytes, [swap]), 'GOOD')
    t.equal(await rig.outcome(compareCdb(10, 1), { data: [fill(0)] }), '05/0e/03', 'too few came')
  })

  t.test(`ORWRITE of ${blockBytes}-byte blocks`, async (t) => {
    const rig = rigOf({ blockBytes })
    rig.unit.content.fill(0x0f, 0, 3 * blockBytes)
    const data = [fill(0x31, 2), fill(0x80)]
    t.strictSame(rig.server.transfer(cdb(0x8b, 1, 3), 0), {
      direction: 'out',
      bytes: 3 * blockBytes,
    })
    t.equal(await rig.outcome(cdb(0x8b, 1, 3, 0x08), { data }), 'GOOD')
    t.strictSame(rig.unit.calls.splice(0), ['orWrite 1+3 fua'])
    const want = Buffer.concat([fill(0x0f), fill(0x3f, 2), fill(0x80), fill(0)])
    t.ok((await rig.dataOf(cdb(0x28, 0, 5))).equals(want))
    t.equal(await rig.outcome(cdb(0x8b, 0, 1), { data: [fill(1).subarray(1)] }), '05/0e/03')
    t.equal(
      await rig.outcome(cdb(0x8b, 0, 1), { data: [] }),
      'GOOD',
      'none announced, none written',
    )
  })

  t.test(`WRITE ATOMIC of ${blockBytes}-byte blocks`, async (t) => {
    const step = 4096 / blockBytes
    const rig = rigOf({ blockBytes, atomicBlocks: 16 * step, atomicBoundaryBlocks: 0 })
    t.equal(
      await rig.outcome(atomicCdb(3 * step, 16 * step, 0x18), { data: [fill(3, 16 * step)] }),
      'GOOD',
    )
    t.strictSame(rig.unit.calls.splice(0), [`writeAtomic ${3 * step}+${16 * step} fua`])
    const wrong: [string, Buffer, string][] = [
      ['longer than the longest', atomicCdb(0, 17 * step), '05/24/00'],
      ['an atomic boundary', atomicCdb(0, 0x0001_0000 + step), '05/24/00'],
      ['protection', atomicCdb(0, step, 0x20), '05/24/00'],
      ['beyond the end', atomicCdb(512, step), '05/21/00'],
      ['beyond the end before misaligned', atomicCdb(2n ** 64n - 1n, step), '05/21/00'],
      ['FUA_NV is reserved here', atomicCdb(0, step, 0x02), '05/24/00'],
    ]
    if (step > 1) {
      wrong.push(['misaligned', atomicCdb(1, step), '05/24/00'])
      wrong.push(['half a physical block', atomicCdb(0, step / 2), '05/24/00'])
    }
    for (const [why, block, sense] of wrong) {
      t.equal(await rig.outcome(block, { data: [fill(1, 17 * step)] }), sense, why)
    }
    t.equal(await announce(rig, atomicCdb(0, step), 4096 - blockBytes), '05/0e/03', 'too few')
    t.equal(await announce(rig, atomicCdb(0, step), 4096 + blockBytes), '05/0e/03', 'too many')
    t.equal(await rig.outcome(atomicCdb(512, 0)), 'GOOD', 'nothing at the end')
    t.strictSame(rig.unit.calls, [])
    rig.unit.facts = { ...rig.unit.facts, atomicBlocks: 8 * step, atomicBoundaryBlocks: 8 * step }
    t.equal(await rig.outcome(atomicCdb(4 * step, 8 * step)), '05/24/00', 'across a boundary')
    t.equal(await rig.outcome(atomicCdb(8 * step, 8 * step), { data: [fill(1, 8 * step)] }), 'GOOD')
    rig.unit.facts = { ...rig.unit.facts, atomicBlocks: 0, atomicBoundaryBlocks: 0 }
    t.equal(await rig.outcome(atomicCdb(0, step)), '05/20/00', 'a unit without')
  })
}

const fill = (byte: number, blocks = 1) => Buffer.alloc(blocks * 512, byte)

t.test('COMPARE AND WRITE: at most one block, none at all, and places', async (t) => {
  const rig = rigOf()
  t.equal(await rig.outcome(compareCdb(0, 2), { data: [fill(0, 4)] }), '05/24/00')
  t.equal(await rig.outcome(compareCdb(0, 255), { data: [fill(0, 4)] }), '05/24/00')
  t.equal(await rig.outcome(compareCdb(512, 0)), 'GOOD')
  t.equal(await announce(rig, compareCdb(0, 0), 1024), '05/24/00', 'data for no block')
  t.equal(await rig.outcome(compareCdb(513, 0)), '05/21/00')
  t.equal(await rig.outcome(compareCdb(512, 1)), '05/21/00')
  t.equal(await rig.outcome(compareCdb(2n ** 63n, 1)), '05/21/00')
  for (let protect = 1; protect < 8; protect++) {
    t.equal(await rig.outcome(compareCdb(0, 1, protect << 5)), '05/24/00')
  }
  t.strictSame(rig.unit.calls, [])
})

t.test('WRITE AND VERIFY writes through and reads again', async (t) => {
  for (const operationCode of [0x2e, 0xae, 0x8e]) {
    const rig = rigOf()
    const write = cdb(operationCode, 9, 3, 0x10)
    t.strictSame(rig.server.transfer(write, 0), { direction: 'out', bytes: 1536 })
    t.equal(await rig.outcome(write, { data: [fill(3), fill(4, 2)] }), 'GOOD')
    t.strictSame(rig.unit.calls.splice(0), ['write 9+3 fua', 'read 9+3'])
    const compare = cdb(operationCode, 9, 3, 0x02)
    t.equal(await rig.outcome(compare, { data: [fill(5, 3)] }), 'GOOD')
    const write0 = rig.unit.write.bind(rig.unit)
    rig.unit.write = async (...args) => {
      const done = await write0(...args)
      rig.unit.content[9 * 512 + 700] = 0
      return done
    }
    const result = await rig.send(compare, { data: [fill(6, 3)] })
    t.match(
      result,
      { status: 2, sense: { key: 0xe, information: 700 } },
      'the medium is not the data',
    )
    t.equal(await rig.outcome(write, { data: [fill(6, 3)] }), 'GOOD', 'read, and not compared')
    rig.unit.calls.length = 0
    t.equal(await rig.outcome(cdb(operationCode, 9, 3, 0x04), { data: [fill(1, 3)] }), '05/24/00')
    t.equal(await rig.outcome(cdb(operationCode, 9, 3, 0x06), { data: [fill(1, 3)] }), '05/24/00')
    t.equal(await rig.outcome(cdb(operationCode, 511, 2)), '05/21/00')
    t.equal(await rig.outcome(cdb(operationCode, 513, 0)), '05/21/00')
    t.equal(await rig.outcome(cdb(operationCode, 512, 0)), 'GOOD')
    t.equal(
      await rig.outcome(cdb(operationCode, 0, 2), { data: [fill(1).subarray(9)] }),
      '05/0e/03',
    )
    t.strictSame(rig.unit.calls, [])
    t.equal(await rig.outcome(cdb(operationCode, 0, 2), { data: [fill(1)] }), 'GOOD')
    t.strictSame(
      rig.unit.calls.splice(0),
      ['write 0+1 fua', 'read 0+1'],
      'the whole blocks that came',
    )
    rig.unit.failNext = { status: 2, sense: { key: 3, asc: 0x0c, ascq: 0 } }
    t.equal(await rig.outcome(write, { data: [fill(1, 3)] }), '03/0c/00')
    t.equal(rig.unit.calls.length, 1, 'what was not written is not verified')
  }
})

t.test('VERIFY with BYTCHK 11b compares one block with each', async (t) => {
  for (const operationCode of [0x2f, 0xaf, 0x8f]) {
    const rig = new ScsiRig(new MemoryUnit({ blocks: 5000 }))
    const pattern = Buffer.from(Array.from({ length: 512 }, (_, i) => i % 251))
    for (let at = 0; at < 5000; at++) pattern.copy(rig.unit.content, at * 512)
    const verify = cdb(operationCode, 2, 4000, 0x06)
    t.strictSame(rig.server.transfer(verify, 0), { direction: 'out', bytes: 512 })
    t.equal(
      await rig.outcome(verify, { data: [pattern.subarray(0, 5), pattern.subarray(5)] }),
      'GOOD',
    )
    rig.unit.content[(2 + 3000) * 512 + 17] = 0xff
    const result = await rig.send(verify, { data: [pattern] })
    t.match(result, { status: 2, sense: { key: 0xe, information: 3000 * 512 + 17 } })
    t.equal(await rig.outcome(verify, { data: [pattern.subarray(1)] }), '05/0e/03')
    t.strictSame(rig.server.transfer(cdb(operationCode, 0, 0, 0x06), 0).bytes, 0)
    t.equal(await rig.outcome(cdb(operationCode, 0, 0, 0x06)), 'GOOD')
  }
})

t.test('PRE-FETCH reads what it may, and nothing is said of it', async (t) => {
  for (const operationCode of [0x34, 0x90]) {
    const rig = new ScsiRig(new MemoryUnit({ blocks: 40_000 }))
    t.strictSame(rig.server.transfer(cdb(operationCode, 0, 3), 0).bytes, 0)
    t.same(await rig.dataOf(cdb(operationCode, 7, 2050, 0x02)), Buffer.alloc(0))
    t.strictSame(rig.unit.calls.splice(0), ['read 7+2048', 'read 2055+2'])
    t.equal(await rig.outcome(cdb(operationCode, 39_999, 0)), 'GOOD')
    t.strictSame(rig.unit.calls.splice(0), ['read 39999+1'], '0 is to the end')
    t.equal(await rig.outcome(cdb(operationCode, 0, 0)), 'GOOD')
    t.equal(rig.unit.calls.splice(0).length, 8, 'no more than 8 MiB')
    t.equal(await rig.outcome(cdb(operationCode, 40_000, 0)), 'GOOD')
    t.equal(await rig.outcome(cdb(operationCode, 40_001, 0)), '05/21/00')
    t.equal(await rig.outcome(cdb(operationCode, 39_999, 2)), '05/21/00')
    t.strictSame(rig.unit.calls, [])
    rig.unit.failNext = { status: 2, sense: { key: 3, asc: 0x11, ascq: 0 } }
    t.equal(await rig.outcome(cdb(operationCode, 0, 1)), '03/11/00')
  }
})

function status(lba: bigint | number, allocationLength: number): Buffer {
  const block = cdb(0x9e, lba, allocationLength)
  block[1] = 0x12
  return block
}

t.test('GET LBA STATUS tells of runs, in the room that there is', async (t) => {
  const rig = rigOf()
  rig.unit.content.fill(1, 10 * 512, 20 * 512)
  rig.unit.content.fill(1, 30 * 512, 512 * 512)
  const rows = (data: Buffer) =>
    Array.from({ length: (data.length - 8) / 16 }, (_, i) => {
      const row = data.subarray(8 + 16 * i)
      return [Number(row.readBigUInt64BE(0)), row.readUInt32BE(8), row[12]]
    })
  const all = await rig.dataOf(status(0, 1000))
  t.equal(all.readUInt32BE(0), all.length - 4)
  const want = [
    [0, 10, 1],
    [10, 10, 0],
    [20, 10, 1],
    [30, 482, 0],
  ]
  t.strictSame(rows(all), want)
  t.strictSame(rows(await rig.dataOf(status(15, 24))), [[15, 5, 0]], 'from the middle of a run')
  t.strictSame(rows(await rig.dataOf(status(0, 8 + 32))), want.slice(0, 2))
  t.strictSame(rows(await rig.dataOf(status(511, 99))), [[511, 1, 0]])
  const cut = await rig.dataOf(status(0, 10))
  t.equal(cut.length, 10)
  t.equal(cut.readUInt32BE(0), 20, 'one descriptor is there, though not all of it fits')
  t.equal((await rig.dataOf(status(0, 0))).length, 0)
  for (const lba of [512, 513, 2n ** 63n, 2n ** 64n - 1n]) {
    t.equal(await rig.outcome(status(lba, 24)), '05/21/00')
  }
  rig.unit.failNext = { status: 2, sense: { key: 3, asc: 0x11, ascq: 0 } }
  t.equal(await rig.outcome(status(0, 24)), '03/11/00')
})

t.test('WRITE SAME takes one block of data and no other amount', async (t) => {
  const rig = rigOf()
  for (const operationCode of [0x41, 0x93]) {
    const same = cdb(operationCode, 0, 4)
    t.equal(await announce(rig, same, 512, [fill(1)]), 'GOOD')
    for (const bytes of [0, 256, 513, 1024]) {
      t.equal(await announce(rig, same, bytes), '05/0e/03', `${bytes} bytes announced`)
    }
  }
  t.equal(await announce(rig, cdb(0x93, 0, 4, 0x01), 0), 'GOOD', 'none with NDOB')
})

t.test('what is wrong in a CDB is pointed at', async (t) => {
  const rig = rigOf()
  const at = async (block: Buffer) => {
    const result = await rig.send(block)
    return result !== 'drop' && result.status === 2 ? result.sense.fieldPointer : undefined
  }
  t.strictSame(await at(cdb(0x28, 0, 1, 0x20)), { inCdb: true, byte: 1, bit: 7 }, 'RDPROTECT')
  t.strictSame(await at(cdb(0xa8, 0, 20_000)), { inCdb: true, byte: 6 }, 'READ (12)')
  t.strictSame(await at(cdb(0x28, 0, 20_000)), { inCdb: true, byte: 7 }, 'READ (10)')
  t.strictSame(await at(cdb(0x8a, 0, 20_000)), { inCdb: true, byte: 10 }, 'WRITE (16)')
  t.strictSame(await at(cdb(0x93, 0, 1, 0x18)), { inCdb: true, byte: 1, bit: 4 }, 'ANCHOR')
  t.strictSame(await at(compareCdb(0, 2)), { inCdb: true, byte: 13 })
  t.strictSame(await at(atomicCdb(1, 8)), { inCdb: true, byte: 2 })
  t.strictSame(await at(atomicCdb(0, 3)), { inCdb: true, byte: 12 })
})

t.test('nothing of this on a unit that is write protected', async (t) => {
  const rig = rigOf({ readOnly: true })
  for (const block of [cdb(0x2e, 0, 1), cdb(0xae, 0, 1), cdb(0x8e, 0, 1), compareCdb(0, 1)]) {
    t.equal(await rig.outcome(block, { data: [fill(0, 2)] }), '07/27/00')
  }
  for (const block of [cdb(0x8b, 0, 1), atomicCdb(0, 8)]) {
    t.equal(await rig.outcome(block, { data: [fill(0, 8)] }), '07/27/00')
  }
  t.strictSame(rig.unit.calls, [])
  for (const block of [cdb(0xaf, 0, 1), cdb(0x34, 0, 1), status(0, 24)]) {
    t.equal(await rig.outcome(block), 'GOOD')
  }
})
