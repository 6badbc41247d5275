/** The contract of `palisade up`: its ready line, restarts, what may be added, how it ends. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Cluster, type Ready } from '../support/cluster.ts'
import { mainProgram, PalisadeProcess, run } from '../support/palisade-process.ts'
import { qemuIo, readPattern, writePattern } from '../support/qemu-io.ts'

const small = ['--capacity', '256MiB'] as const

async function temporary(t: Test): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'palisade-up-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  return directory
}

async function start(t: Test, directory: string, args: readonly string[]): Promise<Cluster> {
  const cluster = await Cluster.start(args, directory)
  t.teardown(() => cluster.stop({ keep: true }))
  return cluster
}

/** All addresses by owner and kind: what must not change over a restart. */
function addresses(ready: Ready): Record<string, string> {
  return Object.fromEntries(
    ready.processes.flatMap(({ name, portals }) =>
      portals.map(({ kind, address }, i) => [`${name} ${kind} ${i}`, address]),
    ),
  )
}

/** False once the process is gone, or a zombie that nobody here could reap. */
function alive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ESRCH') return false
    throw thrown
  }
}

async function until(holds: () => boolean, complaint: string): Promise<void> {
  const deadline = performance.now() + 20_000
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(complaint)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

t.test('the ready line, and a second start that finds everything', async (t) => {
  const directory = await temporary(t)
  const args = ['--servers', '2', ...small, '--volume', 'v1=8MiB', '--volume', 'v2=6MiB,stripe=2']
  const first = await start(t, directory, args)
  checkReadyLine(t, first)
  await qemuIo(first.url('v1'), [writePattern(0xa1, 12_345, 54_321), 'flush'])
  await qemuIo(first.url('v2'), [writePattern(0xb2, 0, 6 * 1024 * 1024), 'flush'])
  const port = await run(process.execPath, [mainProgram, 'up', '--dir', directory, '--json'])
  t.equal(port.code, 5, 'a second instance in the same directory is refused')
  t.match(port.stderr, /in use by a running palisade/)
  t.equal(await first.stop({ keep: true }), 0, 'SIGTERM ends it with 0')
  t.notOk(
    first.ready.processes.some(({ pid }) => alive(pid)),
    'no process is left',
  )

  const second = await start(t, directory, args)
  t.same(addresses(second.ready), addresses(first.ready), 'the same addresses')
  t.same(second.ready.volumes, first.ready.volumes, 'the same volumes, the same generations')
  await qemuIo(second.url('v1'), [readPattern(0xa1, 12_345, 54_321)])
  await qemuIo(second.url('v2'), [readPattern(0xb2, 0, 6 * 1024 * 1024)])
  second.process.kill('SIGINT')
  t.equal(await second.process.exited, 0, 'SIGINT ends it with 0 as well')
})

function checkReadyLine(t: Test, cluster: Cluster): void {
  const { ready } = cluster
  t.equal(cluster.process.stdout.trim().split('\n').length, 1, 'one line')
  t.match(ready.manager, /^127\.0\.0\.1:\d+$/)
  t.same(ready.volumes, [
    {
      name: 'v1',
      iqn: 'iqn.2026-11.io.palisade:v1',
      lun: 0,
      url: `iscsi://${ready.portal}/iqn.2026-11.io.palisade:v1/0`,
      generation: ready.volumes[0]?.generation,
    },
    {
      name: 'v2',
      iqn: 'iqn.2026-11.io.palisade:v2',
      lun: 0,
      url: `iscsi://${ready.portal}/iqn.2026-11.io.palisade:v2/0`,
      generation: ready.volumes[1]?.generation,
    },
  ])
  t.ok(ready.volumes.every(({ generation }) => Number.isSafeInteger(generation) && generation > 0))
  t.same(
    ready.processes.map(({ role, name }) => [role, name]),
    [
      ['manager', 'manager'],
      ['server', 'server-1'],
      ['server', 'server-2'],
      ['shim', 'shim'],
    ],
  )
  t.ok(ready.processes.every(({ pid }) => alive(pid)))
  const manager = cluster.member('manager')
  t.equal(cluster.address(manager, 'grpc'), ready.manager)
  t.ok(cluster.address(manager, 'iscsi'), 'the management path')
  const data = cluster.member('server', 'server-1').portals.filter(({ kind }) => kind === 'iscsi')
  t.equal(data.length, 2, 'two data paths to each server')
  t.equal(cluster.address(cluster.member('shim'), 'iscsi'), ready.portal)
}

t.test('what a later start may add, and what it may not ask', async (t) => {
  const directory = await temporary(t)
  const one = ['--servers', '1', ...small, '--volume', 'v1=4MiB']
  const first = await start(t, directory, one)
  t.equal(await first.stop({ keep: true }), 0)
  const refused: [readonly string[], RegExp][] = [
    [['--volume', 'v1=8MiB'], /v1: the volume is 4MiB, not 8MiB; .*volume grow v1/],
    [['--volume', 'v1=4MiB,stripe=2'], /v1: the volume is linear, not stripe=2/],
    [['--portal', '127.0.0.1:1'], /--portal 127.0.0.1:1: this directory has its portal at/],
  ]
  for (const [args, says] of refused) {
    const up = await run(process.execPath, [mainProgram, 'up', '--dir', directory, ...args])
    t.equal(up.code, 1, args.join(' '))
    t.match(up.stderr, says)
  }
  const more = ['--servers', '2', ...small, '--volume', 'v1=4MiB', '--volume', 'v2=4MiB,stripe=2']
  const second = await start(t, directory, more)
  t.equal(second.ready.portal, first.ready.portal)
  t.same(
    second.ready.volumes.map(({ name }) => name),
    ['v1', 'v2'],
  )
  await qemuIo(second.url('v2'), [writePattern(7, 0, 4 * 1024 * 1024)])
  t.equal(await second.stop({ keep: true }), 0)
  const fewer = await run(process.execPath, [
    ...[mainProgram, 'up', '--dir', directory, '--servers', '1'],
  ])
  t.equal(fewer.code, 1)
  t.match(fewer.stderr, /--servers 1: this directory has 2 servers/)
})

t.test('a killed child comes back; a killed `up` leaves nothing behind', async (t) => {
  const directory = await temporary(t)
  const cluster = await start(t, directory, ['--servers', '1', ...small, '--volume', 'v1=4MiB'])
  for (const { name, pid } of cluster.ready.processes) {
    process.kill(pid, 'SIGKILL')
    const back = new RegExp(`${name} serves again`)
    await until(() => back.test(cluster.process.stderr), `${name} does not come back`)
    t.match(cluster.process.stderr, new RegExp(`${name} ended \\(killed by SIGKILL\\)`), 'aloud')
  }
  await qemuIo(cluster.url('v1'), [writePattern(9, 0, 65_536), readPattern(9, 0, 65_536)])
  const back = cluster.process.stderr.matchAll(/serves again \(pid (\d+)\)/g)
  const running = [...back].map((match) => Number(match[1]))
  t.equal(running.length, cluster.ready.processes.length)
  t.ok(running.every(alive), 'all run')
  cluster.process.kill('SIGKILL')
  await cluster.process.exited
  await until(() => !running.some(alive), 'children outlive their supervisor')
  t.pass('no child is left')
})

t.test('for people: how to attach', async (t) => {
  const directory = await temporary(t)
  const args = ['up', '--dir', directory, '--servers', '1', ...small, '--volume', 'v1=4MiB']
  const up = new PalisadeProcess(args)
  t.teardown(() => up.stop())
  await up.output(/libiscsi/, 60_000)
  for (const tool of [/iscsiadm -m discovery/, /New-IscsiTargetPortal/, /qemu-img info iscsi:/]) {
    t.match(up.stdout, tool)
  }
  const status = await run(process.execPath, [mainProgram, 'status', '--dir', directory])
  t.equal(status.code, 0)
  t.match(status.stdout, /server-1 +ok/)
  t.equal(await up.stop(), 0)
})
