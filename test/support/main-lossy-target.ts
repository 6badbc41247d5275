/**
 * The storage server of a machine that loses its power again and again: unflushed writes live in
 * this process only. At SIGUSR2 the power fails: from that instant no disk answers, any part of
 * what was not flushed reaches the files, its connections are cut, and after another boot a new
 * server starts on the files and portals, in the same process to save its start. SIGKILL loses everything
 * that was not flushed. At SIGHUP the disk is pulled out, or how often it was missed since is told. Takes the
 * arguments of `palisade target`. PALISADE_TEST_SEED chooses what is lost, PALISADE_TEST_FAIL_FLUSH
 * the flush that fails in the first life, counted from 1.
 */
import { randomUUID } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { GrpcRpc } from '../../src/adapters/grpc-rpc.ts'
import { openLmdb } from '../../src/adapters/lmdb-key-value.ts'
import { NodeBlockFiles } from '../../src/adapters/node-block-files.ts'
import { nodeClock } from '../../src/adapters/node-clock.ts'
import { nodeDigest } from '../../src/adapters/node-digest.ts'
import { NodeNetwork } from '../../src/adapters/node-network.ts'
import { nodeRandom } from '../../src/adapters/node-random.ts'
import { pinoLog } from '../../src/adapters/pino-log.ts'
import { serverIdentity } from '../../src/cli/server-identity.ts'
import { parseSize } from '../../src/cli/size.ts'
import type { KeyValue } from '../../src/ports/key-value.ts'
import { StorageServer } from '../../targets/storage-server.ts'
import { FaultPlan } from './fault-plan.ts'
import { LossyBlockFiles } from './lossy-block-files.ts'
import { MortalNetwork } from './mortal-network.ts'
import { seededFractions } from './seeded-random.ts'

const text = { type: 'string', default: '' } as const
const { values } = parseArgs({
  allowPositionals: true,
  options: {
    name: text,
    dir: text,
    manager: text,
    control: text,
    capacity: text,
    'log-level': text,
    portal: { type: 'string', multiple: true, default: [] },
    json: { type: 'boolean' },
  },
})
const random = seededFractions(Number(process.env.PALISADE_TEST_SEED ?? '1'))
const log = pinoLog({ level: values['log-level'], fields: { program: 'lossy server' } })

await mkdir(values.dir, { recursive: true })
const serverId = await serverIdentity(values.dir, values.name)
const records = await openLmdb(join(values.dir, 'volumes.lmdb'))
const metadata = await openLmdb(join(values.dir, 'meta.lmdb'))
/** The disks of the life that is lived. */
let disks: { readonly plan: FaultPlan; readonly files: LossyBlockFiles } | undefined
process.once('SIGPWR', () => {
  disks?.plan.stop()
  Promise.resolve(disks?.files.crash()).then(() => process.exit(0), fail)
})
const failing = process.env.PALISADE_TEST_FAIL_FLUSH
await live(failing === undefined ? {} : { failFlushAt: Number(failing) })

/** One life, from boot to the loss of power. */
async function live(faults: { readonly failFlushAt?: number }): Promise<void> {
  const plan = new FaultPlan({ random, ...faults })
  const files = new LossyBlockFiles(new NodeBlockFiles(values.dir), plan)
  process.on('SIGHUP', () => {
    plan.unplug()
    console.log(JSON.stringify({ refused: plan.refused }))
  })
  disks = { plan, files }
  const powerLost = new Promise<void>((resolve) => process.once('SIGUSR2', () => resolve()))
  const network = new MortalNetwork(new NodeNetwork(log))
  const server = await StorageServer.start(
    {
      clock: nodeClock,
      log,
      network,
      rpc: new GrpcRpc(),
      records: mortal(records, plan),
      digest: nodeDigest,
      store: {
        files,
        metadata: mortal(metadata, plan),
        random: nodeRandom,
        bootId: randomUUID(),
        capacityBytes: parseSize(values.capacity, { field: '--capacity', multipleOfBytes: 1 }),
      },
    },
    {
      ...{ serverId, name: values.name, manager: values.manager, version: 'test' },
      portals: values.portal.map(portalOf),
      control: { listen: values.control },
      processId: randomUUID(),
    },
  )
  const iscsi = server.portals.map((address) => ({ kind: 'iscsi', address }))
  const portals = [...iscsi, { kind: 'grpc', address: server.control }]
  console.log(JSON.stringify({ ready: true, pid: process.pid, portals }))
  const next = powerLost.then(async () => {
    plan.stop()
    await network.cut()
    // Its operations never end.
    server.stop(0).catch(fail)
    await files.crash()
    await live({})
  })
  next.catch(fail)
}

/** A store of which nothing is heard any more once the power is lost; what it holds is durable. */
function mortal(store: KeyValue, plan: FaultPlan): KeyValue {
  return {
    get: (key) => store.get(key),
    range: (prefix) => store.range(prefix),
    transact: async (transaction) => {
      await plan.before('transact')
      const applied = await store.transact(transaction)
      await plan.after()
      return applied
    },
    close: () => Promise.resolve(),
  }
}

/** `LISTEN` or `LISTEN=ADVERTISED`, as `palisade target` takes them. */
function portalOf(text: string): { listen: string; advertised?: string } {
  const [listen = '', advertised] = text.split('=')
  return advertised === undefined ? { listen } : { listen, advertised }
}

function fail(error: unknown): never {
  console.error(error)
  process.exit(1)
}
