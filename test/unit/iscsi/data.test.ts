/** Data transfers of one task, both roles, against each other and against hostile peers. */
import t from 'tap'
import { DataInAssembly } from '../../../src/iscsi/data-in-assembly.ts'
import { splitDataIn } from '../../../src/iscsi/data-in-sequence.ts'
import {
  beginDataOut,
  type DataOutFields,
  type DataOutSequence,
  type DataOutStart,
} from '../../../src/iscsi/data-out-sequence.ts'
import { DataOutSource } from '../../../src/iscsi/data-out-source.ts'
import type { DataFault, DataRules } from '../../../src/iscsi/data-rules.ts'
import { sliceData, totalBytes } from '../../../src/iscsi/data-slices.ts'
import { RESERVED_TAG } from '../../../src/iscsi/pdu/opcode.ts'
import { residualOf } from '../../../src/iscsi/residual.ts'
import { seededRandom } from '../../support/seeded-random.ts'

const rules: DataRules = {
  initialR2T: false,
  immediateData: true,
  firstBurstBytes: 1024,
  maxBurstBytes: 2048,
  maxOutstandingR2T: 1,
}
const start: DataOutStart = {
  rules,
  expectedBytes: 4096,
  wantedBytes: 4096,
  final: true,
  immediate: [],
  immediateBytes: 0,
}

function sequence(changes: Partial<DataOutStart> = {}): DataOutSequence {
  const begun = beginDataOut({ ...start, ...changes })
  if (begun.kind === 'data-fault') throw new Error(begun.why)
  return begun
}

const segment = (bytes: number) => [Buffer.alloc(bytes, 1)] as const
const immediate = (bytes: number) => ({ immediate: segment(bytes), immediateBytes: bytes })
const solicited: DataOutFields = { final: false, targetTransferTag: 1, dataSn: 0, bufferOffset: 0 }
const unsolicited: DataOutFields = { ...solicited, targetTransferTag: RESERVED_TAG }

t.test('the command itself', async (t) => {
  const faults: [Partial<DataOutStart>, RegExp][] = [
    [{ final: false, rules: { ...rules, initialR2T: true } }, /InitialR2T/],
    [{ ...immediate(1), rules: { ...rules, immediateData: false } }, /ImmediateData/],
    [immediate(1025), /FirstBurstLength/],
    [{ ...immediate(513), expectedBytes: 512, wantedBytes: 512 }, /expected length/],
  ]
  for (const [changes, why] of faults) t.match(beginDataOut({ ...start, ...changes }), { why })
  const all = sequence({ ...immediate(512), expectedBytes: 512, wantedBytes: 512 })
  t.ok(all.complete)
  t.equal(all.nextRequest(1, 1e9), undefined)
  t.equal(all.dataBytes, 512)
  t.ok(sequence({ expectedBytes: 0, wantedBytes: 0 }).complete)
})

t.test('R2T after R2T', async (t) => {
  const one = sequence(immediate(512))
  const take = (changes: Partial<DataOutFields>, bytes: number) =>
    one.receive({ ...solicited, ...changes }, segment(bytes), bytes)
  t.notOk(one.complete)
  t.equal(one.nextRequest(1, 0), undefined, 'no memory, no R2T')
  t.strictSame(one.nextRequest(1, 1e9), {
    targetTransferTag: 1,
    r2tSn: 0,
    bufferOffset: 512,
    desiredBytes: 2048,
  })
  t.equal(one.nextRequest(2, 1e9), undefined, 'one outstanding')
  t.equal(take({ bufferOffset: 512 }, 1024), undefined)
  t.equal(take({ bufferOffset: 1536, dataSn: 1, final: true }, 1024), undefined)
  t.match(one.nextRequest(2, 1000), { r2tSn: 1, bufferOffset: 2560, desiredBytes: 1000 })
  t.equal(take({ targetTransferTag: 2, bufferOffset: 2560, final: true }, 1000), undefined)
  t.match(one.nextRequest(3, 1e9), { r2tSn: 2, bufferOffset: 3560, desiredBytes: 536 })
  t.notOk(one.complete)
  t.equal(take({ targetTransferTag: 3, bufferOffset: 3560, final: true }, 536), undefined)
  t.ok(one.complete)
  t.equal(one.r2tCount, 3)
  t.equal(totalBytes(one.data), 4096)
  const two = sequence({ rules: { ...rules, maxOutstandingR2T: 2 } })
  t.ok(two.nextRequest(1, 1e9))
  t.ok(two.nextRequest(2, 1e9))
  t.equal(two.nextRequest(3, 1e9), undefined)
  t.equal(two.unrequestedBytes, 0)
  const second = { ...solicited, targetTransferTag: 2, bufferOffset: 2048 }
  t.match(two.receive(second, segment(1), 1), { why: /tag/ }, 'R2Ts are answered in order')
})

t.test('unsolicited data come first', async (t) => {
  const rest = { ...unsolicited, bufferOffset: 512, final: true }
  const one = sequence({ ...immediate(512), final: false })
  t.equal(one.nextRequest(1, 1e9), undefined, 'no R2T while they come')
  t.equal(one.receive(rest, segment(512), 512), undefined)
  t.match(one.nextRequest(1, 1e9), { bufferOffset: 1024, r2tSn: 0 })
  const swallowed = sequence({ ...immediate(512), final: false, wantedBytes: 0 })
  t.notOk(swallowed.complete, 'what was announced must come before the answer goes')
  t.equal(swallowed.receive(rest, segment(512), 512), undefined)
  t.ok(swallowed.complete)
  t.equal(totalBytes(swallowed.data), 0, 'and is not kept')
  const partly = sequence({ ...immediate(1024), expectedBytes: 1024, wantedBytes: 700 })
  t.ok(partly.complete)
  t.equal(totalBytes(partly.data), 700, 'more than the command can use')
})

t.test('what ends a task', async (t) => {
  const short = { final: false, expectedBytes: 512, wantedBytes: 512 }
  const faults: [string, Partial<DataOutStart>, Partial<DataOutFields>, number, RegExp][] = [
    ['not asked for', {}, solicited, 1, /no R2T/],
    ['not announced', {}, unsolicited, 1, /announced/],
    ['beyond the first burst', { final: false }, unsolicited, 1025, /FirstBurst/],
    ['beyond the expected length', short, unsolicited, 513, /FirstBurst/],
    ['DataSN skipped', { final: false }, { ...unsolicited, dataSn: 1 }, 1, /DataSN 1 instead of 0/],
    ['DataSN ffffffff', { final: false }, { ...unsolicited, dataSn: 0xffffffff }, 1, /DataSN/],
    ['a hole', { final: false }, { ...unsolicited, bufferOffset: 512 }, 1, /order/],
  ]
  for (const [name, changes, fields, bytes, why] of faults) {
    const one = sequence(changes)
    t.match(one.receive({ ...solicited, ...fields }, segment(bytes), bytes), { why }, name)
    t.equal(one.dataBytes, 0, `${name}: nothing kept`)
  }
  const asked = (fields: Partial<DataOutFields>, bytes: number) => {
    const one = sequence()
    one.nextRequest(1, 1e9)
    return one.receive({ ...solicited, ...fields }, segment(bytes), bytes)
  }
  t.match(asked({ final: true }, 2047), { why: /F bit/ })
  t.match(asked({}, 2049), { why: /more data/ })
  t.match(asked({ bufferOffset: 2048 }, 1), { why: /more data/ })
  t.match(asked({ targetTransferTag: 7 }, 1), { why: /tag/ })
  t.match(asked({ targetTransferTag: RESERVED_TAG }, 1), { why: /announced/ })
  t.match(asked({ dataSn: 1 }, 1), { why: /DataSN/ })
  t.equal(asked({ final: true }, 2048), undefined)
})

t.test('crumbs are gathered', async (t) => {
  const bytes = 200_000
  const all = Buffer.from(Array.from({ length: bytes }, (_, i) => (i * 7 + (i >> 8)) & 0xff))
  const large = { ...rules, maxBurstBytes: bytes }
  const one = sequence({ rules: large, expectedBytes: bytes, wantedBytes: bytes })
  one.nextRequest(1, bytes)
  const random = seededRandom(5)
  for (let offset = 0, dataSn = 0; offset < bytes; dataSn++) {
    const length = Math.min(bytes - offset, random.below(200) === 0 ? 4096 : 1 + random.below(9))
    const data = [all.subarray(offset, offset + length)]
    const final = offset + length === bytes
    const fields = { ...solicited, final, dataSn, bufferOffset: offset }
    if (one.receive(fields, data, length) !== undefined) t.fail(`at ${offset}`)
    offset += length
  }
  t.ok(one.complete)
  t.ok(Buffer.concat(one.data).equals(all))
  t.ok(one.data.length < 400, `${one.data.length} pieces`)
})

t.test('an initiator obeys R2Ts, but not every R2T', async (t) => {
  const source = () => {
    const one = new DataOutSource([Buffer.alloc(3000, 1), Buffer.alloc(1096, 2)], rules, 512)
    t.match(one.immediate(), { final: false })
    t.match(one.unsolicited(), [
      { targetTransferTag: RESERVED_TAG, bufferOffset: 512, final: true },
    ])
    return one
  }
  const r2t = {
    targetTransferTag: 5,
    r2tSn: 0,
    bufferOffset: 1024,
    desiredDataTransferLength: 2048,
  }
  const bad: [Partial<typeof r2t>, RegExp][] = [
    [{ targetTransferTag: RESERVED_TAG }, /tag/],
    [{ r2tSn: 1 }, /R2TSN/],
    [{ bufferOffset: 0 }, /order/],
    [{ bufferOffset: 1536 }, /order/],
    [{ desiredDataTransferLength: 0 }, /nothing/],
    [{ desiredDataTransferLength: 2049 }, /MaxBurst/],
    [{ desiredDataTransferLength: 2 ** 32 - 1 }, /MaxBurst/],
  ]
  for (const [changes, why] of bad) t.match(source().solicit({ ...r2t, ...changes }), { why })
  const one = source()
  t.match(one.solicit(r2t), { length: 4 })
  t.match(one.solicit(r2t), { why: /R2TSN/ }, 'nothing is sent twice')
  const last = { ...r2t, r2tSn: 1, bufferOffset: 3072 }
  t.match(one.solicit({ ...last, desiredDataTransferLength: 1025 }), { why: /expected length/ })
  t.match(one.solicit({ ...last, desiredDataTransferLength: 1024 }), { length: 2 })
})

t.test('both roles move every byte', async (t) => {
  const random = seededRandom(3)
  for (let i = 0; i < 400; i++) {
    const bytes = random.below(9000)
    const own: DataRules = {
      initialR2T: random.below(2) === 0,
      immediateData: random.below(2) === 0,
      firstBurstBytes: 512 + random.below(2000),
      maxBurstBytes: 512 + random.below(4000),
      maxOutstandingR2T: 1 + random.below(3),
    }
    const data = random.bytes(bytes)
    const cut = random.below(bytes + 1)
    const halves = [data.subarray(0, cut), data.subarray(cut)]
    const source = new DataOutSource(halves, own, 512 + random.below(600))
    const opening = firstPart(source)
    const begun = beginDataOut({ rules: own, expectedBytes: bytes, wantedBytes: bytes, ...opening })
    if (begun.kind === 'data-fault') throw new Error(begun.why)
    const options = { final: opening.final, budget: random.below(3000) + 1 }
    const moved = run(begun, source, options)
    if (moved !== undefined) throw new Error(`${moved.why} ${JSON.stringify(own)}`)
    if (!Buffer.concat(begun.data).equals(data)) throw new Error('other bytes')
  }
  t.pass('400 random transfers')
})

function firstPart(source: DataOutSource<Buffer>) {
  const { data, final } = source.immediate()
  return { immediate: data, immediateBytes: totalBytes(data), final }
}

/** The wire between the two: what is sent arrives, one part at a time. */
function run(
  target: DataOutSequence,
  source: DataOutSource<Buffer>,
  options: { readonly final: boolean; readonly budget: number },
): DataFault | undefined {
  const queue = options.final ? [] : [...source.unsolicited()]
  const { budget } = options
  let tag = 1
  for (let i = 0; !target.complete && i < 1000; i++) {
    for (let request = target.nextRequest(tag, budget); request !== undefined; ) {
      const { desiredBytes, ...fields } = request
      const answer = source.solicit({ ...fields, desiredDataTransferLength: desiredBytes })
      if ('kind' in answer) return answer
      queue.push(...answer)
      request = target.nextRequest(++tag, budget)
    }
    tag++
    const part = queue.shift()
    if (part === undefined) return { kind: 'data-fault', why: 'nothing to send' }
    const fault = target.receive(part, part.data, totalBytes(part.data))
    if (fault !== undefined) return fault
  }
  return undefined
}

t.test('Data-In, cut and put together', async (t) => {
  const data = [Buffer.alloc(1000, 1), Buffer.alloc(2500, 2)]
  const parts = splitDataIn(data, 3500, { maxSegmentBytes: 1024, maxBurstBytes: 2000 })
  t.strictSame(
    parts.map(({ dataSn, bufferOffset, data: slices, final, last }) => [
      dataSn,
      bufferOffset,
      totalBytes(slices),
      final,
      last,
    ]),
    [
      [0, 0, 1024, false, false],
      [1, 1024, 976, true, false],
      [2, 2000, 1024, false, false],
      [3, 3024, 476, true, true],
    ],
  )
  const assembly = new DataInAssembly(4096)
  for (const part of parts) {
    t.equal(
      assembly.receive({ ...part, acknowledge: false }, part.data, totalBytes(part.data)),
      undefined,
    )
  }
  t.strictSame(Buffer.concat(assembly.data), Buffer.concat(data))
  t.equal(assembly.dataSn, 4)
  t.equal(assembly.dataBytes, 3500)
  t.strictSame(splitDataIn(data, 0, { maxSegmentBytes: 512, maxBurstBytes: 512 }), [])
  const whole = splitDataIn(data, 3500, { maxSegmentBytes: 8192, maxBurstBytes: 8192 })
  t.equal(whole.length, 1)
  t.equal(whole[0]?.data[1], data[1], 'no copy')
})

t.test('Data-In from a hostile target', async (t) => {
  const fields = { acknowledge: false, dataSn: 0, bufferOffset: 0 }
  const bad: [Partial<typeof fields>, number, RegExp][] = [
    [{ acknowledge: true }, 1, /A bit/],
    [{ dataSn: 1 }, 1, /DataSN/],
    [{ bufferOffset: 1 }, 1, /order/],
    [{}, 513, /more data/],
  ]
  for (const [changes, bytes, why] of bad) {
    const assembly = new DataInAssembly(512)
    t.match(assembly.receive({ ...fields, ...changes }, segment(bytes), bytes), { why })
    t.equal(assembly.dataBytes, 0)
  }
})

t.test('residuals and slices', async (t) => {
  t.strictSame(residualOf(512, 512), { overflow: false, underflow: false, residualCount: 0 })
  t.strictSame(residualOf(512, 1024), { overflow: true, underflow: false, residualCount: 512 })
  t.strictSame(residualOf(1024, 0), { overflow: false, underflow: true, residualCount: 1024 })
  t.equal(residualOf(0, 2 ** 40).residualCount, 0xffffffff)
  const data = [Buffer.from('abc'), Buffer.alloc(0), Buffer.from('defg')]
  t.equal(Buffer.concat(sliceData(data, 2, 3)).toString(), 'cde')
  t.strictSame(sliceData(data, 1, 0), [])
  t.equal(sliceData(data, 3, 4)[0], data[2])
})

t.test('small pieces that wait do not hold the buffers in which they came', async (t) => {
  const chunk = seededRandom(5).bytes(64 * 1024)
  const small = chunk.subarray(1000, 1512)
  const large = chunk.subarray(2000, 34_000)
  const write = sequence({
    rules: { ...rules, firstBurstBytes: 65_536, maxBurstBytes: 65_536 },
    expectedBytes: 65_536,
    wantedBytes: 65_536,
    immediate: [small],
    immediateBytes: small.length,
    final: false,
  })
  write.compact()
  write.receive({ ...unsolicited, bufferOffset: 512 }, [large], large.length)
  write.compact()
  const [first, second] = write.data
  t.ok(first!.equals(small) && first!.buffer !== chunk.buffer, 'copied')
  t.ok(first!.buffer.byteLength <= 16 * 1024)
  t.ok(second === large, 'a large one is worth its buffer')
  const crumbs = sequence({ ...start, expectedBytes: 65_536, wantedBytes: 65_536, final: false })
  const crumb = chunk.subarray(0, 10)
  for (let at = 0; at < 400; at += 10) {
    crumbs.receive({ ...unsolicited, dataSn: at / 10, bufferOffset: at }, [crumb], 10)
    crumbs.compact()
  }
  t.equal(crumbs.dataBytes, 400)
  const wrong = crumbs.data.filter((each) => each.buffer === chunk.buffer)
  t.equal(wrong.length, 0)
  t.ok(Buffer.concat(crumbs.data).equals(Buffer.concat(Array.from({ length: 40 }, () => crumb))))
})
