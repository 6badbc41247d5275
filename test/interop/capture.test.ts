/**
 * The capture that other tests are checked with: it must notice what is wrong, and what it excuses
 * must be faults of the dissector. Known-good bytes come first in each case.
 */
import { once } from 'node:events'
import { createConnection, createServer } from 'node:net'
import t from 'tap'
import { crc32c } from '../../src/base/crc32c.ts'
import { Capture, type Captured } from '../support/capture.ts'

t.setTimeout(120_000)

/** 48 bytes of header from hex with spaces; the rest is zero. */
function header(hex: string): Buffer {
  return Buffer.concat([Buffer.from(hex.replaceAll(' ', ''), 'hex'), Buffer.alloc(48)], 48)
}

function digested(...parts: readonly Buffer[]): Buffer {
  const bytes = Buffer.concat(parts)
  const digest = Buffer.alloc(4)
  digest.writeUInt32LE(crc32c([bytes]))
  return Buffer.concat([bytes, digest])
}

/** A conversation: what the initiator sends, what the target answers, in turns. */
function conversation(...turns: readonly Buffer[]): Promise<Captured> {
  return captured(turns, {})
}

async function captured(
  turns: readonly Buffer[],
  options: { readonly asCaptured?: boolean },
): Promise<Captured> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  const capture = await Capture.start([`127.0.0.1:${port}`])
  const accepted = once(server, 'connection')
  const initiator = createConnection(port, '127.0.0.1')
  const [target] = (await accepted) as [typeof initiator]
  for (const [index, bytes] of turns.entries()) {
    const [from, to] = index % 2 === 0 ? [initiator, target] : [target, initiator]
    if (bytes.length === 0) continue
    let missing = bytes.length
    const arrived = new Promise<void>((resolve) => {
      const take = (chunk: Buffer): void => {
        missing -= chunk.length
        if (missing > 0) return
        to.off('data', take)
        resolve()
      }
      to.on('data', take)
    })
    from.write(bytes)
    await arrived
  }
  initiator.destroy()
  target.destroy()
  server.close()
  return capture.finish(options)
}

/** A PDU with text keys. */
function withText(head: string, ...keys: readonly string[]): Buffer {
  const text = Buffer.from(keys.map((key) => `${key}\0`).join(''))
  const pdu = header(head)
  pdu.writeUIntBE(text.length, 5, 3)
  return Buffer.concat([pdu, text, Buffer.alloc(-text.length & 3)])
}
const requestHead = '43 87 00 00 00000000 4000013700000000 00000001 00000000 00000001'
const responseHead =
  '23 87 00 00 00000000 4000013700000001 00000001 00000000 00000001 00000001 00000080'
const login = withText(requestHead, 'InitiatorName=iqn.x', 'SessionType=Discovery')
const loginResponse = withText(responseHead, 'MaxRecvDataSegmentLength=65536')
/** With header digests from here on. */
const digestLogin = withText(requestHead, 'X-io.palisade.Generation=1', 'HeaderDigest=CRC32C')
const digestResponse = withText(responseHead, 'HeaderDigest=CRC32C', 'DataDigest=None')
/** INQUIRY of page 83h with room for 8 bytes, and READ CAPACITY (10). */
const inquiry = header(
  '01 c1 00 00 00000000 0000000000000000 00000002 00000008 00000001 00000002 12018300 0800',
)
const readCapacity = header(
  '01 c1 00 00 00000000 0000000000000000 00000003 00000008 00000002 00000003 25',
)
const dataIn = (tag: string): string =>
  `25 81 00 00 00000008 0000000000000000 ${tag} ffffffff 00000002 00000002 00000081`
const capacity = Buffer.from('0001ffff00000200', 'hex')
/** A page of 20h bytes of which these are the first 8: cut as SPC-4 4.2.5.6 says. */
const cutPage = Buffer.from('0083002001030010', 'hex')

t.test('what is right is dissected', async (t) => {
  const found = await conversation(
    login,
    loginResponse,
    readCapacity,
    Buffer.concat([header(dataIn('00000003')), capacity]),
  )
  t.same(found.faults, [])
  t.equal(found.lostPackets, 0)
  const kinds = ['Login Command', 'Login Response', 'SCSI Command', 'SCSI Data In']
  t.same([...found.pdus.keys()], kinds)
})

t.test('what is wrong is noticed, with its sender', async (t) => {
  const unknown = header('2f 80')
  const wrongDigest = Buffer.from(digested(readCapacity))
  wrongDigest[51]! ^= 1
  const rightDigest = digested(readCapacity)
  const shortAhs = Buffer.from(inquiry)
  shortAhs[4] = 1
  const cases: readonly (readonly [why: string, turns: readonly Buffer[], sender: string])[] = [
    [
      'an opcode that no target has',
      [login, Buffer.concat([loginResponse, unknown]), inquiry, unknown],
      'target',
    ],
    [
      'a wrong header digest',
      [digestLogin, digestResponse, Buffer.concat([rightDigest, wrongDigest])],
      'initiator',
    ],
    [
      'an AHS longer than the header says',
      [login, loginResponse, Buffer.concat([shortAhs, Buffer.from('00ff3f00', 'hex')])],
      'initiator',
    ],
    [
      'sense data that end too early',
      [
        login,
        loginResponse,
        readCapacity,
        Buffer.concat([
          header(
            '21 80 00 02 00000004 0000000000000000 00000003 00000000 00000002 00000002 00000081',
          ),
          Buffer.from('00127200', 'hex'),
        ]),
      ],
      'target',
    ],
    [
      'capacity data that end too early',
      [
        login,
        loginResponse,
        readCapacity,
        Buffer.concat([
          header(dataIn('00000003').replace('00000008', '00000004')),
          capacity.subarray(0, 4),
        ]),
      ],
      'target',
    ],
  ]
  const all = await Promise.all(cases.map(([, turns]) => conversation(...turns)))
  for (const [index, [why, , sender]] of cases.entries()) {
    t.match(all[index]?.faults, [{ sender }], why)
    t.comment(JSON.stringify(all[index]?.faults))
  }
})

t.test('data that the initiator cut are no fault of the target', async (t) => {
  const answer = Buffer.concat([header(dataIn('00000002')), cutPage])
  const found = await conversation(login, loginResponse, inquiry, answer)
  t.same(found.faults, [])
  t.equal(found.cutByAllocation, 1, 'tshark itself calls it malformed')
})

t.test('segments that end in a header confuse the dissector, not this test', async (t) => {
  const ping = (tag: string): Buffer => {
    return header(`40 80 00 00 00000000 0000000000000000 ${tag} ffffffff 00000003 00000003`)
  }
  const [first, second] = [ping('00000005'), ping('00000006')]
  const turns = [
    ...[login, loginResponse, Buffer.concat([first, second.subarray(0, 4)]), Buffer.alloc(0)],
    second.subarray(4),
  ]
  const found = await captured(turns, {})
  t.same(found.faults, [])
  t.equal(found.pdus.get('NOP Out'), 2)
  const asCaptured = await captured(turns, { asCaptured: true })
  t.equal(asCaptured.pdus.get('NOP Out'), 1, 'tshark loses the second')
})

t.test('a header on a Data-Out confuses the dissector, not this test', async (t) => {
  const write = header(
    '01 a1 00 00 00000000 0000000000000000 00000004 00000200 00000001 00000002 2a000000000000000100',
  )
  const dataOut = header(
    '05 80 00 00 03000200 0000000000000000 00000004 ffffffff 00000000 00000002',
  )
  const generation = Buffer.from('00093f000000000000000007', 'hex')
  const data = Buffer.alloc(512, 0x5a)
  const next = header('40 80 00 00 00000000 0000000000000000 00000005 ffffffff 00000003 00000003')
  const turns = (ahs: Buffer): Buffer[] => [
    digestLogin,
    digestResponse,
    Buffer.concat([digested(write), digested(dataOut, ahs), data, digested(next)]),
  ]
  const found = await captured(turns(generation), {})
  t.same(found.faults, [])
  t.equal(found.relievedDataOuts, 1)
  t.equal(found.pdus.get('SCSI Data Out'), 1)
  t.equal(found.pdus.get('NOP Out'), 1, 'the PDU after it is found')
  t.equal(found.goodDigests, 3)

  const asCaptured = await captured(turns(generation), { asCaptured: true })
  t.match(asCaptured.faults, [{ what: /HeaderDigest .*Bad/ }], 'tshark takes the AHS for a digest')
  t.notOk(asCaptured.pdus.has('NOP Out'), 'and loses the PDU after it')

  const wrong = Buffer.from(generation)
  wrong[1] = 8
  const { faults } = await captured(turns(wrong), {})
  t.match(faults, [{ sender: 'initiator', what: /AHS of a Data-Out/ }], 'it is still looked at')
})
