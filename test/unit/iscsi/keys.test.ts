/**
 * Negotiation as a table: offer -> answer -> effective value, for every key of RFC 7143 section 13
 * and our own two, as responder; and what an originator may accept.
 */
import t from 'tap'
import { negotiate, type OwnValue, parseNumber, settle } from '../../../src/iscsi/key.ts'
import { findKey, keys } from '../../../src/iscsi/keys.ts'

type Case = [offer: string, answer: string | undefined, value: unknown, own?: OwnValue]

const ours: OwnValue = { values: ['CRC32C', 'None'], order: 'ours' }
const theirs: OwnValue = { values: ['CRC32C', 'None'], order: 'theirs' }
const none = undefined

const digests: Case[] = [
  ['None', 'None', 'None', theirs],
  ['None,CRC32C', 'None', 'None', theirs],
  ['CRC32C,None', 'CRC32C', 'CRC32C', theirs],
  ['None,CRC32C', 'CRC32C', 'CRC32C', ours],
  ['None', 'None', 'None', ours],
  ['CRC32C', 'Reject', none],
  ['None', 'None', 'None'],
  ['crc32c', 'Reject', none, theirs],
  ['X-foo,None', 'None', 'None', theirs],
  ['', 'Reject', none, theirs],
]
const orDefaultYes: Case[] = [
  ['Yes', 'Yes', true, false],
  ['No', 'No', false, false],
  ['No', 'Yes', true, true],
  ['No', 'Yes', true],
  ['yes', 'Reject', none],
  ['1', 'Reject', none],
]
const segment = (least: number): Case[] => [
  [String(least - 1), 'Reject', none, 65536],
  [String(least), String(least), least, 65536],
  ['16777215', '65536', 65536, 65536],
  ['16777216', 'Reject', none, 65536],
  ['0x8000', '32768', 32768, 65536],
  ['-512', 'Reject', none],
  ['512.5', 'Reject', none],
  ['0512', 'Reject', none],
  ['99999999999999999999', 'Reject', none],
  ['1e3', 'Reject', none],
  ['', 'Reject', none],
]
const declaration = (value: string): Case[] => [
  [value, none, value],
  ['x'.repeat(256), 'Reject', none],
]

const table: Record<keyof typeof keys, Case[]> = {
  AuthMethod: [
    ['None', 'None', 'None'],
    ['CHAP,None', 'None', 'None'],
    ['CHAP', 'Reject', none],
  ],
  HeaderDigest: digests,
  DataDigest: digests,
  MaxConnections: [
    ['1', '1', 1],
    ['65535', '1', 1],
    ['0', 'Reject', none],
    ['65536', 'Reject', none],
  ],
  SendTargets: [['All', none, 'All']],
  TargetName: declaration('iqn.2026-11.io.palisade:v'),
  InitiatorName: declaration('iqn.1993-08.org.debian:01:abc'),
  TargetAlias: declaration('a target'),
  InitiatorAlias: declaration('host1'),
  TargetAddress: declaration('127.0.0.1:3260,1'),
  TargetPortalGroupTag: [
    ['1', none, 1],
    ['65536', 'Reject', none],
  ],
  InitialR2T: orDefaultYes,
  ImmediateData: [
    ['Yes', 'Yes', true, true],
    ['Yes', 'No', false, false],
    ['No', 'No', false, true],
    ['Yes', 'Yes', true],
    ['maybe', 'Reject', none],
  ],
  MaxRecvDataSegmentLength: [
    ['512', none, 512],
    ['16777215', none, 16777215],
    ['511', 'Reject', none],
    ['16777216', 'Reject', none],
  ],
  MaxBurstLength: segment(512),
  FirstBurstLength: segment(512),
  DefaultTime2Wait: [
    ['0', '2', 2],
    ['3600', '3600', 3600],
    ['3601', 'Reject', none],
  ],
  DefaultTime2Retain: [
    ['20', '0', 0, 0],
    ['3600', '20', 20],
    ['3601', 'Reject', none],
  ],
  MaxOutstandingR2T: [
    ['1', '1', 1, 8],
    ['65535', '8', 8, 8],
    ['0', 'Reject', none],
    ['65536', 'Reject', none],
  ],
  DataPDUInOrder: orDefaultYes,
  DataSequenceInOrder: orDefaultYes,
  ErrorRecoveryLevel: [
    ['0', '0', 0],
    ['2', '0', 0],
    ['3', 'Reject', none],
  ],
  SessionType: [
    ['Normal', none, 'Normal'],
    ['Discovery', none, 'Discovery'],
    ['Other', 'Reject', none],
  ],
  TaskReporting: [
    ['RFC3720,FastAbort', 'RFC3720', 'RFC3720'],
    ['ResponseFence,RFC3720', 'RFC3720', 'RFC3720'],
    ['FastAbort', 'Reject', none],
  ],
  iSCSIProtocolLevel: [
    ['2', '1', 1],
    ['0', '0', 0],
    ['32', 'Reject', none],
  ],
  IFMarker: [
    ['No', 'No', none],
    ['Yes', 'No', none],
  ],
  OFMarker: [['Yes', 'No', none]],
  IFMarkInt: [['1~65535', 'Reject', none]],
  OFMarkInt: [['2048', 'Reject', none]],
  NodeArchitecture: declaration('x86_64'),
  Generation: [
    ['1', '1', 1, 1],
    ['9', '1', 1, 1],
    ['0', '0', 0, 1],
    ['1', '0', 0, 0],
    ['x', 'Reject', none, 1],
  ],
  Login: [
    ['9007199254740991', none, Number.MAX_SAFE_INTEGER],
    ['0x1fffffffffffff', none, Number.MAX_SAFE_INTEGER],
    ['9007199254740992', 'Reject', none],
    ['-1', 'Reject', none],
  ],
}

t.test('offer, answer, effective value', async (t) => {
  for (const [name, row] of Object.entries(keys)) {
    const cases = table[name as keyof typeof keys]
    t.ok(cases.length > 0, `${name} has cases`)
    t.equal(findKey(row.name), row, `${name} is found by its name on the wire`)
    for (const [offer, answer, value, own] of cases) {
      const { answer: gotAnswer, value: gotValue } = negotiate(row, offer, own)
      t.strictSame([gotAnswer, gotValue], [answer, value], `${row.name}=${offer.slice(0, 30)}`)
    }
    for (const word of ['NotUnderstood', 'Irrelevant', 'Reject']) {
      t.strictSame(negotiate(row, word), {}, `${row.name}=${word} is an answer and gets none`)
    }
  }
  t.equal(findKey('toString'), undefined)
  t.equal(findKey('headerdigest'), undefined, 'keys are case-sensitive')
})

t.test('numbers', async (t) => {
  const cases: [string, number | undefined][] = [
    ['0', 0],
    ['10', 10],
    ['0xff', 255],
    ['0XFF', 255],
    ['9007199254740991', 2 ** 53 - 1],
    ['9007199254740992', undefined],
    ['0x20000000000000', undefined],
    ['00', undefined],
    ['+1', undefined],
    [' 1', undefined],
    ['0x', undefined],
    ['Infinity', undefined],
  ]
  for (const [text, value] of cases) t.equal(parseNumber(text), value, text)
})

t.test('an originator accepts what lies within its offer', async (t) => {
  const value = (v: unknown) => ({ value: v })
  t.strictSame(settle(keys.MaxBurstLength, '65536', '32768'), value(32768))
  t.strictSame(settle(keys.MaxBurstLength, '65536', 'Irrelevant'), value(262144), 'the default')
  t.strictSame(settle(keys.DefaultTime2Wait, '2', '5'), value(5))
  t.strictSame(settle(keys.InitialR2T, 'No', 'No'), value(false))
  t.strictSame(settle(keys.InitialR2T, 'No', 'Yes'), value(true))
  t.strictSame(settle(keys.InitialR2T, 'Yes', undefined), value(true), 'decided by the offer alone')
  t.strictSame(settle(keys.ImmediateData, 'No', undefined), value(false))
  t.strictSame(settle(keys.HeaderDigest, 'CRC32C,None', 'None'), value('None'))
  t.strictSame(settle(keys.Generation, '1', 'NotUnderstood'), value(0))
  const beyond: [Parameters<typeof settle>[0], string, string | undefined][] = [
    [keys.MaxBurstLength, '65536', '65537'],
    [keys.MaxBurstLength, '65536', '1'],
    [keys.MaxBurstLength, '65536', 'Reject'],
    [keys.MaxBurstLength, '65536', undefined],
    [keys.MaxBurstLength, '65536', 'many'],
    [keys.DefaultTime2Wait, '2', '1'],
    [keys.InitialR2T, 'Yes', 'No'],
    [keys.InitialR2T, 'No', undefined],
    [keys.ImmediateData, 'No', 'Yes'],
    [keys.ImmediateData, 'Yes', 'Perhaps'],
    [keys.HeaderDigest, 'CRC32C', 'None'],
    [keys.HeaderDigest, 'CRC32C', 'Reject'],
    [keys.HeaderDigest, 'CRC32C', undefined],
  ]
  for (const [row, offer, answer] of beyond) {
    t.match(settle(row, offer, answer), { fault: row.name }, `${row.name}=${offer} -> ${answer}`)
  }
})
