/**
 * A sanitize operation of a volume, in a whole cluster in memory with two shims: known at both,
 * carried on by the one that is restarted, and taken over from one that is cut off, whose late
 * writes touch nothing. SBC-3 4.11.
 */
import t, { type Test } from 'tap'
import { describe, type Initiator } from '../../support/initiator.ts'
import { MemoryCluster } from '../../support/memory-cluster.ts'
import { otherClient } from '../../support/volume-maps.ts'

const mib = 1024 * 1024
const blocks = (4 * mib) / 512
const inProgress = 'sense 2/4/1b'
const patternStamp = 0x61626364
t.setTimeout(170_000)

async function started(t: Test) {
  const cluster = await MemoryCluster.start({
    servers: 2,
    volumes: [{ name: 'v', sizeBytes: 4 * mib, stripe: 2 }],
  })
  t.teardown(() => cluster.stop())
  const second = await cluster.addShim(otherClient)
  const a = await cluster.attach('v', { name: 'a' })
  const b = await cluster.attach('v', { name: 'b', address: second.portal })
  const run = async (task: { answer: Promise<Parameters<typeof describe>[0]> }) =>
    describe(await cluster.run(task.answer))
  return { cluster, a, b, run }
}

/** OVERWRITE with IMMED: 31 passes take the better part of a second, as the paces go. */
function overwrite({ leg }: Initiator) {
  const list = Buffer.concat([Buffer.from([31, 0, 0, 4]), Buffer.from('abcd')])
  const cdb = Buffer.from([0x48, 0x81, 0, 0, 0, 0, 0, 0, list.length, 0])
  return leg.submit({ lun: 0, cdb, dataOut: [list] })
}

/** The progress that REQUEST SENSE tells; undefined: nothing is under way. */
async function progress(cluster: MemoryCluster, { leg }: Initiator): Promise<number | undefined> {
  const cdb = Buffer.from([0x03, 0, 0, 0, 252, 0])
  const answer = await cluster.run(leg.submit({ lun: 0, cdb, dataInBytes: 252 }).answer)
  if (answer.kind !== 'status') throw new Error(answer.kind)
  const sense = Buffer.concat(answer.dataIn)
  return sense[12] === 0x04 && sense[13] === 0x1b ? sense.readUInt16BE(16) : undefined
}

async function untilDone(cluster: MemoryCluster, who: Initiator): Promise<void> {
  await cluster.until(async () => (await progress(cluster, who)) === undefined, 200_000)
}

t.test('it is under way at every front end, and over at every front end', async (t) => {
  const { cluster, a, b, run } = await started(t)
  t.equal(await run(b.write(0, 1024, 7)), 'good')
  const first = overwrite(a)
  t.equal(await run(first), 'good')
  await cluster.pass(2)
  for (const who of [a, b]) {
    t.equal(await run(who.write(0, 8, 9)), inProgress)
    t.equal(await run(who.testUnitReady()), inProgress)
    t.equal(await run(overwrite(who)), inProgress)
  }
  await cluster.until(async () => ((await progress(cluster, b)) ?? 0xffff) > 0x8000)
  await untilDone(cluster, b)
  t.equal(await run(b.testUnitReady()), 'good')
  t.ok((await cluster.run(b.read(0, blocks))).every((stamp) => stamp === patternStamp))
  t.equal(await run(a.write(0, 8, 9)), 'good')
})

t.test('a shim that is restarted carries it on from where it was', async (t) => {
  const { cluster, a, b, run } = await started(t)
  t.equal(await run(a.write(0, blocks, 7)), 'good')
  t.equal(await run(overwrite(a)), 'good')
  await cluster.until(async () => ((await progress(cluster, b)) ?? 0) > 0x2000)
  await cluster.run(cluster.shim.stop(0))
  const left = (await progress(cluster, b)) ?? 0
  await cluster.pass(3_000)
  t.equal(await progress(cluster, b), left, 'nobody carries it on meanwhile')
  t.equal(await run(b.write(0, 8, 9)), inProgress)
  await cluster.startShim()
  await cluster.pass(20)
  t.ok(((await progress(cluster, b)) ?? 0) >= left, 'it does not begin anew')
  const again = await cluster.attach('v', { name: 'a' })
  t.equal(await run(again.testUnitReady()), inProgress)
  await untilDone(cluster, b)
  t.ok((await cluster.run(b.read(0, blocks))).every((stamp) => stamp === patternStamp))
})

t.test('another takes it over from one that is cut off, and that one writes no more', async (t) => {
  const { cluster, a, b, run } = await started(t)
  t.equal(await run(overwrite(a)), 'good')
  await cluster.until(async () => ((await progress(cluster, b)) ?? 0) > 0x2000)
  cluster.rpc.cut('shim-1', true)
  await cluster.pass(2_000)
  t.equal(await run(b.write(0, 8, 9)), inProgress)
  await untilDone(cluster, b)
  t.equal(await run(b.write(0, 1024, 9)), 'good')
  cluster.rpc.cut('shim-1', false)
  await cluster.pass(3_000)
  t.equal(await run(a.testUnitReady()), 'good')
  const stamps = await cluster.run(a.read(0, 1025))
  t.ok(
    stamps.slice(0, 1024).every((stamp) => stamp === 9),
    'what came after it stands',
  )
  t.equal(stamps[1024], patternStamp)
})

t.test('it goes on when its initiator has left', async (t) => {
  const { cluster, a, b, run } = await started(t)
  t.equal(await run(overwrite(a)), 'good')
  await a.leg.close()
  await cluster.pass(50)
  const left = (await progress(cluster, b)) ?? 0xffff
  await cluster.until(async () => ((await progress(cluster, b)) ?? 0xffff) > left)
  await untilDone(cluster, b)
  t.ok((await cluster.run(b.read(0, blocks))).every((stamp) => stamp === patternStamp))
})
