/**
 * A real manager and real storage servers as processes, without a shim: for tests of changes. The
 * manager keeps its addresses over restarts. Everything is ended, and its directory removed, by
 * `stop`.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { GrpcRpc } from '../../src/adapters/grpc-rpc.ts'
import type { HeldVolume } from '../../src/control/messages/server.ts'
import {
  type AdminClient,
  adminClient,
  type StorageServerClient,
  storageServerClient,
} from '../../src/control/services.ts'
import type { RpcChannel } from '../../src/ports/rpc.ts'
import { PalisadeProcess } from './palisade-process.ts'

interface Ready {
  readonly portals: readonly { readonly kind: string; readonly address: string }[]
}

interface Member {
  readonly name: string
  readonly process: PalisadeProcess
  readonly control: StorageServerClient
}

const deadlineMs = 10_000

export class ServerGroup {
  readonly #directory: string
  readonly #rpc = new GrpcRpc()
  readonly #channels: RpcChannel[] = []
  readonly servers: Member[] = []
  manager!: PalisadeProcess
  admin!: AdminClient
  /** Where calls are served, and the management path. */
  control = '127.0.0.1:0'
  path = '127.0.0.1:0'

  private constructor(directory: string) {
    this.#directory = directory
  }

  static async start(servers: number): Promise<ServerGroup> {
    const group = new ServerGroup(await mkdtemp(join(tmpdir(), 'palisade-group-')))
    try {
      await group.startManager()
      group.admin = adminClient(group.#channel(group.control))
      for (let i = 1; i <= servers; i += 1) await group.#startServer(`s${i}`)
    } catch (error) {
      await group.stop()
      throw error
    }
    return group
  }

  async startManager(): Promise<void> {
    this.manager = new PalisadeProcess([
      ...['manager', '--dir', join(this.#directory, 'manager'), '--json', '--log-level', 'warn'],
      ...['--control', this.control, '--portal', this.path],
    ])
    const ready = await readyLine(this.manager)
    this.control = address(ready, 'grpc')
    this.path = address(ready, 'iscsi')
  }

  async #startServer(name: string): Promise<void> {
    const process = new PalisadeProcess([
      ...['target', '--name', name, '--dir', join(this.#directory, name), '--json'],
      ...['--manager', this.control, '--control', '127.0.0.1:0', '--portal', '127.0.0.1:0'],
      ...['--capacity', '64MiB', '--log-level', 'warn'],
    ])
    const member = { name, process }
    try {
      const where = address(await readyLine(process), 'grpc')
      const control = storageServerClient(this.#channel(where))
      this.servers.push({ ...member, control })
      await this.admin.addServer({ address: where, name: '' }, deadlineMs)
    } catch (error) {
      await process.stop()
      throw error
    }
  }

  /** What each server says of the volume. */
  async held(volumeId: string): Promise<(HeldVolume | undefined)[]> {
    const answers = this.servers.map(({ control }) => control.describe({}, deadlineMs))
    return (await Promise.all(answers)).map(({ volumes }) =>
      volumes.find((each) => each.volumeId === volumeId),
    )
  }

  async stop(): Promise<void> {
    for (const channel of this.#channels) channel.close()
    await Promise.all(this.servers.map(({ process }) => process.stop()))
    await this.manager.stop()
    await rm(this.#directory, { recursive: true, force: true })
  }

  #channel(where: string): RpcChannel {
    const channel = this.#rpc.channel(where)
    this.#channels.push(channel)
    return channel
  }
}

async function readyLine(process: PalisadeProcess): Promise<Ready> {
  const [line] = await process.output(/^\{.*"ready":true.*\}$/m)
  return JSON.parse(line) as Ready
}

function address(ready: Ready, kind: string): string {
  const found = ready.portals.find((portal) => portal.kind === kind)
  if (found === undefined) throw new Error(`no ${kind} portal in the ready line`)
  return found.address
}
