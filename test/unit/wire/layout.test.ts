/** The layout engine: what it refuses at load, and that decode and encode are exact mirrors. */
import t from 'tap'
import {
  bit,
  bits,
  bytes,
  constant,
  layout,
  reserved,
  reservedBits,
  u8,
  u16,
  u24,
  u32,
  u64,
  words4,
} from '../../../src/wire/layout.ts'
import { hex } from '../../support/bytes.ts'
import { seededRandom } from '../../support/seeded-random.ts'

const every = layout({
  name: 'Every Kind',
  cite: 'none',
  sizeBytes: 28,
  fields: {
    flag: bit(1, 7),
    middle: bits(1, 5, 2),
    words: words4(2),
    byte: u8(3),
    pair: u16(4),
    three: u24(6),
    four: u32(9),
    eight: u64(13),
    raw: bytes(21, 3),
  },
  constants: [constant(0, 7, 0, 0xa5), constant(1, 0, 0, 1)],
  reserved: [reservedBits(1, 6, 6), reservedBits(1, 1, 1), reserved(24, 4)],
})

const sample = {
  flag: true,
  middle: 0b1010,
  words: 1020,
  byte: 0xfe,
  pair: 0x1234,
  three: 0xfedcba,
  four: 0xfffefdfc,
  eight: 0xffffffff_fffffffen,
  raw: hex('010203'),
}
const wire = hex(`
  a5       // constant
  a9       // flag, reserved, middle 1010, reserved, constant 1
  ff       // 255 words
  fe 1234 fedcba fffefdfc fffffffffffffffe 010203
  00000000 // reserved`)

t.test('every kind of field, both ways', async (t) => {
  t.strictSame(every.build(sample), wire)
  t.strictSame(every.decode(wire), sample)
  const noisy = Buffer.concat([hex('ffff'), wire, hex('ff')])
  noisy[2 + 24] = 0xff
  noisy[3] = noisy[3]! | 0x40
  noisy[2] = 0
  t.strictSame(every.decode(noisy, 2), sample, 'reserved bits and constants are ignored on read')
  const dirty = Buffer.alloc(30, 0xff)
  every.encode(sample, dirty, 1)
  t.strictSame(dirty.subarray(1, 29), wire, 'reserved bytes are written as zero')
  t.equal(dirty[0], 0xff)
  t.equal(dirty[29], 0xff)
  t.equal(every.usedBits.toString('hex'), `ffbd${'ff'.repeat(22)}00000000`)
  t.match(
    every.describe(sample),
    /^Every Kind flag=true middle=10 .*four=0xfffefdfc .*raw=0x010203$/,
  )
})

t.test('random values survive', async (t) => {
  const random = seededRandom(7)
  for (let i = 0; i < 200; i++) {
    const value = every.generate(random)
    t.strictSame(every.decode(every.build(value)), value)
  }
})

t.test('a value that does not fit is our own bug', async (t) => {
  const misfits: Partial<typeof sample>[] = [
    { middle: 16 },
    { words: 3 },
    { words: 1024 },
    { byte: 256 },
    { pair: -1 },
    { three: 2 ** 24 },
    { four: 2 ** 32 },
    { four: 1.5 },
    { four: Number.NaN },
    { eight: 2n ** 64n },
    { eight: -1n },
    { raw: hex('0102') },
  ]
  for (const misfit of misfits) {
    t.throws(() => every.build({ ...sample, ...misfit }), /Every Kind\.\w+: .* does not fit/)
  }
  t.throws(() => every.decode(wire.subarray(1)), /shorter than 28 bytes/)
  t.throws(() => every.decode(wire, 1), /shorter than 28 bytes/)
  t.throws(() => every.encode(sample, Buffer.alloc(27)), /shorter than 28 bytes/)
})

t.test('a wrong table fails when it is loaded', async (t) => {
  const table = (fields: Parameters<typeof layout>[0]['fields'], rest: object = {}) =>
    layout({ name: 'Bad', cite: 'none', sizeBytes: 2, fields, ...rest })
  t.throws(() => table({ a: u8(0) }), /byte 1 is neither declared nor reserved/)
  t.throws(() => table({ a: u16(0), b: bit(1, 0) }), /Bad\.b: byte 1 is declared twice/)
  t.throws(() => table({ a: u16(1) }), /outside the layout/)
  t.throws(() => table({ a: u16(0) }, { reserved: [reserved(1)] }), /declared twice/)
  t.throws(() => table({ a: bits(0, 8, 0) }), /no such bits/)
  t.throws(() => table({ a: bits(0, 1, 2) }), /no such bits/)
  t.throws(() => table({ 'a b': u16(0) }), /no field name/)
  t.throws(
    () =>
      table(
        { a: u8(1) },
        { constants: [constant(0, 7, 4, 16)], reserved: [reservedBits(0, 3, 0)] },
      ),
    /constant does not fit/,
  )
})
