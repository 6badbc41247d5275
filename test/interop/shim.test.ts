/**
 * Stock clients against volumes through the shim: striped, and linear over several servers, each
 * grown once, with writes across every segment and stripe boundary; and what initiators see when a
 * volume grows, gives blocks back, or is deleted while it is in use.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { nodeClock } from '../../src/adapters/node-clock.ts'
import { NodeNetwork } from '../../src/adapters/node-network.ts'
import type { Leg } from '../../src/leg/leg.ts'
import { openLeg } from '../../src/leg/open-leg.ts'
import { decodeSense } from '../../src/scsi/sense-format.ts'
import { Capture } from '../support/capture.ts'
import { Cluster } from '../support/cluster.ts'
import { initiatorSuite, type SuiteDisk } from '../support/initiator-suite.ts'
import { qemuImgBench, qemuIo, readPattern, writePattern } from '../support/qemu-io.ts'
import { quietLog } from '../support/quiet-log.ts'

const MIB = 1024 * 1024

/** What `volume show --json` prints, as far as it matters here. */
interface ShownVolume {
  readonly iqn: string
  readonly blockSize: number
  readonly blocks: number
  readonly segments: readonly {
    readonly start: number
    readonly blocks: number
    readonly stripe?: { readonly index: number; readonly unitBlocks: number }
  }[]
}

t.setTimeout(240_000)

let cluster: Cluster
const urlOf = (iqn: string): string => `iscsi://${cluster.ready.portal}/${iqn}/0`

async function show(name: string): Promise<ShownVolume> {
  return (await cluster.verb(['volume', 'show', name])) as ShownVolume
}

/** Where the next server or the next stripe unit begins. */
function boundariesOf({ segments, blockSize, blocks }: ShownVolume): number[] {
  const at = new Set<number>()
  for (const { start, blocks: length, stripe } of segments) {
    const step = stripe?.unitBlocks ?? length
    for (let block = start; block < start + length; block += step) at.add(block)
  }
  return [...at]
    .filter((block) => block > 0 && block < blocks)
    .sort((left, right) => left - right)
    .map((block) => block * blockSize)
}

async function diskOf(name: string): Promise<SuiteDisk> {
  const shown = await show(name)
  const bytes = shown.blocks * shown.blockSize
  return { name, thin: true, url: urlOf(shown.iqn), bytes, boundaries: boundariesOf(shown) }
}

/** Sessions that initiators have had with a volume, as the shim logged them. */
async function sessionsOpened(volume: string): Promise<number> {
  const log = await readFile(join(cluster.directory, 'logs', 'shim.log'), 'utf8')
  return log
    .split('\n')
    .filter((line) => line.includes('"session opened"') && line.includes(`palisade:${volume}"`))
    .length
}

/** A session of an initiator with a name of its own. */
async function attach(t: Test, iqn: string): Promise<Leg> {
  const opening = await openLeg({
    network: new NodeNetwork(quietLog),
    clock: nodeClock,
    address: cluster.ready.portal,
    targetName: iqn,
    initiatorName: 'iqn.2026-11.example:attached',
    isid: Buffer.from('400001370001', 'hex'),
  })
  if (opening.kind !== 'open') throw new Error(`no session: ${opening.cause}`)
  t.teardown(() => opening.leg.close())
  return opening.leg
}

/** Status, or key/ASC/ASCQ, of a command. */
async function ask(leg: Leg, cdb: Buffer, dataInBytes?: number): Promise<string> {
  const answer = await leg.submit({ lun: 0, cdb, dataInBytes }).answer
  if (answer.kind !== 'status') return answer.kind
  const sense = answer.sense === undefined ? undefined : decodeSense(answer.sense)
  if (sense === undefined) return `status ${answer.status}`
  return [sense.key, sense.asc, sense.ascq].map((code) => code.toString(16)).join('/')
}

const testUnitReady = Buffer.alloc(6)
const readFirstBlock = Buffer.from('28000000000000000100', 'hex')

/** Takes the conditions that wait for a new session. */
async function settle(leg: Leg): Promise<void> {
  while ((await ask(leg, testUnitReady)).startsWith('6/'));
}

t.test('volumes through the shim', async (t) => {
  cluster = await Cluster.start(['--servers', '3', '--capacity', '256MiB'])
  t.teardown(() => cluster.stop())
  const front = await Capture.start([cluster.ready.portal])
  t.teardown(() => front.discard())
  const legs = await Capture.start(cluster.iscsiPortals.filter((at) => at !== cluster.ready.portal))
  t.teardown(() => legs.discard())

  t.test('a striped volume with a second stripe set', async (t) => {
    // The first set ends within a stripe unit, and its last row is short.
    await cluster.verb([
      'volume',
      'create',
      'striped',
      '--size',
      `${4 * MIB + 86_016}`,
      '--stripe=3',
    ])
    await cluster.verb(['volume', 'grow', 'striped', '--size', `${7 * MIB + 512}`])
    const disk = await diskOf('striped')
    const { segments } = await show('striped')
    t.equal(segments.length, 6, 'two sets of three columns')
    t.ok(disk.boundaries.includes(4 * MIB + 86_016), 'the second set begins within a unit')
    await initiatorSuite(t, disk)
  })

  t.test('a linear volume of three segments', async (t) => {
    const parts = ['--partition', 'server-1=3MiB', '--partition', 'server-2=2560KiB']
    await cluster.verb(['volume', 'create', 'linear', '--size', '5632KiB', ...parts])
    await cluster.verb(['volume', 'grow', 'linear', '--size', '9MiB'])
    const disk = await diskOf('linear')
    t.same(disk.boundaries, [3 * MIB, 5632 * 1024])
    await initiatorSuite(t, disk)
  })

  t.test('what is discarded reads as zeros, and its neighbours as before', async (t) => {
    await cluster.verb(['volume', 'create', 'holes', '--size', '8MiB', '--stripe', '3'])
    const { url } = await diskOf('holes')
    await qemuIo(url, [writePattern(0x77, 0, 8 * MIB)])
    await qemuIo(url, [`discard ${MIB} ${3 * MIB}`, `discard ${5 * MIB} 4096`], { unmap: true })
    await qemuIo(url, [
      readPattern(0x77, 0, MIB),
      readPattern(0, MIB, 3 * MIB),
      readPattern(0x77, 4 * MIB, MIB),
      readPattern(0, 5 * MIB, 4096),
      readPattern(0x77, 5 * MIB + 4096, 3 * MIB - 4096),
    ])
    t.pass()
  })

  t.test('growing raises a unit attention, once', async (t) => {
    await cluster.verb(['volume', 'create', 'grows', '--size', '2MiB', '--stripe', '2'])
    const leg = await attach(t, (await show('grows')).iqn)
    await settle(leg)
    await cluster.verb(['volume', 'grow', 'grows', '--size', '3MiB'])
    const { blocks } = await show('grows')
    t.equal(blocks, 6144)
    // The manager answers when all have confirmed, and tells the watching shim then.
    const lastBlock = Buffer.from(readFirstBlock)
    lastBlock.writeUInt32BE(blocks - 1, 2)
    let said = await ask(leg, testUnitReady)
    while (said === 'status 0') said = await ask(leg, testUnitReady)
    t.equal(said, '6/2a/9', 'CAPACITY DATA HAS CHANGED')
    t.equal(await ask(leg, testUnitReady), 'status 0')
    t.equal(await ask(leg, lastBlock, 512), 'status 0', 'the new blocks are there')
  })

  t.test('deleting a volume that is in use', async (t) => {
    await cluster.verb(['volume', 'create', 'used', '--size', '2MiB', '--stripe', '2'])
    const { iqn } = await show('used')
    const leg = await attach(t, iqn)
    await settle(leg)
    t.equal(await ask(leg, readFirstBlock, 512), 'status 0')
    await t.rejects(
      cluster.verb(['volume', 'delete', 'used']),
      /exit [1-9][\s\S]*in use/,
      'refused',
    )
    t.equal(await ask(leg, readFirstBlock, 512), 'status 0', 'it goes on')
    await cluster.verb(['volume', 'delete', 'used', '--force'])
    let said = await ask(leg, readFirstBlock, 512)
    while (said === 'status 24') said = await ask(leg, readFirstBlock, 512)
    t.equal(said, '5/25/0', 'LOGICAL UNIT NOT SUPPORTED')
    await t.rejects(cluster.verb(['volume', 'show', 'used']), /exit [1-9]/, 'it is gone')
    t.notMatch(JSON.stringify(await cluster.verb(['volume', 'list'])), iqn)
  })

  t.test('large writes, also after a silence, break no session off', async (t) => {
    await cluster.verb(['volume', 'create', 'large', '--size', '32MiB', '--stripe', '3'])
    const { url } = await diskOf('large')
    const opened = await sessionsOpened('large')
    await qemuImgBench({
      ...{ url, count: 200, depth: 32, write: true },
      ...{ sizeBytes: MIB, stepBytes: MIB },
    })
    // So long that the proof of the initiator's life is too old when the data are on their way.
    const burst = Array.from({ length: 24 }, (_, i) => `aio_write -P ${i + 1} ${i}M 1M`)
    await qemuIo(url, ['write 0 4096', 'sleep 2500', ...burst, 'aio_flush'])
    t.equal((await sessionsOpened('large')) - opened, 2, 'one session for each program')
    await qemuIo(
      url,
      burst.map((_, i) => readPattern(i + 1, i * MIB, MIB)),
    )
  })

  t.test('as tshark sees it', async (t) => {
    // The suite has tests that send what no initiator should.
    await front.check(t, { wrongRequests: true })
    const { relievedDataOuts } = await legs.check(t)
    t.ok(relievedDataOuts > 0, 'data with a generation header were among it')
  })

  t.test('all programs end cleanly', async (t) => {
    t.equal(await cluster.stop(), 0)
  })
})
