/**
 * Gateways send logins on to one another, and libiscsi follows: initiators that know one portal are
 * spread over both, a second session of one initiator ends at the other gateway, and an initiator with
 * a single path goes on, without an error, when the gateway that it works through is stopped.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { volumeIqn } from '../../src/volume/names.ts'
import { HandCluster, type HandShim } from '../support/hand-cluster.ts'
import { iscsiLs } from '../support/libiscsi.ts'
import { run } from '../support/palisade-process.ts'
import { QemuWriter } from '../support/qemu-writer.ts'

const MIB = 1024 * 1024
const volume = 'data'
const deadlineMs = 30_000
const writtenWithinMs = 60_000
/** A gateway that was started again is heard of, and its map is known. */
const knownMs = 1_500
t.setTimeout(300_000)

async function started(t: Test) {
  const cluster = await HandCluster.start({ servers: 1, logLevel: 'info' })
  t.teardown(() => cluster.stop())
  const policies = { stripe: 0, stalePolicy: 'reject', holdMs: 0, leaseMs: 0 } as const
  const request = { name: volume, sizeBytes: 64 * MIB, partitions: [], ...policies }
  await cluster.admin.createVolume(request, deadlineMs)
  const one = await cluster.startShim('one', 'gateway')
  const two = await cluster.startShim('two', 'gateway')
  const deadline = Date.now() + deadlineMs
  while (!(await iscsiLs(one.portal)).includes(two.portal)) {
    if (Date.now() > deadline) throw new Error('the gateways do not know one another')
  }
  return { cluster, one, two, sessions: (at: HandShim) => cluster.front(at, volume) }
}

/** A lasting session of a stock initiator that knows this portal only. */
async function writer(t: Test, { portal }: HandShim, name: string, index = 0): Promise<QemuWriter> {
  const file = {
    ...{ driver: 'iscsi', transport: 'tcp', portal, target: volumeIqn(volume), lun: 0 },
    'initiator-name': initiatorNamed(name),
  }
  const found = await QemuWriter.open({
    url: `json:${JSON.stringify({ file })}`,
    ...{ offsetBytes: index * 2 * MIB, slots: 16, slotBytes: 8 * 1024, verifies: true, restMs: 2 },
  })
  t.teardown(() => found.close())
  return found
}

const initiatorNamed = (name: string): string => `iqn.2026-11.example:${name}`

/** Resolves when it has acknowledged so many more writes. */
async function written(one: QemuWriter, more: number): Promise<void> {
  const goal = one.acknowledgedWrites + more
  const deadline = Date.now() + writtenWithinMs
  while (one.acknowledgedWrites < goal) {
    if (Date.now() > deadline) throw new Error(`not written: ${one.errors.join(', ')}`)
    await sleep(5)
  }
}

t.test('initiators that know one portal are spread over both gateways', async (t) => {
  const { one, two, sessions } = await started(t)
  for (let i = 0; i < 8; i++) {
    const each = await writer(t, one, `h${i}`, i)
    t.match(await each.command('write -P 7 0 8k'), /^wrote 8192\/8192/m)
  }
  const counts = [(await sessions(one)).sessions, (await sessions(two)).sessions] as const
  t.comment(`sessions: ${counts.join(' and ')}`)
  t.equal(counts[0] + counts[1], 8)
  t.ok(Math.abs(counts[0] - counts[1]) <= 3, counts.join(' and '))
})

t.test('two sessions of one initiator, both asked for at one gateway', async (t) => {
  const { one, two, sessions } = await started(t)
  await writer(t, one, 'h')
  t.equal((await sessions(one)).sessions, 1)
  const url = `iscsi://${one.portal}/${volumeIqn(volume)}/0`
  const second = await run('iscsi-inq', ['-i', initiatorNamed('h'), url])
  t.match(second, { code: 0, stdout: /DIRECT_ACCESS/ }, second.stderr)
  const opened = /session opened.*/
  const said = two.process.stdout + two.process.stderr
  t.ok(said.split('\n').some((line) => opened.test(line) && line.includes(initiatorNamed('h'))))
})

t.test('a gateway is stopped under an initiator with one path', async (t) => {
  const { cluster, one, two, sessions } = await started(t)
  const load = await writer(t, one, 'h')
  load.start()
  let [at, next] = [one, two]
  for (const round of [1, 2]) {
    await written(load, 20)
    t.equal((await sessions(at)).sessions, 1, `round ${round}: it works there`)
    const before = load.latenciesMs.length
    const startMs = Date.now()
    at.process.kill('SIGTERM')
    t.equal(await at.process.exited, 0, 'an orderly end')
    const stopMs = Date.now() - startMs
    await written(load, 20)
    const stallMs = Math.max(...load.latenciesMs.slice(before))
    t.comment(`round ${round}: stopped in ${stopMs} ms, the longest command took ${stallMs} ms`)
    t.equal((await sessions(next)).sessions, 1, 'it goes on through the other one')
    await cluster.restartShim(at)
    await sleep(knownMs)
    ;[at, next] = [next, at]
  }
  await load.stop()
  t.same(load.errors, [])
  t.same(load.stale, [])
  t.same(await load.verify(), [])
})
