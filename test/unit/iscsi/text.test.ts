/** Key=value text: hostile segments, continuation, and SendTargets. */
import t from 'tap'
import { textLimits } from '../../../src/base/limits.ts'
import {
  buildSendTargets,
  parseSendTargets,
  parseTargetAddress,
} from '../../../src/iscsi/send-targets.ts'
import {
  encodeText,
  gatherText,
  isTextFault,
  noText,
  parseText,
  splitText,
  type TextPair,
  uniqueKeys,
} from '../../../src/iscsi/text.ts'
import { answerText } from '../../../src/iscsi/text-target.ts'
import { hex, text } from '../../support/bytes.ts'

const key = (length: number) => 'K'.repeat(length)

t.test('what is text', async (t) => {
  const good: [string, Buffer, TextPair[]][] = [
    ['nothing', Buffer.alloc(0), []],
    ['only NULs', Buffer.alloc(4), []],
    [
      'two pairs',
      text('A=1', 'B=x=y'),
      [
        ['A', '1'],
        ['B', 'x=y'],
      ],
    ],
    ['empty value', text('A='), [['A', '']]],
    [
      'NULs between',
      hex('41 3d 31 00 00 00 42 3d 32 00 00'),
      [
        ['A', '1'],
        ['B', '2'],
      ],
    ],
    ['longest key', text(`${key(63)}=v`), [[key(63), 'v']]],
    ['longest value', text(`A=${'v'.repeat(8192)}`), [['A', 'v'.repeat(8192)]]],
    ['UTF-8', text('A=läufer'), [['A', 'läufer']]],
    [
      'our own keys',
      text('X-io.palisade.Generation=1', 'X#NodeArchitecture=a'),
      [
        ['X-io.palisade.Generation', '1'],
        ['X#NodeArchitecture', 'a'],
      ],
    ],
    [
      'names of JavaScript',
      text('constructor=1', 'toString=2'),
      [
        ['constructor', '1'],
        ['toString', '2'],
      ],
    ],
  ]
  for (const [name, data, pairs] of good) t.strictSame(parseText(data), pairs, name)
  const bad: [string, Buffer, RegExp][] = [
    ['no =', text('A=1', 'B'), /no =/],
    ['no key', text('=1'), /characters/],
    ['no final NUL', Buffer.from('A=1'), /end in NUL/],
    ['key of 64', text(`${key(64)}=v`), /longer than 63/],
    ['key of 255', text(`${key(255)}=v`), /longer than 63/],
    ['value of 8193', text(`A=${'v'.repeat(8193)}`), /too long/],
    ['prototype', text('__proto__=1'), /characters/],
    ['space in a key', text('A B=1'), /characters/],
    ['control character in a key', text('A\x01=1'), /characters/],
    ['not UTF-8', hex('41 3d c3 28 00'), /not UTF-8/],
    ['surrogate', hex('41 3d ed a0 80 00'), /not UTF-8/],
    [
      '2,048 keys',
      text(...Array.from({ length: 2048 }, (_, i) => `k${i}=`)),
      /more than 128 pairs/,
    ],
  ]
  for (const [name, data, why] of bad) {
    const fault = parseText(data)
    t.ok(isTextFault(fault) && why.test(fault.why), name)
  }
  t.ok(
    isTextFault(
      uniqueKeys([
        ['A', '1'],
        ['B', '2'],
        ['A', '1'],
      ]),
    ),
  )
  t.strictSame(
    encodeText([
      ['A', '1'],
      ['B', 'ü'],
    ]),
    text('A=1', 'B=ü'),
  )
})

t.test('text over several PDUs', async (t) => {
  const whole = text('InitiatorName=iqn.a', 'TargetName=iqn.b')
  for (let cut = 1; cut < whole.length; cut++) {
    const first = gatherText(noText, [whole.subarray(0, cut)], true)
    if (isTextFault(first) || first.kind !== 'more') throw new Error(`cut at ${cut}`)
    const second = gatherText(first.parts, [whole.subarray(cut)], false)
    if (isTextFault(second) || second.kind !== 'whole' || !second.text.equals(whole))
      t.fail(`${cut}`)
  }
  t.equal(noText.bytes, 0, 'nothing is kept in between')
  t.ok(isTextFault(gatherText(noText, [], true)), 'C with no data')
  t.ok(isTextFault(gatherText(noText, [Buffer.alloc(0)], true)), 'C with empty data')
  t.match(gatherText(noText, [Buffer.alloc(textLimits.exchangeBytes)], false), { kind: 'whole' })
  t.ok(isTextFault(gatherText(noText, [Buffer.alloc(textLimits.exchangeBytes + 1)], false)))
  let parts = noText
  for (let i = 1; ; i++) {
    const step = gatherText(parts, [Buffer.from('A')], true)
    if (isTextFault(step)) {
      t.equal(i, textLimits.pieces, 'no continuation for ever')
      break
    }
    if (step.kind === 'more') parts = step.parts
  }
  t.strictSame(
    splitText(Buffer.alloc(0), 10).map((piece) => piece.length),
    [0],
  )
  t.strictSame(
    splitText(Buffer.alloc(25), 10).map((piece) => piece.length),
    [10, 10, 5],
  )
})

t.test('SendTargets, built and parsed', async (t) => {
  const records = [
    {
      targetName: 'iqn.2026-11.io.palisade:a',
      addresses: [
        { address: '127.0.0.1:3260', portalGroupTag: 1 },
        { address: '[::1]:3261', portalGroupTag: 2 },
      ],
    },
    { targetName: 'iqn.2026-11.io.palisade:b', addresses: [] },
  ]
  const pairs = buildSendTargets(records)
  t.strictSame(
    encodeText(pairs),
    text(
      'TargetName=iqn.2026-11.io.palisade:a',
      'TargetAddress=127.0.0.1:3260,1',
      'TargetAddress=[::1]:3261,2',
      'TargetName=iqn.2026-11.io.palisade:b',
    ),
  )
  t.strictSame(parseSendTargets(pairs), records)
  t.equal(
    parseSendTargets([['TargetAddress', '127.0.0.1:3260,1']]),
    undefined,
    'address of no name',
  )
  t.equal(
    parseSendTargets([
      ['TargetName', 'a'],
      ['TargetAddress', 'a b'],
    ]),
    undefined,
  )
  t.strictSame(parseTargetAddress('storage.example'), {
    address: 'storage.example:3260',
    portalGroupTag: 1,
  })
  for (const bad of ['', 'a:b', 'a:99999', '[::1', 'a:1,65536', 'a:1,', 'a,1,2']) {
    t.equal(parseTargetAddress(bad), undefined, bad)
  }
})

t.test('text in the full-feature phase', async (t) => {
  t.strictSame(answerText(text('SendTargets=All'), 'Discovery'), {
    kind: 'answer',
    answers: [],
    sendTargets: 'All',
  })
  t.match(answerText(text('SendTargets='), 'Normal'), { sendTargets: '' })
  t.strictSame(answerText(text('SendTargets=All'), 'Normal'), {
    kind: 'answer',
    answers: [['SendTargets', 'Reject']],
  })
  t.strictSame(
    answerText(
      text(
        'MaxRecvDataSegmentLength=4096',
        'MaxBurstLength=512',
        'Foo=1',
        'TargetAlias=x',
        'InitiatorAlias=me',
      ),
      'Normal',
    ),
    {
      kind: 'answer',
      answers: [
        ['MaxBurstLength', 'Reject'],
        ['Foo', 'NotUnderstood'],
        ['TargetAlias', 'Reject'],
      ],
      initiatorMaxRecvDataSegmentBytes: 4096,
    },
  )
  t.strictSame(answerText(text('MaxRecvDataSegmentLength=1'), 'Normal'), {
    kind: 'answer',
    answers: [['MaxRecvDataSegmentLength', 'Reject']],
  })
  t.ok(isTextFault(answerText(text('A=1', 'A=1'), 'Normal')))
})
