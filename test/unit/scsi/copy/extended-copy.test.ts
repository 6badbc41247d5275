/** EXTENDED COPY and RECEIVE COPY RESULTS: what is copied, what is refused, what is told of it. */
import t from 'tap'
import { copy as limits } from '../../../../src/base/limits.ts'
import type { UnitFacts } from '../../../../src/scsi/logical-unit.ts'
import { MemoryUnitSettings } from '../../../../src/scsi/memory-unit-settings.ts'
import { noReservations } from '../../../../src/scsi/reservation-table.ts'
import { checkCondition } from '../../../../src/scsi/result.ts'
import { UNRECOVERED_READ_ERROR } from '../../../../src/scsi/sense.ts'
import { encodeSense } from '../../../../src/scsi/sense-format.ts'
import {
  copyIn,
  copyList,
  copyOut,
  cscd,
  type ListFields,
  type SegmentFields,
  segment,
} from '../../../support/copy-lists.ts'
import { MemoryUnit, testNexus } from '../../../support/memory-unit.ts'
import { describe, ScsiRig } from '../../../support/scsi-rig.ts'
import { seededRandom } from '../../../support/seeded-random.ts'

class CopyUnit extends MemoryUnit {
  override readonly settings = new MemoryUnitSettings()
}

const naa = (unit: number) => Buffer.from(`6a11ce0000000000000000000000000${unit}`, 'hex')

function makeUnit(unit: number, facts: Partial<UnitFacts> = {}): CopyUnit {
  const made = new CopyUnit({ naa: naa(unit), serial: `UNIT${unit}`, ...facts })
  made.content.fill(seededRandom(unit).bytes(512))
  for (let at = 0; at < made.content.length; at += 512) made.content.writeUInt32LE(at, at)
  return made
}

function rigOf(...units: CopyUnit[]): ScsiRig {
  return new ScsiRig(new Map(units.map((unit, lun) => [lun, unit])))
}

const names = [cscd(naa(0)), cscd(naa(1))]

function copy(rig: ScsiRig, list: Buffer, nexus = rig.nexus): Promise<string> {
  return rig.outcome(copyOut(0, list.length), { data: [list], nexus })
}

function copyOne(rig: ScsiRig, fields: SegmentFields, how: ListFields = {}): Promise<string> {
  return copy(rig, copyList(names, [segment(fields)], how))
}

/** SPC-4 6.24.2 as `status segments bytes`. */
async function statusOf(rig: ScsiRig, listIdentifier = 1): Promise<string> {
  const data = await rig.dataOf(copyIn(0x00, listIdentifier))
  return `${data[4]} ${data.readUInt16BE(5)} ${data.readUInt32BE(8)}`
}

t.test('segments are copied in order, within a unit and between units', async (t) => {
  const [one, other] = [makeUnit(0), makeUnit(1)]
  const rig = rigOf(one, other)
  const before = Buffer.from(one.content)
  const segments = [
    segment({ source: 0, destination: 1, blocks: 3, from: 10n, to: 100n }),
    segment({ source: 1, destination: 0, blocks: 3, from: 100n, to: 2045n }),
    segment({ blocks: 0, from: 2048n, to: 2048n }),
  ]
  t.equal(await copy(rig, copyList(names, segments, { listIdentifier: 7 })), 'GOOD')
  const moved = before.subarray(10 * 512, 13 * 512)
  t.ok(other.content.subarray(100 * 512, 103 * 512).equals(moved))
  t.ok(one.content.subarray(2045 * 512).equals(moved))
  t.ok(one.content.subarray(0, 2045 * 512).equals(before.subarray(0, 2045 * 512)))
  t.equal(await statusOf(rig, 7), '1 3 3072')
  t.equal(await rig.outcome(copyIn(0x00, 8)), '05/24/00')
  t.strictSame(await rig.dataOf(copyIn(0x04, 7)), Buffer.alloc(4))
})

t.test('a unit is named by each of its designators, or as the one that is asked', async (t) => {
  const rig = rigOf(makeUnit(0), makeUnit(1))
  const t10 = cscd(Buffer.from('PALISADEUNIT1'), { type: 1 })
  t.equal(await copy(rig, copyList([t10], [segment({ from: 1n, to: 2n })])), 'GOOD')
  t.strictSame(rig.units.get(1)!.calls, ['read 1+1', 'write 2+1'])
  const self = segment({ source: 0xffff, destination: 0xffff, from: 3n, to: 4n })
  t.equal(await copy(rig, copyList([], [self])), 'GOOD')
  t.strictSame(rig.unit.calls, ['read 3+1', 'write 4+1'])
})

t.test('ranges that overlap come out as if copied at once', async (t) => {
  for (const [from, to] of [
    [0, 1],
    [1, 0],
    [0, 2047],
    [4000, 2000],
  ] as const) {
    const unit = makeUnit(0, { blocks: 16_384 })
    const blocks = 5000
    const want = Buffer.from(unit.content)
    want.copyWithin(to * 512, from * 512, (from + blocks) * 512)
    const fields = { destination: 0, blocks, from: BigInt(from), to: BigInt(to) }
    t.equal(await copyOne(rigOf(unit, makeUnit(1)), fields), 'GOOD')
    t.ok(unit.content.equals(want), `${from} to ${to}`)
  }
})

t.test('blocks of different sizes', async (t) => {
  const rig = rigOf(makeUnit(0), makeUnit(1, { blockBytes: 4096, blocks: 256 }))
  const both = [cscd(naa(0)), cscd(naa(1), { blockBytes: 4096 })]
  const go = (fields: SegmentFields) => copy(rig, copyList(both, [segment(fields)]))
  t.equal(await go({ destination: 1, blocks: 16, from: 3n, to: 5n }), 'GOOD')
  const fields = { destination: 1, destinationCount: true, blocks: 1, from: 3n, to: 9n }
  t.equal(await go(fields), 'GOOD')
  const [small, large] = [rig.unit.content, rig.units.get(1)!.content]
  t.ok(large.subarray(5 * 4096, 7 * 4096).equals(small.subarray(3 * 512, 19 * 512)))
  t.ok(large.subarray(9 * 4096, 10 * 4096).equals(small.subarray(3 * 512, 11 * 512)))
  t.equal(await go({ destination: 1, blocks: 9, from: 3n, to: 5n }), '0a/26/0a')
  // The wrong block size, and so another idea of where its blocks are.
  t.equal(await copyOne(rig, { destination: 1 }), '0a/26/00')
})

t.test('wrong lists are refused whole', async (t) => {
  const rig = rigOf(makeUnit(0), makeUnit(1))
  const list = copyList(names, [segment({ destination: 1 })])
  const changed = (at: number, ...bytes: number[]) => {
    const copied = Buffer.from(list)
    copied.set(bytes, at)
    return copied
  }
  const many = (count: number, row: Buffer) => Array.from({ length: count }, () => row)
  const cases: [string, Buffer, string][] = [
    ['half a header', list.subarray(0, 15), '05/1a/00'],
    ['a CSCD cut', list.subarray(0, 79), '05/1a/00'],
    ['a segment cut', list.subarray(0, list.length - 1), '05/1a/00'],
    ['a length that overflows', changed(8, 0xff, 0xff, 0xff, 0xff), '05/1a/00'],
    ['CSCDs longer than the list', changed(2, 0xff, 0xff), '05/1a/00'],
    ['half a CSCD', changed(2, 0, 0x30), '05/26/00'],
    ['inline data', changed(12, 0, 0, 0, 1), '05/26/0b'],
    ['a reserved use of the list identifier', changed(1, 0x08), '05/26/00'],
    ['an identifier where none is used', changed(1, 0x18), '05/26/00'],
    ['a segment of another length', changed(16 + 64 + 3, 0x17), '05/26/00'],
    ['another kind of CSCD', changed(16, 0xe0), '05/26/07'],
    ['another kind of segment', changed(16 + 64, 0x03), '05/26/09'],
    ['too many CSCDs', copyList(many(limits.cscds + 1, names[0]!), []), '05/26/06'],
    ['too many segments', copyList(names, many(limits.segments + 1, segment())), '05/26/08'],
    ['an overlong list', copyList(names, many(150, segment())), '05/1a/00'],
  ]
  for (const [what, bytes, want] of cases) t.equal(await copy(rig, bytes), want, what)
  t.equal(await rig.outcome(copyOut(0, 0)), 'GOOD', 'nothing to do')
  const arrival = rig.arrive(copyOut(0, 0xffff_ffff))
  t.equal(arrival !== 'drop' && arrival?.status, 2, 'no such list is asked for')
  for (const unit of rig.units.values()) t.strictSame(unit.calls, [])
  t.equal(await rig.outcome(copyIn(0x00)), '05/24/00', 'and nothing is remembered')
})

t.test('a copy that fails in a segment says in which', async (t) => {
  const cases: [string, SegmentFields, string][] = [
    ['no such CSCD', { destination: 2 }, '0a/0d/02'],
    ['beyond the end of the source', { from: 2048n }, '0a/00/00'],
    ['beyond the end of the destination', { destination: 1, to: 2048n }, '0a/00/00'],
    ['an LBA that overflows', { from: 0xffff_ffff_ffff_ffffn }, '0a/00/00'],
    ['more than a segment may have', { blocks: 0xffff }, '0a/26/00'],
    ['a source that fails', { from: 9n }, '0a/0d/01'],
  ]
  for (const [what, fields, want] of cases) {
    const rig = rigOf(makeUnit(0), makeUnit(1))
    failReadOf(rig.unit, 9)
    const first = segment({ destination: 1, from: 1n, to: 1n })
    const list = copyList(names, [first, segment(fields)])
    const result = await rig.send(copyOut(0, list.length), { data: [list] })
    t.equal(describe(result), want, what)
    if (result === 'drop' || result.status !== 2) continue
    const sense = encodeSense(result.sense)
    t.equal(sense.readUInt32BE(8), 1, `${what}: the number of the segment`)
    t.equal(encodeSense(result.sense, true).readBigUInt64BE(8 + 4), 1n, what)
    t.equal(await statusOf(rig), '2 1 512', what)
    const details = await rig.dataOf(copyIn(0x04))
    t.equal(details[56], 2)
    t.strictSame(details.subarray(60), sense, 'the sense is kept')
  }
})

function failReadOf(unit: MemoryUnit, at: number): void {
  const read = unit.read.bind(unit)
  unit.read = (task, lba, blocks) => {
    if (lba === at) unit.failNext = checkCondition(UNRECOVERED_READ_ERROR)
    return read(task, lba, blocks)
  }
}

t.test('a copy reaches only what its initiator may read and write itself', async (t) => {
  const [one, other] = [makeUnit(0), makeUnit(1)]
  const rig = rigOf(one, other)
  const fields = { destination: 1, from: 1n, to: 1n }
  const refused = async (want: string, what: string) => {
    other.calls.length = 0
    t.equal(await copyOne(rig, fields), want, what)
    t.strictSame(other.calls, [], `${what}: nothing is touched`)
  }
  const elsewhere = copyList([names[0]!, cscd(naa(2))], [segment(fields)])
  t.equal(await copy(rig, elsewhere), '0a/0d/02', 'a unit of another target')
  const { state } = other.settings
  const held = { ...noReservations, registrations: [{ initiatorPort: 'x', key: '1' }] }
  const reservations = { ...held, persistent: { type: 1, holder: 'x' } }
  await other.settings.change(state, { ...state, reservations })
  await refused('0a/0d/01', 'another has reserved the destination for writing')
  t.equal(await copyOne(rig, { source: 1, from: 1n, to: 1n }), 'GOOD', 'and it may be read')
  await one.settings.change(one.settings.state, { ...state, reservations })
  t.equal(await copyOne(rig, fields), '18', 'or the unit that is asked')
  await one.settings.change(one.settings.state, state)
  await other.settings.change(other.settings.state, { ...state, softwareWriteProtect: true })
  await refused('0a/0d/01', 'write protection')
  await other.settings.change(other.settings.state, { ...state, mediumLoaded: false })
  await refused('0a/0d/01', 'no medium')
})

t.test('what others set while a copy runs ends it', async (t) => {
  const unit = makeUnit(0, { blocks: 16_384 })
  const rig = rigOf(unit, makeUnit(1))
  const write = unit.write.bind(unit)
  unit.write = async (...args) => {
    const { state } = unit.settings
    await unit.settings.change(state, { ...state, softwareWriteProtect: true })
    return write(...args)
  }
  const fields = { blocks: 6000, from: 0n, to: 8192n }
  t.equal(await copyOne(rig, fields), '0a/0d/01')
  t.strictSame(unit.calls, ['read 0+2048', 'write 8192+2048'])
  t.equal(await statusOf(rig), `2 0 ${2048 * 512}`)
})

t.test('an abort ends a copy at the next piece, and nothing is told of it', async (t) => {
  const unit = makeUnit(0, { blocks: 16_384 })
  const rig = rigOf(unit, makeUnit(1))
  const list = copyList(names, [segment({ blocks: 6000, to: 8192n })])
  const task = { ...rig.task(copyOut(0, list.length)), aborted: false }
  const write = unit.write.bind(unit)
  unit.write = (...args) => {
    task.aborted = true
    return write(...args)
  }
  t.equal(describe(await rig.server.execute(task, [list])), '40')
  t.strictSame(unit.calls, ['read 0+2048', 'write 8192+2048'])
  t.equal(await rig.outcome(copyIn(0x00)), '05/24/00')
})

t.test('copies under way: identifiers in use, and no more than were promised', async (t) => {
  const [one, other] = [makeUnit(0), makeUnit(1)]
  const rig = rigOf(one, other)
  const release: (() => void)[] = []
  const read = one.read.bind(one)
  one.read = async (...args) => {
    await new Promise<void>((resolve) => release.push(resolve))
    return read(...args)
  }
  const start = (listIdentifier: number) => copyOne(rig, { destination: 1 }, { listIdentifier })
  const running = Array.from({ length: limits.concurrentCopies }, (_, i) => start(i))
  t.equal(await statusOf(rig, 3), '0 0 0', 'it is under way')
  t.equal(await start(3), '05/00/16')
  t.equal(await start(200), '8')
  const stranger = testNexus('iqn.2026-11.test:stranger')
  t.equal(await rig.outcome(copyIn(0x00, 3), { nexus: stranger }), '05/24/00', 'of another')
  for (const resolve of release) resolve()
  for (const outcome of await Promise.all(running)) t.equal(outcome, 'GOOD')
  one.read = read
  t.equal(await start(3), 'GOOD', 'the identifier may be used again')
  const unnamed = copyList(names, [segment({ destination: 1 })], { listIdentifier: 0, usage: 3 })
  t.equal(await copy(rig, unnamed), 'GOOD')
})

t.test('a busy unit is told as such while nothing was copied', async (t) => {
  const rig = rigOf(makeUnit(0), makeUnit(1))
  rig.unit.failNext = { status: 0x08 }
  t.equal(await copyOne(rig, { destination: 1 }), '8')
  rig.unit.failNext = 'drop'
  t.equal(await copyOne(rig, { destination: 1 }, { listIdentifier: 9 }), 'drop')
  t.equal(await rig.outcome(copyIn(0x00, 9)), '05/24/00')
  const list = copyList(names, [segment({ destination: 1 }), segment({ destination: 1 })])
  const other = rig.units.get(1)!
  const write = other.write.bind(other)
  other.write = (...args) => {
    rig.unit.failNext = { status: 0x08 }
    return write(...args)
  }
  t.equal(await copy(rig, list), '0a/0d/01', 'afterwards it is not to be sent again')
})

t.test('only so many results are kept', async (t) => {
  const rig = rigOf(makeUnit(0), makeUnit(1))
  for (let id = 0; id <= limits.records; id++) {
    t.equal(await copyOne(rig, { destination: 1 }, { listIdentifier: id }), 'GOOD')
  }
  t.equal(await rig.outcome(copyIn(0x00, 0)), '05/24/00')
  t.equal(await statusOf(rig, 1), '1 1 512')
})

t.test('operating parameters and VPD page 8Fh say what is enforced', async (t) => {
  const rig = rigOf(makeUnit(0), makeUnit(1))
  const data = await rig.dataOf(copyIn(0x03))
  t.equal(data.readUInt32BE(0), data.length - 4)
  t.equal(data[4], 1)
  const said = [8, 10, 34].map((at) => data.readUInt16BE(at))
  t.strictSame(said, [limits.cscds, limits.segments, limits.concurrentCopies])
  t.strictSame([data.readUInt32BE(12), data.readUInt32BE(16)], [4096, 16 << 20])
  t.strictSame([...data.subarray(36, 44)], [16, 9, 0, 0, 0, 0, 0, 2])
  t.strictSame([...data.subarray(44)], [0x02, 0xe4])
  const page = await rig.dataOf('12018f040000')
  t.strictSame([...page.subarray(0, 4)], [0, 0x8f, 0, page.length - 4])
  // SUPPORTED COMMANDS: no tokens here.
  t.strictSame([...page.subarray(4, 20)], [0, 1, 0, 12, 8, 0x83, 1, 0, 0x84, 3, 0, 3, 4, 0, 0, 0])
  t.equal((await rig.dataOf('120000006000'))[5]! & 0x08, 0x08, '3PC')
  const plain = new ScsiRig()
  t.equal((await plain.dataOf('120000006000'))[5]! & 0x08, 0)
  t.equal(await plain.outcome('12018f00ff00'), '05/24/00')
  t.equal(await plain.outcome(copyOut(0, 0)), '05/20/00')
})
