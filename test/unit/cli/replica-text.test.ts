/** What people read of copies: status, recovery and verification, as whole pieces of text. */
import t from 'tap'
import { parseDuration, parseLimit, recoveryLines } from '../../../src/cli/recovery.ts'
import {
  copiesText,
  durationText,
  progressBar,
  progressText,
  replicaJson,
  replicaTable,
} from '../../../src/cli/replica-text.ts'
import { findProblems, statusLines } from '../../../src/cli/status.ts'
import { layout } from '../../../src/cli/volume-change.ts'
import { parsePartition } from '../../../src/cli/volume-create.ts'
import { progressLine, verifyLines } from '../../../src/cli/volume-verify.ts'
import type {
  ReplicaStatus,
  StatusReply,
  VerifiedSegment,
} from '../../../src/control/messages/admin.ts'
import type { SegmentVerification } from '../../../src/control/messages/server.ts'
import { testMap, testSegment } from '../../support/volume-maps.ts'

const mib = 1024 * 1024

function replica(server: string, changes: Partial<ReplicaStatus> = {}): ReplicaStatus {
  return {
    segmentId: 'segment-1',
    startBlock: 0,
    server,
    primary: false,
    state: 'in-sync',
    behindBytes: 0,
    totalBytes: 100 * mib,
    bytesPerSecond: 0,
    copiedBytes: 0,
    comparingBytes: 0,
    diskFailed: false,
    ...changes,
  }
}

const primary = replica('s1', { primary: true, comparingBytes: 8 * mib })
const syncing = replica('s2', {
  state: 'syncing',
  behindBytes: 75 * mib,
  copiedBytes: 25 * mib,
  bytesPerSecond: 2 * mib,
})
const gone = replica('s3', {
  state: 'gone',
  behindBytes: 512,
  diskFailed: true,
  replacedInMs: 540_000,
})

const shutOut = { changes: 0, lastMs: 0, maxMs: 0, totalMs: 0, histogram: [] }
const volume = {
  name: 'db',
  volumeId: 'id',
  generation: 7,
  sizeBytes: 100 * mib,
  change: '',
  behind: [],
  shutOut,
  replicas: [primary, syncing, gone],
}
const status: StatusReply = {
  term: 2,
  generation: 7,
  servers: [
    {
      server: {
        serverId: 'id1',
        name: 's1',
        portals: ['10.0.0.1:3260'],
        control: '10.0.0.1:7000',
        capacityBytes: 1024 * mib,
        freeBytes: 0,
        processId: 'p',
        version: '1',
        storeIncarnation: 'i',
      },
      adopted: true,
      reachable: true,
      declaredDead: false,
      plannedBytes: 100 * mib,
      reservedBytes: 103 * mib,
      volumes: ['db'],
      lastHeardMs: 1,
      domain: 'rack-1',
    },
  ],
  volumes: [volume, { ...volume, name: 'one', replicas: [replica('s1', { primary: true })] }],
  pendingFences: [],
  shutOut,
  warnings: ['volume db: the copy on s3 is gone'],
  watchingClients: 1,
  relayedConnections: 0,
  relayedConnectionsTotal: 3,
  reports: [],
  managementPath: ['10.0.0.9:3260'],
  gateways: [
    {
      client: 'iqn.2026-11.example:g1',
      group: 17,
      addresses: ['10.0.0.1:3261', '10.0.1.1:3261'],
      sessions: 3,
      active: [
        { volume: 'db', initiators: ['iqn.2026-11.example:a', 'iqn.2026-11.example:b'] },
        { volume: 'one', initiators: ['iqn.2026-11.example:a'] },
      ],
    },
    {
      client: 'iqn.2026-11.example:g2',
      group: 4_711,
      addresses: ['10.0.0.2:3261'],
      sessions: 0,
      active: [],
    },
  ],
}

await t.test('status', async (t) => {
  const problems = findProblems(status)
  t.strictSame(problems, [
    'volume db: the disk of s3 returned errors; replace it',
    'volume db: the copy on s3 is gone',
  ])
  const lines = statusLines('10.0.0.9:7000', { status, problems, initiators: [], bars: true })
  t.strictSame(lines, [
    'manager          10.0.0.9:7000, term 2, newest generation 7',
    'clients          1 watching',
    'management path  10.0.0.9:3260 (connections: 0 now, 3 so far)',
    'changes          0, clients shut out never',
    '',
    'NAME  STATE  DOMAIN  CAPACITY  PLANNED  RESERVED  VOLUMES  PORTALS',
    's1    ok     rack-1  1 GiB     100 MiB  103 MiB         1  10.0.0.1:3260',
    '',
    'VOLUME  SIZE     GENERATION  CHANGE  COPIES                                            SHUT OUT',
    'db      100 MiB           7  none    s2 syncing, 75 MiB behind; s3 gone, 512 B behind  never',
    'one     100 MiB           7  none    in sync                                           never',
    '',
    'VOLUME  START  SERVER  ROLE     STATE    PROGRESS',
    'db          0  s1      primary  in-sync  8 MiB to be compared',
    'db          0  s2      copy     syncing  [#####...............]  25 % 75 MiB behind, 2 MiB/s, 38 s left',
    'db          0  s3      copy     gone     512 B behind, the disk returned errors, replaced in 9 min',
    '',
    'GATEWAY                      GROUP  SESSIONS  ACTIVE FOR (INITIATORS)',
    '10.0.0.1:3261 10.0.1.1:3261     17         3  db (2) one (1)',
    '10.0.0.2:3261                 4711         0  none',
    '',
    'warning: volume db: the copy on s3 is gone',
    ...problems.map((problem) => `! ${problem}`),
  ])
  const healing = { ...status, volumes: [{ ...volume, replicas: [primary, syncing] }] }
  t.strictSame(findProblems(healing), [])
  const shown = statusLines('m', { status: healing, problems: [], initiators: [] })
  t.equal(shown.at(-1), 'nothing is to be done; copies are being brought up')
  const whole = { ...status, volumes: [] }
  const calm = statusLines('m', { status: whole, problems: [], initiators: [] })
  t.equal(calm.at(-1), 'everything is in order')
})

await t.test('recovery', async (t) => {
  const settings = { bytesPerSecond: 64 * mib, graceMs: 600_000 }
  t.strictSame(recoveryLines({ settings, replicas: [] }, true), [
    'limit  64 MiB/s on each server',
    'grace  10 min',
    '',
    'every copy is in sync',
  ])
  const none = { bytesPerSecond: 0, graceMs: 90_000 }
  const replicas = [{ volume: 'db', replica: syncing }]
  t.strictSame(recoveryLines({ settings: none, replicas }, false), [
    'limit  none',
    'grace  1 min 30 s',
    '',
    'VOLUME  START  SERVER  ROLE  STATE    PROGRESS',
    'db          0  s2      copy  syncing  75 MiB behind, 2 MiB/s, 38 s left',
  ])
  t.strictSame(replicaTable([{ replica: replica('s4') }], true), [
    'START  SERVER  ROLE  STATE    PROGRESS',
    '    0  s4      copy  in-sync',
  ])
  t.match(replicaJson(syncing), { secondsLeft: 38, state: 'syncing', behindBytes: 75 * mib })
  t.match(replicaJson(gone), { secondsLeft: null, diskFailed: true, replacedInSeconds: 540 })
  t.equal(progressText(replica('s3', { replacedInMs: 0 })), 'to be replaced')
  t.equal(copiesText([primary]), 'in sync')
})

await t.test('durations, limits and bars', async (t) => {
  const durations: [number, string][] = [
    [0.2, '1 s'],
    [60, '1 min'],
    [125, '2 min 5 s'],
    [3_600, '1 h'],
    [4_800, '1 h 20 min'],
  ]
  for (const [seconds, text] of durations) t.equal(durationText(seconds), text)
  t.strictSame(
    [0, 1, 50, 99, 100, 101].map((done) => progressBar(done, 100).slice(-5)),
    ['  0 %', '  1 %', ' 50 %', ' 99 %', '100 %', '100 %'],
  )
  t.equal(progressBar(0, 0), '[####################] 100 %', 'nothing to do is done')
  t.strictSame(['none', '64MiB', '64MiB/s', '1GB/s', '65536'].map(parseLimit), [
    0,
    64 * mib,
    64 * mib,
    1e9,
    65_536,
  ])
  for (const text of ['', '0', '10', '64KiB/h', '-1MiB']) {
    t.throws(() => parseLimit(text), { code: 'invalid', message: /^--limit/ }, text)
  }
  t.strictSame(
    ['0', '90', '1.5s', '10min', '2 h', '1d'].map((text) => parseDuration(text, '--grace')),
    [0, 90_000, 1_500, 600_000, 7_200_000, 86_400_000],
  )
  for (const text of ['', 'x', '10m', '-1', '1min2', '1 minute']) {
    t.throws(() => parseDuration(text, '--grace'), { message: /^--grace/ }, text)
  }
})

function segment(changes: Partial<SegmentVerification>): VerifiedSegment {
  const verification = {
    segmentId: 'segment-1',
    state: 'done',
    cause: '',
    totalBytes: 100 * mib,
    comparedBytes: 100 * mib,
    bytesPerSecond: 0,
    differingPages: 0,
    repairedPages: 0,
    named: [],
    ...changes,
  } as const
  return { server: 's1', startBlock: 0, verification, named: [] }
}

await t.test('verification', async (t) => {
  const found = segment({ differingPages: 2, repairedPages: 2 })
  const named = [{ server: 's2', lba: 128, blocks: 8 }]
  t.strictSame(verifyLines('db', [segment({}), { ...found, startBlock: 8, named }]), [
    'START  PRIMARY  OUTCOME',
    '    0  s1       equal, 100 MiB compared',
    '    8  s1       2 pages differed, all repaired',
    '',
    'segment at 8: 8 blocks at 128 differed on s2',
    '',
    'the copies of db are equal',
  ])
  const bad: [Partial<SegmentVerification>, RegExp][] = [
    [{ differingPages: 2, repairedPages: 1 }, /2 pages differed, 1 not repaired/],
    [{ state: 'alone' }, /not compared: no other copy is in sync/],
    [{ state: 'none' }, /not compared: its primary changed or was restarted/],
    [{ state: 'failed', cause: 's2 was lost' }, /not compared to the end: s2 was lost/],
    [{ state: 'running' }, /under way/],
  ]
  for (const [changes, outcome] of bad) {
    const lines = verifyLines('db', [segment(changes), segment({})])
    t.match(lines[1], outcome)
    t.equal(lines.at(-1), 'the copies of db are not known to be equal')
  }
  const half = { state: 'running', comparedBytes: 50 * mib, bytesPerSecond: 10 * mib } as const
  t.equal(
    progressLine('db', [segment({ ...half, differingPages: 3 }), segment(half)]),
    'db: [##########..........]  50 % 100 MiB of 200 MiB, 20 MiB/s, 5 s left, 3 pages differ',
  )
})

await t.test('partitions and layouts', async (t) => {
  const sizeBytes = mib
  t.strictSame(parsePartition('s1=1MiB', 512), { server: 's1', others: [], sizeBytes })
  const both = { server: 's1', others: ['s2', 's3'], sizeBytes }
  t.strictSame(parsePartition('s1+s2+s3=1MiB', 512), both)
  for (const text of ['', 's1', '=1MiB', 's1+=1MiB', '+s1=1MiB', 's1=1MiB=2', 's1++s2=1MiB']) {
    t.throws(() => parsePartition(text, 512), { code: 'invalid' }, text)
  }
  const server = (n: number) => ({ serverId: `id${n}`, name: `s${n}`, incarnation: 'x' })
  const segments = [testSegment(1, 0, 8, [server(1), server(2)])]
  t.equal(layout(testMap({ segments })), 'linear, 2 copies on s1, s2')
})
