/** Schedules of sessions that once mattered: what was sent before lands after what was sent again. */
import t from 'tap'
import { watchConnection } from '../checks/connection-check.ts'
import type { Cluster } from '../cluster/cluster.ts'
import { part } from '../themes/theme.ts'
import { portals, sound } from './steps.ts'

function resetPaths({ network }: Cluster): void {
  for (const host of portals) network.resetBetween('c1', host)
}

/** What initiators and the shim have to say to each other now comes later. */
function stallFront(cluster: Cluster, ms: number): void {
  for (const machine of cluster.initiatorMachines('c1')) {
    cluster.network.stallBetween(machine, 'c1', ms)
  }
}

/** What is done with user data from now on may take so long. */
function late({ servers }: Cluster, ms: number): void {
  for (const { disk } of servers) disk.faults.lateMs = ms
}

await t.test('a login that was long on its way does not end its successor', (t) =>
  sound(t, { patienceMs: 300 }, async (script) => {
    const { cluster, initiator } = script
    const { network, shims, world } = cluster
    await initiator.write(0)
    const beganMs = world.nowMs
    part(cluster, ['c1'], portals, 230)
    network.stallNext('c1', ['ma'], { skip: 1, ms: 1_500 })
    resetPaths(cluster)
    await script.pass(100)
    const write = initiator.write(0)
    for (const shim of shims) {
      cluster.history.add({ what: 'front-gone', client: shim.name, atMs: world.nowMs })
      shim.machine.losePower()
      await script.pass(100)
      shim.machine.powerOn()
      shim.start()
    }
    await write
    await script.pass(beganMs + 1_400 - world.nowMs)
    watchConnection(cluster, 'c1', [...portals, 'ma'])
    await script.pass(500)
    await initiator.read(0)
  }),
)

for (const { name, frontPortals, stuckMs } of [
  { name: 'at the same portal', frontPortals: 1, stuckMs: 1_500 },
  { name: 'at another portal', frontPortals: 2, stuckMs: 3_000 },
]) {
  const plan = { newIsids: 1, patienceMs: 300, frontPortals, loadMs: 6_000 }
  await t.test(`an initiator comes back under another ISID, ${name}`, (t) =>
    sound(t, plan, async (script) => {
      const { cluster, initiator } = script
      await initiator.write(0)
      stallFront(cluster, stuckMs)
      await initiator.write(0)
      await initiator.write(0)
      await script.pass(stuckMs)
      await initiator.read(0)
    }),
  )
}

await t.test('an abort is answered when the write can not land any more', (t) =>
  sound(t, { patienceMs: 60, aborts: 1 }, async (script) => {
    const { cluster, initiator } = script
    await initiator.write(0)
    late(cluster, 1_500)
    const writes = [1, 2, 3, 4].map(() => initiator.write(0))
    await script.pass(5)
    late(cluster, 0)
    await Promise.all(writes)
    await initiator.write(0)
    await script.pass(1_500)
    await initiator.read(0)
  }),
)

await t.test('a COMPARE AND WRITE happens once, though its answer was lost', (t) =>
  sound(t, {}, async (script) => {
    const { cluster, initiator } = script
    await initiator.write(0)
    late(cluster, 300)
    const compare = initiator.compareAndWrite(0)
    await script.pass(10)
    resetPaths(cluster)
    await compare
    late(cluster, 0)
    await initiator.read(0)
    await initiator.compareAndWrite(0)
    await initiator.read(0)
  }),
)

await t.test('a session is lost while what began under it is at a slow disk', (t) =>
  sound(t, {}, async (script) => {
    const { cluster, initiator } = script
    await initiator.write(0)
    late(cluster, 1_000)
    const writes = [1, 2, 3, 4].map(() => initiator.write(0))
    await script.pass(5)
    late(cluster, 0)
    resetPaths(cluster)
    await Promise.all(writes)
    await initiator.write(0)
    await script.pass(1_000)
    await initiator.read(0)
  }),
)
