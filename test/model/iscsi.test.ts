/**
 * Random histories against simple models: every PDU through encode and decode, frames through any
 * division of the stream, and the command window against a model that keeps a plain list.
 */
import fc from 'fast-check'
import t from 'tap'
import { serialAdd } from '../../src/base/serial.ts'
import { CommandCredit, CommandWindow } from '../../src/iscsi/command-window.ts'
import { encodeFrame } from '../../src/iscsi/encode-frame.ts'
import { Framer } from '../../src/iscsi/framer.ts'
import { pdus } from '../../src/iscsi/pdu/directory.ts'
import type { Fields, Layout } from '../../src/wire/layout.ts'
import { seededRandom } from '../support/seeded-random.ts'

t.test('every PDU survives encode and decode', async (t) => {
  for (const pdu of pdus as unknown as readonly Layout<Fields>[]) {
    fc.assert(
      fc.property(fc.integer({ min: 0 }), (seed) => {
        const value = pdu.generate(seededRandom(seed))
        const wire = pdu.build(value)
        const again = pdu.build(pdu.decode(wire))
        return wire.equals(again) && JSON.stringify(pdu.decode(wire)) === JSON.stringify(value)
      }),
      { numRuns: 50 },
    )
  }
  t.pass(`${pdus.length} PDUs`)
})

const frames = fc.array(
  fc.record({
    seed: fc.integer({ min: 0 }),
    ahsWords: fc.integer({ min: 0, max: 4 }),
    dataBytes: fc.integer({ min: 0, max: 5000 }),
    immediate: fc.boolean(),
  }),
  { minLength: 1, maxLength: 6 },
)

t.test('frames survive any division of the stream', async (t) => {
  fc.assert(
    fc.property(
      frames,
      fc.boolean(),
      fc.boolean(),
      fc.array(fc.integer({ min: 1, max: 4000 }), { minLength: 1, maxLength: 20 }),
      (sent, header, data, steps) => {
        const digests = { header, data }
        const framer = new Framer({ maxDataSegmentBytes: () => 5000, maxAhsBytes: 16 })
        framer.setDigests(digests)
        const expected: string[] = []
        const stream = Buffer.concat(
          sent.flatMap(({ seed, ahsWords, dataBytes, immediate }) => {
            const random = seededRandom(seed)
            const ahs = random.bytes(ahsWords * 4)
            const payload = random.bytes(dataBytes)
            expected.push(`${immediate} ${ahs.toString('hex')} ${payload.toString('hex')}`)
            return encodeFrame(Buffer.alloc(48), { ahs, data: [payload], immediate, digests })
          }),
        )
        const got: string[] = []
        let step = 0
        for (let at = 0; at < stream.length; step++) {
          const end = Math.min(stream.length, at + steps[step % steps.length]!)
          framer.push(Buffer.from(stream.subarray(at, end)))
          at = end
          for (let frame = framer.next(); frame !== undefined; frame = framer.next()) {
            if (frame.kind !== 'frame') return false
            const payload = Buffer.concat(frame.data).toString('hex')
            got.push(`${frame.immediate} ${frame.ahs.toString('hex')} ${payload}`)
          }
        }
        return framer.bufferedBytes === 0 && JSON.stringify(got) === JSON.stringify(expected)
      },
    ),
    { numRuns: 150 },
  )
  t.pass('150 streams')
})

/** The window by the words of RFC 7143 4.2.2.1, with lists and plain integers that never wrap. */
class WindowModel {
  delivered: number[] = []
  readonly held = new Set<number>()
  readonly #skipped = new Set<number>()
  ended = 0
  readonly size: number

  constructor(size: number) {
    this.size = size
  }

  get next(): number {
    return this.delivered.length
  }

  get last(): number {
    return this.size + this.ended - 1
  }

  arrive(n: number): number[] | 'ignored' {
    if (n < this.next || n > this.last || this.held.has(n)) return 'ignored'
    this.held.add(n)
    return this.#deliver()
  }

  /** It is taken for received, and passed over in its turn. */
  skip(n: number): number[] {
    if (n < this.next || n > this.last) return []
    this.held.add(n)
    this.#skipped.add(n)
    return this.#deliver()
  }

  forget(n: number): void {
    this.held.delete(n)
    this.#skipped.delete(n)
  }

  #deliver(): number[] {
    const now: number[] = []
    while (this.held.delete(this.next)) {
      const n = this.next
      this.delivered.push(n)
      if (this.#skipped.delete(n)) this.ended++
      else now.push(n)
    }
    return now
  }
}

t.test('the command window', async (t) => {
  const actions = fc.array(
    fc.oneof(
      fc.record({ kind: fc.constant('arrive' as const), offset: fc.integer({ min: -3, max: 9 }) }),
      fc.record({ kind: fc.constant('skip' as const), offset: fc.integer({ min: -3, max: 9 }) }),
      fc.record({ kind: fc.constant('forget' as const), offset: fc.integer({ min: -3, max: 9 }) }),
      fc.record({ kind: fc.constant('end' as const) }),
    ),
    { maxLength: 120 },
  )
  const first = fc.constantFrom(0, 5, 0x7ffffff0, 0xfffffff0)
  fc.assert(
    fc.property(first, fc.integer({ min: 1, max: 6 }), actions, (start, size, history) => {
      const window = new CommandWindow<number>({ expCmdSn: start, windowCommands: size })
      const model = new WindowModel(size)
      for (const action of history) {
        if (action.kind === 'end') {
          if (model.ended === model.delivered.length) continue
          model.ended++
          window.end()
        } else {
          const { kind } = action
          const n = model.next + action.offset
          const cmdSn = serialAdd(start, n)
          if (kind === 'forget') {
            window.forget(cmdSn)
            model.forget(n)
          } else {
            const got = kind === 'skip' ? window.skip(cmdSn) : window.arrive(cmdSn, n)
            const wanted = kind === 'skip' ? model.skip(n) : model.arrive(n)
            if (JSON.stringify(got) !== JSON.stringify(wanted)) return false
          }
        }
        if (window.expCmdSn !== serialAdd(start, model.next)) return false
        if (window.maxCmdSn !== serialAdd(start, model.last)) return false
      }
      return true
    }),
    { numRuns: 500 },
  )
  t.throws(() => new CommandWindow({ expCmdSn: 0, windowCommands: 1 }).end())
})

t.test('an initiator never leaves the window', async (t) => {
  const credit = new CommandCredit(0xfffffffe)
  t.equal(credit.available, 0, 'nothing before the target opened it')
  t.throws(() => credit.take())
  credit.update(0xfffffffe, 1)
  t.equal(credit.available, 4)
  t.strictSame([credit.take(), credit.take(), credit.take()], [0xfffffffe, 0xffffffff, 0])
  t.equal(credit.unacknowledged, 3)
  credit.update(0xffffffff, 1)
  t.equal(credit.unacknowledged, 2)
  credit.update(0xfffffffe, 0)
  t.equal(credit.available, 1, 'old news change nothing')
  credit.update(5, 3)
  t.equal(credit.available, 1, 'numbers that contradict each other neither')
  t.equal(credit.take(), 1)
  t.equal(credit.available, 0)
  credit.update(2, 1)
  t.equal(credit.available, 0, 'a closed window is MaxCmdSN one behind ExpCmdSN')
  t.equal(credit.unacknowledged, 0)
})
