/**
 * Linux with ext4 on a volume of two copies, under a verifying load: the primary is killed, and
 * when the copies are together again the one that took over. The guest's log knows of no error.
 */
import t from 'tap'
import type { ReplicaStatus } from '../../src/control/messages/admin.ts'
import { Cluster } from '../support/cluster.ts'
import {
  allDone,
  attachWithDigests,
  detach,
  diskPrograms,
  useTarget,
} from '../support/guest/disk-scripts.ts'
import { Guest } from '../support/guest/guest.ts'
import { mirrorLoad, mirrorMarks } from '../support/guest/mirror-scripts.ts'

const deadlineMs = 400_000
const settleMs = 60_000
const signalMib = 16
t.setTimeout(500_000)

interface Shown {
  readonly replicas: readonly ReplicaStatus[]
}

async function copies(cluster: Cluster): Promise<readonly ReplicaStatus[]> {
  return ((await cluster.verb(['volume', 'show', 'disk'])) as Shown).replicas
}

/** kill -9 of the primary's server; resolves when two copies are in sync under another primary. */
async function killPrimary(cluster: Cluster): Promise<string> {
  const primary = (await copies(cluster)).find((each) => each.primary)!
  process.kill(cluster.member('server', primary.server).pid, 'SIGKILL')
  const deadline = Date.now() + settleMs
  for (;;) {
    const now = await copies(cluster)
    const another = now.some((each) => each.primary && each.server !== primary.server)
    if (another && now.length === 2 && now.every(({ state }) => state === 'in-sync')) break
    if (Date.now() > deadline) throw new Error(`the copies stay ${JSON.stringify(now)}`)
  }
  return primary.server
}

t.test('two servers killed, one after the other', async (t) => {
  const cluster = await Cluster.start([
    ...['--servers', '2', '--capacity', '512MiB'],
    ...['--volume', 'disk=96MiB,mirror=2', '--volume', `signal=${signalMib}MiB`],
  ])
  t.teardown(() => cluster.stop())
  const [disk = '', signal = ''] = cluster.ready.volumes.map(({ iqn }) => iqn)
  const script = [
    useTarget(cluster.ready.portal, disk),
    attachWithDigests,
    mirrorLoad(signal, signalMib),
    'no_complaints\n',
    detach,
    allDone,
  ]
  const guest = new Guest({ script: script.join(''), programs: diskPrograms, deadlineMs })
  t.teardown(() => guest.kill())
  const grow = (by: number): Promise<unknown> =>
    cluster.verb(['volume', 'grow', 'signal', '--size', `${signalMib + by}MiB`])
  await guest.written(mirrorMarks.first)
  const first = await killPrimary(cluster)
  await grow(1)
  await guest.written(mirrorMarks.second)
  const second = await killPrimary(cluster)
  await grow(2)
  const { status, output, console } = await guest.ended
  t.not(second, first, 'both servers were killed')
  t.equal(status, 0, 'exit status of the script')
  t.match(output, /load verified over both[\s\S]*all done/, 'everything was read back')
  if (!t.passing()) t.comment(`${output}\n${console}`)
  t.equal(await cluster.stop(), 0, 'the cluster stops in order')
})
