/**
 * A Linux guest with dm-multipath on two portals of a shim that asks for CHAP: one path is cut and
 * one hangs while the guest writes and compares, then the guest reboots and finds its disk again by
 * its node database alone.
 */
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { NodeNetwork } from '../../src/adapters/node-network.ts'
import { Capture } from '../support/capture.ts'
import { Cluster } from '../support/cluster.ts'
import { Guest } from '../support/guest/guest.ts'
import {
  multipathConfiguration,
  pathMarks,
  pathModules,
  pathPrograms,
  pathScript,
} from '../support/guest/path-scripts.ts'
import { quietLog } from '../support/quiet-log.ts'
import { Relay } from '../support/relay.ts'

t.setTimeout(500_000)

const user = { name: 'paths', secret: 'the secret of the guest' }

/** A port for the second portal, which `up` wants to be told. */
async function freeAddress(): Promise<string> {
  const listener = createServer()
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const { port } = listener.address() as AddressInfo
  listener.close()
  await once(listener, 'close')
  return `127.0.0.1:${port}`
}

t.test('two paths, one cut, one hung, and a reboot', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'palisade-guest-paths-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  const secrets = join(directory, 'users.toml')
  const users = `[[user]]\nname = "${user.name}"\nsecret = "${user.secret}"\n`
  await writeFile(secrets, users, { mode: 0o600 })
  const disk = join(directory, 'disk')
  execFileSync('/usr/sbin/mke2fs', ['-q', '-t', 'ext4', disk, '16M'])

  const cluster = await Cluster.start([
    ...['--servers', '3', '--capacity', '256MiB', '--volume', 'disk=64MiB,stripe=3'],
    ...['--portal', '127.0.0.1:0', '--portal', await freeAddress(), '--chap', secrets],
  ])
  t.teardown(() => cluster.stop())
  const shim = cluster.member('shim')
  const portals = shim.portals.flatMap(({ kind, address }) => (kind === 'iscsi' ? [address] : []))
  t.equal(portals.length, 2, 'the shim has two portals')
  const network = new NodeNetwork(quietLog)
  const first = await Relay.open(network, portals[0])
  const second = await Relay.open(network, portals[1])
  t.teardown(() => Promise.all([first.stop(), second.stop()]))
  const capture = await Capture.start(portals, { limitMib: 96 })
  t.teardown(() => capture.discard())

  const guest = new Guest({
    script: pathScript({
      iqn: cluster.ready.volumes[0]?.iqn ?? '',
      portals: [first.address, second.address],
      user,
    }),
    programs: pathPrograms,
    modules: pathModules,
    files: { '/etc/multipath.conf': multipathConfiguration },
    disk,
    deadlineMs: 400_000,
  })
  t.teardown(() => guest.kill())
  const steps: readonly (readonly [mark: string, act: () => void | Promise<void>])[] = [
    [pathMarks.cut, () => first.stop()],
    [pathMarks.mend, () => first.resume()],
    [pathMarks.hang, () => second.hang()],
    [pathMarks.release, () => second.release()],
  ]
  for (const [mark, act] of steps) {
    await guest.written(mark)
    await act()
  }
  const { status, output, console } = await guest.ended
  t.equal(status, 0, 'exit status of the script')
  t.match(output, /one path carried on[\s\S]*both paths again/, 'a path that is cut')
  t.match(output, /the other path carried on/, 'a path that hangs')
  t.match(output, /second boot\n/, 'the guest boots again')
  t.match(output, /2 sessions by themselves/, 'and logs in by its node database')
  t.match(output, /random: OK[\s\S]*all done/, 'the file is unchanged')
  if (!t.passing()) t.comment(`${output}\n${console}`)
  await capture.check(t)
  t.equal(await cluster.stop(), 0, 'the cluster stops in order')
})
