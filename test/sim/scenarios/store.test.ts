/** Schedules of the page store that once mattered: new owners of pages, losses of what was not flushed. */
import t from 'tap'
import type { SimServer } from '../cluster/sim-server.ts'
import { managers, part } from '../themes/theme.ts'
import { pageBlocks, sound } from './steps.ts'

/** As many pages as the volume has: a page that gets one takes it from another. */
const full = { capacityPages: 4 }
const four = [0, 1, 2, 3].map((page) => page * pageBlocks)

function rebooted(server: SimServer): void {
  server.machine.losePower()
  server.machine.powerOn()
  server.start()
}

await t.test('a flush fails while another initiator reads', (t) =>
  sound(t, { initiators: 2 }, async ({ cluster, initiator, reader }) => {
    const [{ disk }] = cluster.servers as [SimServer]
    await reader.write(0)
    await initiator.write(pageBlocks)
    disk.faults.failingFlushes = 1
    disk.faults.lateMs = 50
    await Promise.all([initiator.flush(), reader.read(0), reader.read(0), reader.read(0)])
    disk.faults.lateMs = 0
    await reader.read(0)
  }),
)

await t.test('a store is opened again, and no manager hears of it', (t) =>
  sound(t, { initiators: 2 }, async (script) => {
    const { cluster, initiator, reader } = script
    const [{ disk, name }] = cluster.servers as [SimServer]
    await initiator.read(0)
    await reader.write(0)
    part(cluster, [name], managers, 600)
    disk.faults.failingFlushes = 1
    await initiator.flush()
    await reader.read(0)
    await reader.flush()
  }),
)

await t.test('the power is lost before a flush has covered that a page has a new owner', (t) =>
  sound(t, full, async (script) => {
    const { cluster, initiator } = script
    const [server] = cluster.servers as [SimServer]
    for (const lba of four) await initiator.write(lba)
    await initiator.flush()
    await initiator.freePage(0)
    await initiator.freePage(pageBlocks)
    await initiator.write(pageBlocks)
    rebooted(server)
    for (const lba of four) await initiator.read(lba)
  }),
)

await t.test('a page gets a new owner while its former content is still being read', (t) =>
  sound(t, full, async (script) => {
    const { cluster, initiator } = script
    const [{ disk }] = cluster.servers as [SimServer]
    for (const lba of four) await initiator.write(lba)
    disk.faults.lateMs = 600
    const reads = [1, 2, 3].map(() => initiator.read(0))
    await script.pass(5)
    disk.faults.lateMs = 0
    await initiator.freePage(0)
    await initiator.freePage(pageBlocks)
    await initiator.write(pageBlocks)
    await Promise.all(reads)
  }),
)

await t.test('the power is lost with what no flush covered, and its writer flushes', (t) =>
  sound(t, {}, async (script) => {
    const { cluster, initiator } = script
    const [server] = cluster.servers as [SimServer]
    await initiator.write(0)
    await initiator.flush()
    await initiator.write(0)
    await initiator.write(pageBlocks)
    rebooted(server)
    await initiator.read(0)
    await initiator.read(pageBlocks)
    await initiator.flush()
  }),
)
