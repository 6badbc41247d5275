/**
 * Real processes: a manager and storage servers, stock initiators over the management path, and
 * the manager killed in the middle of changes.
 */
import t from 'tap'
import { clientIqn } from '../../src/volume/names.ts'
import { HandCluster } from '../support/hand-cluster.ts'
import { iscsiInq } from '../support/libiscsi.ts'
import { run } from '../support/palisade-process.ts'
import { testUuid } from '../support/volume-maps.ts'

const mib = 1024 * 1024
const deadlineMs = 10_000
t.setTimeout(120_000)

function volume(name: string, stripe: number) {
  const placement = { sizeBytes: 8 * mib, stripe, partitions: [] }
  return { name, ...placement, stalePolicy: 'reject', holdMs: 0, leaseMs: 0 } as const
}

/** What each server says of the volume. */
async function held(cluster: HandCluster, volumeId: string) {
  const told = await Promise.all(cluster.servers.map((server) => cluster.describe(server)))
  return told.map(({ volumes }) => volumes.find((each) => each.volumeId === volumeId))
}

await t.test('a manager and its servers', async (t) => {
  const cluster = await HandCluster.start({ servers: 2 })
  t.teardown(() => cluster.stop())
  const { map } = await cluster.admin.createVolume(volume('v', 2), deadlineMs)
  const { volumeId } = map
  /** How long a whole one takes here, at worst. */
  let fenceMs = 0

  await t.test('stock initiators over the management path', async (t) => {
    const { stdout: list } = await run('iscsi-ls', [`iscsi://${cluster.path}/`])
    for (const server of ['s1', 's2']) {
      t.match(list, new RegExp(`Target:iqn.2026-11.io.palisade:${server}:v Portal:${cluster.path}`))
    }
    const url = `iscsi://${cluster.path}/iqn.2026-11.io.palisade:s2:v/0`
    t.match(await iscsiInq(url), /Vendor:PALISADE/, 'answered by the storage server itself')
    await t.rejects(
      iscsiInq(`iscsi://${cluster.path}/iqn.2026-11.io.palisade:s2:w/0`),
      /not found/i,
    )
    const { relayedConnectionsTotal } = await cluster.admin.status({}, deadlineMs)
    t.ok(relayedConnectionsTotal >= 1, 'and counted')
  })

  await t.test('fencing and admitting shuts clients out for a moment only', async (t) => {
    const request = { volume: 'v', client: clientIqn(testUuid(1)) }
    for (let i = 0; i < 15; i += 1) {
      const startMs = performance.now()
      const fenced = await cluster.admin.fence(request, deadlineMs)
      fenceMs = Math.max(fenceMs, performance.now() - startMs)
      const told = await held(cluster, volumeId)
      t.ok(told.every((each) => each?.serving && each.generation === fenced.map.generation))
      await cluster.admin.admit(request, deadlineMs)
    }
    const { shutOut } = await cluster.admin.status({}, deadlineMs)
    t.equal(shutOut.changes, 30)
    t.comment(`longest ${shutOut.maxMs.toFixed(1)} ms, mean ${shutOut.totalMs / shutOut.changes}`)
  })

  await t.test('killed inside a change: one outcome, and open again', async (t) => {
    let happened = 0
    let longestMs = 0
    const rounds = 12
    for (let round = 0; round < rounds; round += 1) {
      const client = clientIqn(testUuid(100 + round))
      const fence = cluster.admin.fence({ volume: 'v', client }, deadlineMs)
      const answered = fence.then(
        () => true,
        () => false,
      )
      // From before the first close to after the last activate.
      await after((round * 2 * fenceMs) / rounds)
      cluster.manager.kill('SIGKILL')
      const wasAnswered = await answered
      await cluster.manager.exited
      await cluster.startManager()
      const backMs = performance.now()
      const { map } = await cluster.admin.showVolume({ name: 'v' }, deadlineMs)
      const isFenced = map.admissions.some((each) => each.client === client && each.fenced)
      if (isFenced) happened += 1
      t.ok(isFenced || !wasAnswered, 'what was answered has happened')
      for (;;) {
        const told = await held(cluster, volumeId)
        const open = told.every((each) => each?.serving && each.generation === map.generation)
        const tookMs = performance.now() - backMs
        longestMs = Math.max(longestMs, tookMs)
        if (open) break
        if (tookMs > 5_000) {
          t.fail(`round ${round}: not open after ${tookMs} ms: ${JSON.stringify(told)}`)
          break
        }
        await after(10)
      }
    }
    t.ok(longestMs < 2_000, `open within two seconds of its return: ${longestMs.toFixed(0)} ms`)
    t.ok(happened > 0 && happened < rounds, `${happened} of ${rounds} had been decided`)
  })
})

/** Real time, for real processes. */
function after(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
