/**
 * Cases for each kind of test that a careful target must pass, and for each fault that was found in
 * others: what is sent, and what the target must say to it. What each case must not do (end the
 * target, hold it up, disturb the initiator beside it) is checked for all alike.
 */

import { textLimits } from '../../src/base/limits.ts'
import { pdus } from '../../src/iscsi/pdu/directory.ts'
import { copyOut, populateList, writeList } from '../support/copy-lists.ts'
import { faults } from './corpus-faults.ts'
import {
  again,
  type CorpusRow,
  chapAnswer,
  chapOffer,
  chapRow,
  command,
  hex,
  listed,
  pdu,
  read1,
  row,
  settle,
  testUnitReady,
  toChallenge,
  withdrawn,
  write8,
  zeros16,
} from './corpus-row.ts'
import { login, named, type Step } from './fuzz-case.ts'

const initiatorPdus = pdus.filter(({ opcode }) => opcode < 0x20)

/** A PDU of this kind with nothing in it but what it must have. */
function bare(opcode: number): string {
  const header = Buffer.alloc(48)
  header[0] = opcode | 0x40
  header[1] = 0x80
  header.writeUInt32BE(0x55, 16)
  header.writeUInt32BE(0xffff_ffff, 20)
  return hex(header)
}

const segmentLimit = 256 * 1024
const lengths = [0, 1, 2, 3, segmentLimit - 1, segmentLimit]

/** 1: every PDU with every length, true and untrue. */
const lengthRows = initiatorPdus.flatMap(({ opcode, name }): CorpusRow[] => [
  row(
    'lengths',
    `${name}, true ones`,
    lengths.flatMap((length): Step[] => [
      login(),
      pdu(bare(opcode), { data: { length, fill: 0 } }),
      again('cut'),
    ]),
  ),
  row(
    'lengths',
    `${name}, longer than may be`,
    [segmentLimit + 1, 2 ** 24 - 1].flatMap((dataSegmentLength): Step[] => [
      login(),
      pdu(bare(opcode), { dataSegmentLength }),
      settle,
      again('cut'),
    ]),
    /closed.*closed/,
  ),
  row('lengths', `${name}, AHS of every kind`, [
    ...['00053f0000000000', '0001020000000000', 'ffff000000000000', '00000000'].flatMap(
      (ahs): Step[] => [login(), pdu(bare(opcode), { ahs }), again('cut')],
    ),
    login(),
    pdu(bare(opcode), { totalAhsLength: 255 }),
  ]),
])

const digestRows = ['HeaderDigest=CRC32C~', 'DataDigest=CRC32C~'].map((key) =>
  row('digests', `${key} that is wrong`, [
    login(key),
    { kind: 'raw', bytes: `${bare(0)}00000000` },
  ]),
)

/** 2: text. */
const texts: readonly [string, string, RegExp?][] = [
  ['a key of 63 bytes', `${'K'.repeat(63)}=1~`, /login 0000/],
  ['a key of 64 bytes', `${'K'.repeat(64)}=1~`, /login 02/],
  ['a key of 255 bytes', `${'K'.repeat(255)}=1~`, /login 02/],
  ['a value of 255 bytes', `InitiatorAlias=${'v'.repeat(255)}~`, /login 0000/],
  ['a value of 7,000 bytes', `InitiatorAlias=${'v'.repeat(7000)}~`, /login 0000/],
  ['no equals sign', 'InitialR2T~', /login 02/],
  ['no key', '=Yes~', /login 02/],
  ['no end', 'InitialR2T=Yes', /login 0/],
  ['nothing but ends', '~~~~', /login 0/],
  ['a key twice', 'InitialR2T=Yes~InitialR2T=No~', /login 02/],
  ['more keys than may be', 'X-a=1~'.repeat(textLimits.pairs + 1), /login 02/],
  ['names of objects', '__proto__=1~constructor=2~toString=3~', /login 02/],
  ['what is no UTF-8', 'InitiatorAlias=\xff\xfe\xc0\x80~', /login 0/],
  ['numbers that are none', 'MaxBurstLength=0x~FirstBurstLength=1e9~', /login 0/],
]
const textRows = texts.map(([what, text, want]) =>
  row('text', what, [named(text)], ...(want === undefined ? [] : [want])),
)
const endless = row(
  'text',
  'a login that goes on for ever',
  Array.from(
    { length: 200 },
    (): Step => ({
      kind: 'login',
      text: 'X-a=1~',
      transit: false,
      continues: true,
    }),
  ),
  /login 02|closed/,
)

/** 3: any PDU in any phase, and stages that are none. */
const phaseRows: readonly CorpusRow[] = [
  ...initiatorPdus
    .filter(({ name }) => name !== 'Login Request')
    .map(({ opcode, name }) =>
      row('phases', `${name} before the login`, [pdu(bare(opcode)), login()], /^[^g]*closed/),
    ),
  ...pdus.map(({ opcode, name }) =>
    row('phases', `${name} instead of the second login request`, [
      { ...named('', [1, 1]), transit: false },
      pdu(bare(opcode)),
    ]),
  ),
  ...pdus.map(({ opcode, name }) =>
    row('phases', `${name} after it`, [login(), pdu(bare(opcode))]),
  ),
  ...[0, 1, 2, 3].flatMap((current) =>
    [0, 1, 2, 3].map((next) =>
      row('phases', `stage ${current} to ${next}`, [named('', [current, next])]),
    ),
  ),
  row('phases', 'a slow login', [login(), testUnitReady], /login 0000,good/),
]

/** 4: CHAP. */
const chapRows: readonly CorpusRow[] = [
  chapRow('chap', 'none, where it is asked for', [login()], /login 0201/),
  chapRow('chap', 'AuthMethod None', [named('AuthMethod=None~', [0, 1])], /login 0201/),
  chapRow('chap', 'straight past it', [named('AuthMethod=CHAP~', [0, 3])], /^login 0000 more$/),
  chapRow('chap', 'an unknown algorithm', [chapOffer, named('CHAP_A=99~', [0, 0])], /login 02/),
  chapRow(
    'chap',
    'the answer before the challenge',
    [chapOffer, chapAnswer(zeros16)],
    /login 0201/,
  ),
  chapRow('chap', 'no response', [...toChallenge, named('CHAP_N=fuzz~', [0, 1])], /login 02/),
  ...['0x', '0b', '0xzz', '', '0x0', '0bAAAA=AAA', '17', zeros16].map((response) =>
    chapRow(
      'chap',
      `the response "${response}"`,
      [...toChallenge, chapAnswer(response)],
      /login 0201/,
    ),
  ),
]

/** 5: numbers out of their order. */
const sequenceRows: readonly CorpusRow[] = [
  row(
    'sequence',
    'a CmdSN of the past',
    [login(), command('000000000000', { cmdSnOff: -1 }), testUnitReady],
    /good/,
  ),
  row(
    'sequence',
    'a CmdSN beyond the window',
    [login(), command('000000000000', { cmdSnOff: 5000 }), testUnitReady],
    /good/,
  ),
  row(
    'sequence',
    'a CmdSN half the circle away',
    [login(), command('000000000000', { cmdSnOff: 2 ** 31 }), testUnitReady],
    /good/,
  ),
  row('sequence', 'a command missing before it', [
    login(),
    command('000000000000', { cmdSnOff: 1 }),
  ]),
  row('sequence', 'a tag twice', [
    login(),
    { ...withdrawn, tag: 9 },
    { ...withdrawn, tag: 9 },
    { ...read1, tag: 9 },
  ]),
  row('sequence', 'the reserved tag', [login(), { ...testUnitReady, tag: 0xffff_ffff }]),
  ...[
    { what: 'of no R2T', step: { transferTag: 0x1234 } },
    { what: 'with DataSN skipped', step: { dataSn: 5 } },
    { what: 'outside of what was asked for', step: { offset: 1 << 20 } },
    { what: 'at the largest offset', step: { offset: 0xffff_ffff } },
    { what: 'of more than was asked for', step: { data: { length: 60_000, fill: 1 } } },
    { what: 'of no command', step: { tag: 0x999 } },
  ].map(({ what, step }) =>
    row('sequence', `data ${what}`, [
      login('InitialR2T=Yes~ImmediateData=No~'),
      withdrawn,
      settle,
      { kind: 'data', data: { length: 512, fill: 1 }, offset: 0, dataSn: 0, final: false, ...step },
      { kind: 'data', data: { length: 4096, fill: 1 }, offset: 0, dataSn: 0, final: true },
    ]),
  ),
  row('sequence', 'data that nobody asked for', [
    login('InitialR2T=Yes~ImmediateData=No~'),
    { ...write8, immediateBytes: 4096 },
  ]),
  row('sequence', 'more than FirstBurstLength', [
    login('FirstBurstLength=512~'),
    { ...write8, immediateBytes: 4096 },
  ]),
  row(
    'sequence',
    'data after an abort',
    [
      login(),
      withdrawn,
      settle,
      { kind: 'manage', function: 1 },
      settle,
      { kind: 'data', data: { length: 4096, fill: 1 }, offset: 0, dataSn: 0, tag: 1, final: true },
      testUnitReady,
    ],
    /tmf 00/,
  ),
  row('sequence', 'less room than the CDB asks for', [
    login(),
    { ...read1, readBytes: 10 },
    { ...write8, expectedBytes: 0xffff_ffff, answers: false },
  ]),
]

const large = command('28000000000000080000', { readBytes: 1 << 20 })
/** 6: what costs memory. */
const memoryRows: readonly CorpusRow[] = [
  row('memory', 'reads of an initiator that does not read', [
    login(),
    { kind: 'deaf' },
    ...Array.from({ length: 60 }, () => large),
  ]),
  row('memory', 'writes whose data never come', [
    login(),
    ...Array.from({ length: 60 }, () => withdrawn),
  ]),
  row(
    'memory',
    'logins that never come to an end',
    Array.from({ length: 300 }, (): Step[] => [
      { kind: 'raw', bytes: '43' },
      again('stays'),
    ]).flat(),
  ),
  row('memory', 'pings by the thousand', [
    login(),
    ...Array.from({ length: 1000 }, () => pdu(bare(0))),
  ]),
]

/** 7: what others have. */
const strangeToken = Buffer.alloc(512, 0x5a)
strangeToken.writeUInt32BE(0x0080_0000, 0)
strangeToken.writeUInt16BE(504, 6)
const accessRows: readonly CorpusRow[] = [
  row('access', 'a command before the login', [read1], /^closed/),
  row(
    'access',
    'LUNs that do not exist',
    [login(), { ...read1, lun: 9 }, { ...read1, lun: 0x3fff }],
    /sense 05\/25\/00.*sense 05\/25\/00/,
  ),
  row(
    'access',
    'a token that nobody made',
    [login(), listed(copyOut(0x11, 552), writeList(strangeToken, [{ lba: 0n, blocks: 1 }]))],
    /sense 05\/23\/04/,
  ),
  row(
    'access',
    'a target that is not here',
    [
      {
        kind: 'login',
        text: 'InitiatorName=iqn.2026-11.example:f~TargetName=iqn.2026-11.example:none~',
      },
    ],
    /login 0203/,
  ),
]

/** 8: parameter lists, whole and cut, with counts that overflow. */
/** The length of the ranges is more than there is. */
const overlong = populateList([{ lba: 0n, blocks: 1 }])
overlong.writeUInt16BE(0xffff, 14)

const lists: readonly [string, (bytes: number) => Buffer, Buffer][] = [
  [
    'UNMAP',
    (n) => Buffer.from([0x42, 0, 0, 0, 0, 0, 0, n >> 8, n & 255, 0]),
    Buffer.from(`0016001000000000${'ff'.repeat(16)}`, 'hex'),
  ],
  [
    'MODE SELECT (10)',
    (n) => Buffer.from([0x55, 0x10, 0, 0, 0, 0, 0, n >> 8, n & 255, 0]),
    Buffer.from('00000000000000000a0a00000000000000000000', 'hex'),
  ],
  [
    'MODE SELECT (6)',
    (n) => Buffer.from([0x15, 0x10, 0, 0, n & 255, 0]),
    Buffer.from('00000000ff0a00000000000000000000', 'hex'),
  ],
  [
    'PERSISTENT RESERVE OUT',
    (n) => Buffer.from([0x5f, 0, 0, 0, 0, 0, 0, n >> 8, n & 255, 0]),
    Buffer.from(`${'00'.repeat(20)}08000000ffffffff45000fff`, 'hex'),
  ],
  ['EXTENDED COPY', (n) => copyOut(0, n), Buffer.from(`01000020000000${'ff'.repeat(30)}`, 'hex')],
  [
    'POPULATE TOKEN',
    (n) => copyOut(0x10, n),
    populateList([{ lba: 0xffff_ffff_ffff_ffffn, blocks: 0xffff_ffff }]),
  ],
  [
    'WRITE USING TOKEN',
    (n) => copyOut(0x11, n),
    writeList(strangeToken, [{ lba: 0xffff_ffff_ffff_ffffn, blocks: 1 }]),
  ],
]
const listRows: readonly CorpusRow[] = lists.flatMap(([name, cdb, list]) =>
  [list.length, list.length - 1, 8, 4, 1, 0].map((bytes) =>
    row('lists', `${name}, ${bytes} of ${list.length} bytes`, [
      login(),
      listed(cdb(bytes), list.subarray(0, bytes)),
      settle,
      listed(cdb(list.length), list.subarray(0, bytes)),
      settle,
      testUnitReady,
    ]),
  ),
)
const overlongRow = row(
  'lists',
  'ranges longer than their list',
  [login(), listed(copyOut(0x10, overlong.length), overlong)],
  /sense 05\/1a\/00/,
)
const wideRows = ['88', '8a', '8f', '91', '93', '9e12', '90', '89'].map((code) =>
  row(
    'lists',
    `${code}h with an LBA and a count that overflow`,
    [
      login(),
      command(Buffer.from(`${code.padEnd(4, '0')}${'ff'.repeat(12)}0000`, 'hex'), {
        data: { length: 512, fill: 0 },
      }),
    ],
    /sense 05/,
  ),
)

/** 9 and 10: ends at every place, and what must not be shown. */
const endRows: readonly CorpusRow[] = [
  ...[1, 2, 3, 4, 5].map((count) =>
    row(
      'ends',
      `cut off with ${count} commands under way`,
      [
        login(),
        ...[write8, read1, { ...withdrawn, tag: 77 }, large, testUnitReady].slice(0, count),
        again('cut'),
        login(),
        testUnitReady,
      ],
      /login 0000/,
    ),
  ),
  row('leaks', 'what was never written', [login(), read1], /zeros good/),
  row(
    'leaks',
    'what was given back',
    [
      login(),
      { ...write8, immediateBytes: 4096 },
      settle,
      listed(
        '42000000000000001800',
        Buffer.from(`00160010000000000000000000000000000000080000${'00'.repeat(2)}`, 'hex'),
      ),
      settle,
      read1,
    ],
    /zeros good/,
  ),
]

/** 11 and 12: headers of our own protocol at a portal that does not speak it. */
const forged = row('cluster', 'a generation beyond all that was ever given out', [
  login('X-io.palisade.Generation=1~X-io.palisade.Login=18446744073709551615~'),
  { ...read1, ahs: '00093f00ffffffffffffffff' },
  testUnitReady,
])

export const corpus: readonly CorpusRow[] = [
  ...faults,
  ...lengthRows,
  ...digestRows,
  ...textRows,
  endless,
  ...phaseRows,
  ...chapRows,
  ...sequenceRows,
  ...memoryRows,
  ...accessRows,
  ...listRows,
  overlongRow,
  ...wideRows,
  ...endRows,
  forged,
]
