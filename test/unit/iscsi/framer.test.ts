/** The framer against hostile and unlucky byte streams. */
import t from 'tap'
import { buildAhs, parseAhs } from '../../../src/iscsi/ahs.ts'
import { encodeFrame } from '../../../src/iscsi/encode-frame.ts'
import { type Frame, type FrameFault, Framer } from '../../../src/iscsi/framer.ts'
import { header, hex, padded, slowCrc32c } from '../../support/bytes.ts'

const limit = 8192

function framerOf(digests = { header: false, data: false }, maxDataSegmentBytes = limit): Framer {
  const framer = new Framer({ maxDataSegmentBytes: () => maxDataSegmentBytes, maxAhsBytes: 64 })
  framer.setDigests(digests)
  return framer
}

const nop = (dataBytes: number, ahsWords = 0) =>
  header({
    0: '4080',
    4: Buffer.from([ahsWords]).toString('hex'),
    5: dataBytes.toString(16).padStart(6, '0'),
  })

const frameOf = (got: Frame | FrameFault | undefined): Frame => {
  if (got?.kind !== 'frame') throw new Error(`no frame but ${got?.kind}`)
  return got
}

t.test('every length up to the limit, and none beyond', async (t) => {
  for (const dataBytes of [0, 1, 2, 3, 4, 48, limit - 1, limit]) {
    const framer = framerOf()
    const data = Buffer.alloc(dataBytes, 0x5a)
    framer.push(Buffer.concat([nop(dataBytes), padded(data), nop(0)]))
    const frame = frameOf(framer.next())
    t.equal(frame.dataBytes, dataBytes)
    t.strictSame(Buffer.concat(frame.data), data)
    t.equal(frameOf(framer.next()).dataBytes, 0, 'in step afterwards')
    t.equal(framer.bufferedBytes, 0)
  }
  for (const dataBytes of [limit + 1, 2 ** 24 - 1]) {
    const framer = framerOf()
    framer.push(nop(dataBytes))
    const fault = framer.next()
    t.match(fault, { kind: 'data-too-long' }, 'told before a byte of data is kept')
    t.equal(fault?.header?.[0], 0x40)
    framer.push(Buffer.alloc(4096))
    t.equal(framer.next(), undefined)
    t.equal(framer.bufferedBytes, 0, 'nothing is kept of a stream that is lost')
  }
})

t.test('AHS up to the limit', async (t) => {
  const framer = framerOf()
  framer.push(Buffer.concat([nop(0, 16), Buffer.alloc(64, 1)]))
  t.equal(frameOf(framer.next()).ahs.length, 64)
  framer.push(nop(0, 17))
  t.match(framer.next(), { kind: 'ahs-too-long' })
})

t.test('digests', async (t) => {
  const good = (data: Buffer) => {
    const head = nop(data.length)
    return Buffer.concat([head, slowCrc32c(head), padded(data), slowCrc32c(padded(data))])
  }
  const data = Buffer.from('hello')
  for (let byte = 0; byte < good(data).length; byte++) {
    // A damaged length may wait for more bytes than come; that is not what is looked at here.
    if (byte >= 4 && byte < 8) continue
    const framer = framerOf({ header: true, data: true })
    const damaged = good(data)
    damaged[byte] = damaged[byte]! ^ 0x10
    framer.push(Buffer.concat([damaged, good(Buffer.alloc(0)).subarray(0, 52)]))
    const fault = framer.next()
    if (byte < 52) {
      t.match(fault, { kind: 'header-digest' }, `byte ${byte}`)
      t.equal(fault?.header, undefined, 'a header that is damaged is not shown')
      t.equal(framer.next(), undefined)
    } else {
      t.match(fault, { kind: 'data-digest' }, `byte ${byte}`)
      t.equal(fault?.header?.length, 48)
      t.equal(frameOf(framer.next()).dataBytes, 0, 'the next frame can be read')
    }
  }
})

t.test('data are slices of what came, not copies', async (t) => {
  const framer = framerOf(undefined, 2 ** 18)
  const chunks = [0, 1, 2, 3].map((i) => Buffer.alloc(65536, i))
  nop(2 ** 18 - 48 - 16).copy(chunks[0]!)
  for (const chunk of chunks) framer.push(chunk)
  const frame = frameOf(framer.next())
  t.equal(frame.data.length, 4)
  for (const [i, slice] of frame.data.entries()) t.equal(slice.buffer, chunks[i]!.buffer)
  t.equal(frame.header.buffer, chunks[0]!.buffer)
})

t.test('a stream of crumbs is gathered', async (t) => {
  const framer = framerOf(undefined, 2 ** 18)
  const data = Buffer.from(Array.from({ length: 70_000 }, (_, i) => i % 251))
  const bytes = Buffer.concat([nop(data.length), padded(data)])
  for (const byte of bytes) {
    framer.push(Buffer.from([byte]))
    if (framer.bufferedBytes < 70_000 && framer.next() !== undefined) t.fail('early')
  }
  const frame = frameOf(framer.next())
  t.ok(frame.data.length < 50, `${frame.data.length} pieces for 70,000 crumbs`)
  t.strictSame(Buffer.concat(frame.data), data)
})

t.test('AHS chains', async (t) => {
  const segments = [
    { type: 0x3f, payload: hex('000000000000000007') },
    { type: 0x01, payload: hex('00aabb') },
    { type: 0x3e, payload: Buffer.alloc(16, 2) },
  ]
  const chain = buildAhs(segments)
  t.strictSame(
    chain,
    hex(`0009 3f 000000000000000007   // generation
         0003 01 00aabb 0000          // extended CDB, padded
         0010 3e ${'02'.repeat(16)} 00`),
  )
  t.strictSame(parseAhs(chain), segments)
  t.strictSame(parseAhs(Buffer.alloc(0)), [])
  t.strictSame(
    parseAhs(hex('0000 ff 00')),
    [{ type: 0x3f, payload: hex('') }],
    'empty, reserved bits',
  )
  for (const broken of [
    '0009 3f 00',
    '0002 3f 00',
    'ffff 3f 00',
    '0001 3f 00 0001',
    '0005 3f 00 00000000 0001',
  ]) {
    t.equal(parseAhs(hex(broken)), undefined, broken)
  }
  t.throws(() => buildAhs([{ type: 64, payload: hex('00') }]))
})

t.test('encodeFrame', async (t) => {
  const data = [Buffer.from('abc'), Buffer.from('de')]
  const out = encodeFrame(nop(0), { data })
  t.equal(out[1], data[0], 'data go through as they are')
  t.equal(out[2], data[1])
  t.strictSame(Buffer.concat(out), Buffer.concat([nop(5), padded(Buffer.from('abcde'))]))
  t.strictSame(
    Buffer.concat(encodeFrame(nop(0), { data: [], digests: { header: true, data: true } })),
    Buffer.concat([nop(0), slowCrc32c(nop(0))]),
    'no digest for no data',
  )
  t.throws(() => encodeFrame(nop(0), { ahs: Buffer.alloc(3) }))
})
