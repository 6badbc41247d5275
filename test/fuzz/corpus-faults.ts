/** One case at least for each fault that was found in other targets. */
import { copyList, copyOut, cscd, segment } from '../support/copy-lists.ts'
import {
  again,
  type CorpusRow,
  chapAnswer,
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
import { fuzzTarget, type LoginStep, login, named, type Step } from './fuzz-case.ts'
import { guardNaa } from './guard-naa.ts'

/** A second initiator beside the first. */
const stranger: LoginStep = {
  kind: 'login',
  text: `InitiatorName=iqn.2026-11.example:stranger~TargetName=${fuzzTarget}~SessionType=Normal~`,
}

function reservationOut(
  action: number,
  type: number,
  fields: { key?: number; next?: number },
): Step {
  const list = Buffer.alloc(24)
  list[7] = fields.key ?? 0
  list[15] = fields.next ?? 0
  return listed(Buffer.from([0x5f, action, type, 0, 0, 0, 0, 0, 24, 0]), list)
}

function moveBeyondAPage(): Step {
  const list = Buffer.alloc(24 + 4 + 4800, 'iqn.2026-11.example:x,i,0x400001370000')
  list.fill(0, 0, 28)
  list[24] = 0x45
  list.writeUInt32BE(4 + 4800, 20)
  list.writeUInt16BE(4800, 26)
  const cdb = Buffer.from([0x5f, 0x07, 0, 0, 0, 0, 0, list.length >> 8, list.length & 255, 0])
  return listed(cdb, list)
}

function copyTo(naa: Buffer): Step {
  const own = segment({ source: 0xffff, destination: 0 })
  const list = copyList([cscd(naa)], [own])
  return listed(copyOut(0, list.length), list)
}

/** Faults that were found in others. */
export const faults: readonly CorpusRow[] = [
  row('CVE-2013-2850', 'a key longer than 63 bytes', [named(`${'K'.repeat(70)}=1~`)], /login 02/),
  row(
    'CVE-2026-63887',
    '2,048 short keys that are unknown',
    [
      named(
        Array.from({ length: 2048 }, (_, i) => `a${i.toString(36)}=`)
          .join('~')
          .concat('~'),
      ),
    ],
    /login 02|closed/,
  ),
  chapRow(
    'CVE-2018-14633',
    'a CHAP response of 500 bytes, hexadecimal',
    [...toChallenge, chapAnswer(`0x${'ff'.repeat(500)}`)],
    /challenge .*login 0201/,
  ),
  chapRow(
    'CVE-2026-63886',
    'a CHAP response of 95 bytes, base64',
    [...toChallenge, chapAnswer(`0b${'A'.repeat(127)}=`)],
    /challenge .*login 0201/,
  ),
  ...[8188, 8189, 8192, 8193].map((length) =>
    row(
      'CVE-2026-90011',
      `a login of ${length} bytes without an end`,
      [{ ...named(''), data: { length, fill: 0x41 } }],
      /login 02|closed/,
    ),
  ),
  row(
    'CVE-2026-23193',
    'a session that is taken over while its commands run',
    [login(), withdrawn, withdrawn, read1, again('stays'), login(), testUnitReady],
    /login 0000.*login 0000.*(good|sense 06)/,
  ),
  row(
    'CVE-2026-72083',
    'REGISTER AND MOVE with a list of more than 4 KiB',
    [login(), reservationOut(0, 0, { next: 1 }), settle, moveBeyondAPage()],
    /good,(.*,)?(status 18|sense 05)/,
  ),
  row('CVE-2026-53176', 'a login that ends inside its header', [
    { kind: 'raw', bytes: '438700000000' },
    { kind: 'connect', former: 'ended' },
  ]),
  row(
    'CVE-2020-28374',
    'a copy to a unit of another target',
    [login(), copyTo(guardNaa)],
    /sense 0a\/0d\/02/,
  ),
  chapRow(
    'CHAP reflection',
    'their challenge is sent back to them',
    [...toChallenge, chapAnswer(zeros16, 'CHAP_I=1~CHAP_C={C}~')],
    /login 0201/,
  ),
  chapRow(
    'CHAP identifier',
    'an identifier of more than a byte',
    [...toChallenge, chapAnswer(zeros16, 'CHAP_I=256~CHAP_C=0x00~')],
    /login 0201/,
  ),
  row(
    'marker intervals',
    'intervals beyond every number',
    [named('OFMarker=Yes~IFMarker=Yes~OFMarkInt=99999999999~IFMarkInt=1~99999999999999999999~')],
    /login 0[02]/,
  ),
  chapRow(
    'CVE-2024-45751',
    'no challenge comes twice',
    [...toChallenge, again('cut'), ...toChallenge, again('cut'), ...toChallenge],
    /challenge (\S+),.*challenge (?!\1)(\S+),.*challenge (?!\1|\2)/,
  ),
  row(
    'CVE-2010-2221',
    'format strings in names',
    [login('InitiatorAlias=%n%n%s%s%x~')],
    /login 0000/,
  ),
  row(
    'CVE-2021-28361',
    'a text request without text that goes on',
    [login(), pdu('0440'), pdu('04400000'), pdu('0480')],
    /reject|text|closed/,
  ),
  row(
    'spdk#3409',
    'an exclusive reservation for all registrants holds others off',
    [
      login(),
      reservationOut(0, 0, { next: 1 }),
      reservationOut(1, 8, { key: 1 }),
      settle,
      again('stays'),
      stranger,
      testUnitReady,
      settle,
      { ...write8, immediateBytes: 4096 },
    ],
    /status 18$|status 18,/,
  ),
  row(
    'spdk#89',
    'a legal end of a session with aborts on the way',
    [
      login(),
      withdrawn,
      { kind: 'manage', function: 1 },
      { kind: 'manage', function: 2 },
      pdu('0680'),
    ],
    /tmf/,
  ),
  row(
    'CVE-2024-8178',
    'READ BUFFER and WRITE BUFFER show nothing',
    [
      login(),
      command('3c02000000000010000000', { readBytes: 4096 }),
      command('3b020000000000100000'),
    ],
    /sense 05\/20\/00.*sense 05\/20\/00/,
  ),
  row(
    'LeftHand',
    'another protocol at this port',
    [
      { kind: 'raw', bytes: hex(Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')) },
      { kind: 'raw', bytes: { length: 400, fill: 0x0a } },
    ],
    /closed/,
  ),
]
