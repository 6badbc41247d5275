/**
 * Linux with ext4 on a volume of two copies that it reaches with dm-multipath through two gateways:
 * one path is active, one in standby. The active gateway stands still under a verifying load until the
 * guest works through the other one, and is killed then; `up` starts it again, as the second path.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { clientIqn } from '../../src/volume/names.ts'
import { Cluster, type ReadyProcess } from '../support/cluster.ts'
import {
  gatewayModules,
  gatewayMultipath,
  gatewayPrograms,
  gatewayScript,
  killGateway,
  redirectScript,
  stopGateway,
} from '../support/guest/gateway-scripts.ts'
import { Guest } from '../support/guest/guest.ts'

const deadlineMs = 400_000
const movesWithinMs = 120_000
t.setTimeout(500_000)

interface Shown {
  readonly activeFrontEnds: readonly { readonly client: string }[]
}

/** The gateway that the guest works through. */
async function activeGateway(cluster: Cluster): Promise<ReadyProcess> {
  const { activeFrontEnds } = (await cluster.verb(['volume', 'show', 'disk'])) as Shown
  for (const gateway of cluster.ready.processes.filter(({ role }) => role === 'gateway')) {
    const identity = await readFile(join(cluster.directory, gateway.name, 'identity'), 'utf8')
    if (activeFrontEnds.some(({ client }) => client === clientIqn(identity.trim()))) return gateway
  }
  throw new Error(`no active gateway: ${JSON.stringify(activeFrontEnds)}`)
}

t.test('two gateways, the active one killed', async (t) => {
  const cluster = await Cluster.start([
    ...['--servers', '2', '--capacity', '512MiB', '--gateways', '2'],
    ...['--volume', 'disk=96MiB,mirror=2'],
  ])
  t.teardown(() => cluster.stop())
  const [first, ...more] = cluster.ready.processes.filter(({ role }) => role === 'gateway')
  t.equal(more.length, 1, 'two gateways')
  const guest = new Guest({
    script: gatewayScript(cluster.address(first!, 'iscsi'), cluster.ready.volumes[0]?.iqn ?? ''),
    programs: gatewayPrograms,
    modules: gatewayModules,
    files: { '/etc/multipath.conf': gatewayMultipath },
    deadlineMs,
  })
  t.teardown(() => guest.kill())
  await guest.written(killGateway)
  const killed = await activeGateway(cluster)
  process.kill(killed.pid, 'SIGSTOP')
  const deadline = Date.now() + movesWithinMs
  while ((await activeGateway(cluster)).name === killed.name) {
    if (Date.now() > deadline) break
  }
  process.kill(killed.pid, 'SIGKILL')
  const { status, output, console } = await guest.ended
  t.equal(status, 0, 'exit status of the script')
  t.match(output, /load verified through the other[\s\S]*both paths again[\s\S]*all done/)
  t.not((await activeGateway(cluster)).name, killed.name, 'the other one serves it now')
  if (!t.passing()) t.comment(`${output}\n${console}`)
})

t.test('one path, its gateway stopped in good order', async (t) => {
  const cluster = await Cluster.start([
    ...['--servers', '1', '--capacity', '256MiB', '--gateways', '2', '--volume', 'disk=64MiB'],
  ])
  t.teardown(() => cluster.stop())
  const [first] = cluster.ready.processes.filter(({ role }) => role === 'gateway')
  const guest = new Guest({
    script: redirectScript(cluster.address(first!, 'iscsi'), cluster.ready.volumes[0]?.iqn ?? ''),
    programs: gatewayPrograms,
    modules: gatewayModules,
    deadlineMs,
  })
  t.teardown(() => guest.kill())
  await guest.written(stopGateway)
  const stopped = await activeGateway(cluster)
  process.kill(stopped.pid, 'SIGTERM')
  const { status, output, console } = await guest.ended
  t.equal(status, 0, 'exit status of the script')
  t.match(output, /two sessions at two gateways[\s\S]*all done/)
  for (const [line] of output.matchAll(/clat .*/g)) t.comment(line)
  if (!t.passing()) t.comment(`${output}\n${console}`)
})
