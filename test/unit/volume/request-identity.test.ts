/** Request identities: their bytes, and what a fence makes of them. */
import fc from 'fast-check'
import t from 'tap'
import { parseAhs } from '../../../src/iscsi/ahs.ts'
import { decodeFence, encodeGenerationHeader } from '../../../src/volume/generation-header.ts'
import {
  decodeRequestIdentity,
  drawClient,
  encodeRequestIdentity,
  generationBits,
  wholeGeneration,
} from '../../../src/volume/request-identity.ts'

t.test('an identity is these bytes, behind a generation header', (t) => {
  const identity = {
    client: '0102030405',
    generationBits: 0xa0b0c0,
    number: 0x112233445566,
    oldest: 0x112233445566 - 0x7b,
    repeated: true,
  }
  const bytes = encodeRequestIdentity(identity)
  // AHSLength 16, AHSType 3Eh, client, generation, repeated and distance, number, padding.
  t.equal(bytes.toString('hex'), `00103e${'0102030405'}${'a0b0c0'}${'807b'}${'112233445566'}00`)
  const chain = Buffer.concat([encodeGenerationHeader(7n, 4), bytes])
  const segments = parseAhs(chain)!
  t.same(decodeFence(segments), { kind: 'header', flags: 4, generation: 7n, identity })
  t.same(decodeFence([...segments].reverse()), decodeFence(segments))
  t.same(decodeFence(segments.slice(0, 1)), { kind: 'header', flags: 4, generation: 7n })
  t.same(decodeFence(segments.slice(1)), { kind: 'absent' }, 'it is no fence')
  t.same(decodeFence([...segments, segments[1]!]), { kind: 'malformed' }, 'two of them')
  const short = { type: 0x3e, payload: Buffer.alloc(15) }
  t.same(decodeFence([segments[0]!, short]), { kind: 'malformed' })
  t.equal(decodeRequestIdentity(Buffer.alloc(17)), undefined)
  t.end()
})

t.test('every identity comes back; what lies too far back is no longer open', (t) => {
  const check = (number: number, back: number, bits: number, repeated: boolean): void => {
    const oldest = Math.max(0, number - back)
    const identity = { client: 'ffeeddccbb', generationBits: bits, number, oldest, repeated }
    const [segment] = parseAhs(encodeRequestIdentity(identity))!
    const seen = decodeRequestIdentity(segment!.payload)
    const expected = { ...identity, oldest: Math.max(oldest, number - 32_767) }
    if (JSON.stringify(seen) !== JSON.stringify(expected)) throw new Error(JSON.stringify(seen))
  }
  fc.assert(
    fc.property(
      fc.nat(2 ** 31 - 1).map((n) => n * 131_071),
      fc.nat(40_000),
      fc.nat(2 ** 24 - 1),
      fc.boolean(),
      check,
    ),
  )
  t.throws(() =>
    encodeRequestIdentity({
      ...{ client: '0102030405', generationBits: 0 },
      ...{ number: 1, oldest: 2, repeated: false },
    }),
  )
  t.equal(
    drawClient((count) => Buffer.alloc(count, 0xab)),
    'ababababab',
  )
  t.end()
})

t.test('a generation is found again by its last bits', (t) => {
  for (const current of [0, 5, 2 ** 24 - 1, 2 ** 24, 2 ** 24 + 3, 2 ** 40 + 1]) {
    for (const ago of [0, 1, 3, 2 ** 23]) {
      if (ago > current) continue
      t.equal(wholeGeneration(generationBits(current - ago), current), current - ago)
    }
  }
  t.end()
})
