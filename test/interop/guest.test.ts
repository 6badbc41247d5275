/**
 * Linux's own initiator, from discovery to logout: a file system, verified load, discard, COMPARE
 * AND WRITE, EXTENDED COPY, reservations of two initiators, digests, CHAP, and a disk that grows
 * while it is used; through the shim of a whole cluster and on a plain target. Two guests run side
 * by side, each does much: to start one costs more than what it does.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Capture } from '../support/capture.ts'
import { Cluster } from '../support/cluster.ts'
import {
  allDone,
  attachWithDigests,
  type ChapUser,
  chap,
  compareAndWrite,
  detach,
  discard,
  diskPrograms,
  fileSystem,
  onlineGrow,
  randomLoad,
  reservations,
  thirdPartyCopy,
  useTarget,
} from '../support/guest/disk-scripts.ts'
import { Guest, type GuestResult } from '../support/guest/guest.ts'
import { PalisadeProcess } from '../support/palisade-process.ts'

const MIB = 1024 * 1024
const deadlineMs = 400_000
t.setTimeout(500_000)
t.jobs = 2

/** The few commands of each kind come before the loads: a capture keeps the first part. */
const commonParts = [
  attachWithDigests,
  compareAndWrite,
  thirdPartyCopy,
  discard,
  reservations,
  fileSystem,
  randomLoad,
  'no_complaints\n',
]

function checkCommon(t: Test, { status, output, console }: GuestResult): void {
  t.equal(status, 0, 'exit status of the script')
  t.match(output, /disk \/dev\/sd[a-z] PALISADE/, 'the disk appears')
  t.match(output, /digests CRC32C CRC32C|digests 1 1/, 'with both digests')
  t.match(output, /\d+ files unchanged/, 'files read back after a remount')
  t.match(output, /random load verified/, 'fio verifies what it wrote')
  t.match(output, /discarded blocks read as zeros/, 'blkdiscard')
  t.match(output, /compared and written once/, 'sg_compare_and_write')
  t.match(output, /copied by the target/, 'sg_xcopy')
  t.match(output, /refused: a write of the other initiator/, 'a reservation keeps a writer out')
  t.match(output, /refused: a read of the preempted initiator/, 'a preempted holder is out')
  t.match(output, /reservations held/, 'persistent reservations')
  t.match(output, /no session left[\s\S]*all done/, 'reaches its end')
  if (!t.passing()) t.comment(`${output}\n${console}`)
}

t.test(
  'through the shim, on a volume striped over three servers',
  { buffered: true },
  async (t) => {
    const cluster = await Cluster.start([
      ...['--servers', '3', '--capacity', '512MiB'],
      ...['--volume', 'disk=96MiB,stripe=3'],
    ])
    t.teardown(() => cluster.stop())
    const capture = await Capture.start(cluster.iscsiPortals, { limitMib: 96 })
    t.teardown(() => capture.discard())
    const iqn = cluster.ready.volumes[0]?.iqn ?? ''
    const { portal } = cluster.ready
    const grown = 128 * MIB
    const script = [useTarget(portal, iqn), ...commonParts, onlineGrow(grown), detach, allDone]
    const guest = new Guest({ script: script.join(''), programs: diskPrograms, deadlineMs })
    t.teardown(() => guest.kill())
    await guest.written(`waiting for ${grown} bytes`)
    await cluster.verb(['volume', 'grow', 'disk', '--size', '128MiB'])
    const result = await guest.ended
    t.match(result.output, `${portal},1 ${iqn}`, 'SendTargets lists it')
    t.match(result.output, /grown while in use/, 'a rescan finds the new size')
    checkCommon(t, result)
    await capture.check(t)
    t.equal(await cluster.stop(), 0, 'the cluster stops in order')
  },
)

const user: ChapUser = {
  name: 'guest',
  secret: 'the secret of the guest',
  mutualName: 'palisade',
  mutualSecret: 'the secret of the target',
}
const users = `[[user]]
name = "${user.name}"
secret = "${user.secret}"

[mutual]
name = "${user.mutualName}"
secret = "${user.mutualSecret}"
`

interface Plain {
  readonly target: PalisadeProcess
  readonly portal: string
  readonly iqn: string
}

async function plainTarget(args: readonly string[]): Promise<Plain> {
  const argv = ['target', '--standalone', '--portal', '127.0.0.1:0', '--json', ...args]
  const target = new PalisadeProcess(argv)
  const [line] = await target.output(/^\{.*"ready":true.*\}$/m)
  const ready = JSON.parse(line) as { iqn: string; portals: string[] }
  return { target, portal: ready.portals[0] ?? '', iqn: ready.iqn }
}

t.test('on standalone targets, and with CHAP', { buffered: true }, async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'palisade-guest-lun-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  const secrets = join(directory, 'users.toml')
  await writeFile(secrets, users, { mode: 0o600 })
  const open = await plainTarget(['--lun', `${join(directory, 'lun')}=96MiB,thin`])
  t.teardown(() => open.target.stop())
  const guarded = await plainTarget([
    ...['--lun', `${join(directory, 'other')}=16MiB`, '--chap', secrets],
    ...['--iqn', 'iqn.2026-11.io.palisade:guarded'],
  ])
  t.teardown(() => guarded.target.stop())
  const capture = await Capture.start([open.portal, guarded.portal], { limitMib: 96 })
  t.teardown(() => capture.discard())
  const script = [
    useTarget(open.portal, open.iqn),
    ...commonParts,
    detach,
    chap(guarded.portal, guarded.iqn, user),
    allDone,
  ]
  const guest = new Guest({ script: script.join(''), programs: diskPrograms, deadlineMs })
  t.teardown(() => guest.kill())
  const result = await guest.ended
  const logins = [...result.output.matchAll(/login (\S+): (\d+)/g)].map(([, how, code]) => {
    return [how, code === '0' ? 'in' : code]
  })
  const expected = [
    // 24: the target refuses the initiator. 19: the initiator turns away from the target.
    ...[
      ['without', '24'],
      ['wrong', '24'],
      ['MD5', 'in'],
      ['SHA1', 'in'],
      ['SHA256', 'in'],
    ],
    ...[
      ['SHA3-256', 'in'],
      ['mutual', 'in'],
      ['wrong-mutual', '19'],
    ],
  ]
  t.same(logins, expected, 'who gets in')
  t.match(result.console, /incorrect CHAP response from target/, 'the wrong target is found out')
  checkCommon(t, result)
  await capture.check(t)
  t.equal(await open.target.stop(), 0, 'the target stops in order')
})
