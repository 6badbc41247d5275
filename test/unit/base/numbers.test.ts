/** Serial arithmetic (RFC 1982) and CRC32C (RFC 7143 A.4), against published values. */
import t from 'tap'
import { crc32c } from '../../../src/base/crc32c.ts'
import { serialAdd, serialDistance, serialLess } from '../../../src/base/serial.ts'
import { hex, slowCrc32c } from '../../support/bytes.ts'
import { seededRandom } from '../../support/seeded-random.ts'

t.test('serial numbers wrap', async (t) => {
  t.equal(serialAdd(0xffffffff, 1), 0)
  t.equal(serialAdd(0, -1), 0xffffffff)
  t.equal(serialAdd(0x7fffffff, 1), 0x80000000, 'stays unsigned')
  t.equal(serialDistance(0xfffffffe, 3), 5)
  t.equal(serialDistance(3, 0xfffffffe), -5)
  t.ok(serialLess(0xffffffff, 0))
  t.notOk(serialLess(0, 0xffffffff))
  t.notOk(serialLess(7, 7))
})

/** RFC 7143 A.4: the CRC as its bytes appear on the wire. */
const examples = [
  ['32 zeros', Buffer.alloc(32), 'aa36918a'],
  ['32 bytes of ones', Buffer.alloc(32, 0xff), '43aba862'],
  ['32 bytes counting up', Buffer.from(Array.from({ length: 32 }, (_, i) => i)), '4e79dd46'],
  ['32 bytes counting down', Buffer.from(Array.from({ length: 32 }, (_, i) => 31 - i)), '5cdb3f11'],
  [
    'an iSCSI READ (10) command',
    hex(`01c00000 00000000 00000000 00000000 14000000 00000400 00000014 00000018
         28000000 00000000 02000000 00000000`),
    '563a96d9',
  ],
] as const

t.test('CRC32C of the examples in the standard', async (t) => {
  for (const [name, data, wire] of examples) {
    const digest = Buffer.alloc(4)
    digest.writeUInt32LE(crc32c([data]))
    t.equal(digest.toString('hex'), wire, name)
    t.equal(slowCrc32c(data).toString('hex'), wire, `${name}, bitwise`)
  }
  t.equal(crc32c([Buffer.from('123456789')]), 0xe3069283)
  t.equal(crc32c([]), 0)
})

t.test('CRC32C is the same for every length, alignment and division', async (t) => {
  const random = seededRandom(1)
  const data = random.bytes(1200)
  for (let length = 0; length <= 600; length += length < 40 ? 1 : 37) {
    for (let start = 0; start < 4; start++) {
      const piece = data.subarray(start, start + length)
      const expected = slowCrc32c(piece).readUInt32LE()
      if (crc32c([piece]) !== expected) t.fail(`length ${length} at ${start}`)
    }
  }
  const whole = crc32c([data])
  t.equal(whole, slowCrc32c(data).readUInt32LE())
  for (let i = 0; i < 50; i++) {
    const cut = random.below(data.length)
    const parts = [data.subarray(0, cut), Buffer.alloc(0), data.subarray(cut)]
    if (crc32c(parts) !== whole) t.fail(`cut at ${cut}`)
  }
})
