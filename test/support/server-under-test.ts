/**
 * A real storage server process with a directory of its own, under a TestManager, and a disk of its
 * as a leg sees it. The process can be killed and started again on the same directory.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { nodeClock } from '../../src/adapters/node-clock.ts'
import { NodeNetwork } from '../../src/adapters/node-network.ts'
import type { Leg } from '../../src/leg/leg.ts'
import type { LegAnswer } from '../../src/leg/leg-command.ts'
import { openLeg } from '../../src/leg/open-leg.ts'
import { encodeGenerationHeader } from '../../src/volume/generation-header.ts'
import type { VolumeMap } from '../../src/volume/map.ts'
import { decodeRefusal } from '../../src/volume/refusal.ts'
import { PalisadeProcess } from './palisade-process.ts'
import { quietLog } from './quiet-log.ts'
import type { TestManager } from './test-manager.ts'
import { type TestServer, testClient, testMap, testSegment } from './volume-maps.ts'

export const legNetwork = new NodeNetwork(quietLog)
const isid = Buffer.from('800000500001', 'hex')

export interface ServerOptions {
  readonly manager: TestManager
  readonly name?: string
  readonly capacity?: string
  /** Another composition root than `palisade`, with its arguments before ours. */
  readonly root?: readonly string[]
  readonly env?: NodeJS.ProcessEnv
}

interface Ready {
  readonly portals: readonly { readonly kind: string; readonly address: string }[]
}

export class ServerUnderTest {
  readonly name: string
  readonly directory: string
  readonly #options: ServerOptions
  process!: PalisadeProcess
  #ready!: Ready

  private constructor(directory: string, options: ServerOptions) {
    this.name = options.name ?? 's1'
    this.directory = directory
    this.#options = options
  }

  static async start(options: ServerOptions): Promise<ServerUnderTest> {
    const directory = await mkdtemp(join(tmpdir(), 'palisade-server-'))
    const server = new ServerUnderTest(directory, options)
    try {
      await server.start()
    } catch (error) {
      await server.stop()
      throw error
    }
    return server
  }

  /** Starts a process on the directory; the ports are other ones each time. */
  async start(env: NodeJS.ProcessEnv = {}): Promise<void> {
    const { manager, capacity = '64MiB', root } = this.#options
    manager.servers.delete(this.name)
    const args = [
      ...['target', '--name', this.name, '--dir', join(this.directory, 'server')],
      ...['--manager', manager.address, '--control', '127.0.0.1:0', '--capacity', capacity],
      ...['--portal', '127.0.0.1:0', '--portal', '127.0.0.1:0', '--json', '--log-level', 'warn'],
    ]
    const environment = { ...process.env, ...this.#options.env, ...env }
    this.process = new PalisadeProcess(root === undefined ? args : [...root, ...args], {
      env: environment,
      ...(root === undefined ? {} : { program: process.execPath }),
    })
    const [line] = await this.process.output(/^\{.*"ready":true.*\}$/m)
    this.#ready = JSON.parse(line) as Ready
    await manager.registered(this.name)
  }

  /** The machine of a lossy root loses its power and boots again. */
  async losePower(): Promise<void> {
    const { process, name } = this
    const { manager } = this.#options
    process.stdout = ''
    manager.servers.delete(name)
    process.kill('SIGUSR2')
    const [line] = await process.output(/^\{.*"ready":true.*\}$/m)
    this.#ready = JSON.parse(line) as Ready
    await manager.registered(name, ({ server }) => server.portals.includes(this.portal))
  }

  get portals(): readonly string[] {
    return this.#ready.portals.flatMap(({ kind, address }) => (kind === 'iscsi' ? [address] : []))
  }

  get portal(): string {
    const [portal] = this.portals
    if (portal === undefined) throw new Error('no portal')
    return portal
  }

  /** As maps name it. */
  get facts(): TestServer {
    const registered = this.#options.manager.servers.get(this.name)?.server
    if (registered === undefined) throw new Error(`${this.name} has not registered`)
    const { serverId, name, storeIncarnation } = registered
    return { serverId, name, incarnation: storeIncarnation, portals: this.portals }
  }

  /** Creates a volume of one segment here, of generation 5 unless the map says so. */
  async createVolume(blocks: number, changes: Partial<VolumeMap> = {}): Promise<VolumeMap> {
    const map = testMap({ segments: [testSegment(0x10, 0, blocks, [this.facts])], ...changes })
    await this.#options.manager.activate(this.name, map)
    return map
  }

  /** Waits until the server serves the volume, at the map that its manager committed last. */
  async serving(volumeId: string): Promise<void> {
    await this.#options.manager.registered(this.name, ({ volumes }) =>
      volumes.some((volume) => volume.volumeId === volumeId && volume.serving),
    )
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    this.process.kill(signal)
    await this.process.exited
  }

  async connect(map: VolumeMap, initiatorName = testClient): Promise<FencedDisk> {
    const targetName = map.segments[0]?.replicas.find(({ server }) => server === this.name)?.iqn
    if (targetName === undefined) throw new Error(`${this.name} holds nothing of ${map.name}`)
    const opening = await openLeg({
      network: legNetwork,
      clock: nodeClock,
      address: this.portal,
      initiatorName,
      isid,
      targetName,
      fenced: { loginNumber: nodeClock.wallMs() },
    })
    if (opening.kind !== 'open') throw new Error(`no session: ${opening.cause}`)
    return new FencedDisk(opening.leg, map.generation)
  }

  async stop(): Promise<void> {
    if (this.process?.running) await this.process.stop()
    await rm(this.directory, { recursive: true, force: true })
  }
}

/** How a command ended: `good`, `lost`, `refused N` (ASCQ), or what the status says. */
export interface Ended {
  readonly how: string
  readonly data: Buffer
}

/** LUN 0 over a leg, with a generation that the test may change at any time, or none. */
export class FencedDisk {
  readonly leg: Leg
  generation: bigint | undefined

  constructor(leg: Leg, generation?: number) {
    this.leg = leg
    this.generation = generation === undefined ? undefined : BigInt(generation)
  }

  read(lba: number, blocks: number): Promise<Ended> {
    return this.#run(cdb16(0x88, lba, blocks), { dataInBytes: blocks * 512 })
  }

  write(lba: number, data: Buffer, options: { readonly fua?: boolean } = {}): Promise<Ended> {
    const cdb = cdb16(0x8a, lba, data.length / 512)
    if (options.fua) cdb[1] = 0x08
    return this.#run(cdb, { dataOut: [data] })
  }

  unmap(lba: number, blocks: number): Promise<Ended> {
    const list = Buffer.alloc(24)
    list.writeUInt16BE(22, 0)
    list.writeUInt16BE(16, 2)
    list.writeBigUInt64BE(BigInt(lba), 8)
    list.writeUInt32BE(blocks, 16)
    const cdb = Buffer.alloc(10)
    cdb[0] = 0x42
    cdb.writeUInt16BE(list.length, 7)
    return this.#run(cdb, { dataOut: [list] })
  }

  flush(): Promise<Ended> {
    return this.#run(cdb16(0x91, 0, 0), {})
  }

  close(): Promise<string> {
    this.leg.close()
    return this.leg.ended
  }

  async #run(
    cdb: Buffer,
    data: { readonly dataOut?: readonly Buffer[]; readonly dataInBytes?: number },
  ): Promise<Ended> {
    const { generation } = this
    const header = generation === undefined ? undefined : encodeGenerationHeader(generation, 0)
    return ended(await this.leg.submit({ lun: 0, cdb, header, ...data }).answer)
  }
}

function ended(answer: LegAnswer): Ended {
  const none = Buffer.alloc(0)
  if (answer.kind !== 'status') return { how: answer.kind, data: none }
  if (answer.status === 0) return { how: 'good', data: Buffer.concat(answer.dataIn) }
  const refusal = answer.sense === undefined ? undefined : decodeRefusal(answer.sense)
  if (refusal !== undefined) return { how: `refused ${refusal.reason}`, data: none }
  return { how: `status ${answer.status} sense ${answer.sense?.toString('hex') ?? ''}`, data: none }
}

/** READ (16), WRITE (16), SYNCHRONIZE CACHE (16). SBC-3 5.13, 5.35, 5.27. */
function cdb16(operationCode: number, lba: number, blocks: number): Buffer {
  const cdb = Buffer.alloc(16)
  cdb[0] = operationCode
  cdb.writeBigUInt64BE(BigInt(lba), 2)
  cdb.writeUInt32BE(blocks, 10)
  return cdb
}
