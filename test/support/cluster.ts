/**
 * A cluster of ours under test: `palisade up --json` in a directory of its own, and the verbs that
 * talk to its manager. Everything is a real process; `stop` ends them all and removes the directory.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { mainProgram, PalisadeProcess, run } from './palisade-process.ts'

export interface ReadyPortal {
  readonly kind: 'iscsi' | 'grpc' | 'http'
  readonly address: string
}

export interface ReadyProcess {
  readonly role: 'manager' | 'server' | 'shim' | 'gateway'
  readonly name: string
  readonly pid: number
  readonly portals: readonly ReadyPortal[]
}

export interface ReadyVolume {
  readonly name: string
  readonly iqn: string
  readonly lun: number
  readonly url: string
  readonly generation: number
}

/** The one line that `palisade up --json` prints. */
export interface Ready {
  readonly ready: true
  readonly portal: string
  readonly manager: string
  readonly volumes: readonly ReadyVolume[]
  readonly processes: readonly ReadyProcess[]
}

export class Cluster {
  readonly directory: string
  readonly process: PalisadeProcess
  readonly ready: Ready

  private constructor(directory: string, process: PalisadeProcess, ready: Ready) {
    this.directory = directory
    this.process = process
    this.ready = ready
  }

  /** `args` follow `up --json --dir DIR`; the portal is any free one unless they say so. */
  static async start(args: readonly string[], directory?: string): Promise<Cluster> {
    const dir = directory ?? (await mkdtemp(join(tmpdir(), 'palisade-cluster-')))
    const process = new PalisadeProcess(['up', '--json', '--dir', dir, ...args])
    try {
      const [line] = await process.output(/^\{.*"ready":true.*\}$/m, 60_000)
      return new Cluster(dir, process, JSON.parse(line) as Ready)
    } catch (error) {
      await process.stop()
      throw error
    }
  }

  /** URL of a volume at the shim. */
  url(volume: string): string {
    const found = this.ready.volumes.find(({ name }) => name === volume)
    if (found === undefined) throw new Error(`up did not tell of volume ${volume}`)
    return found.url
  }

  member(role: ReadyProcess['role'], name?: string): ReadyProcess {
    const found = this.ready.processes.find((each) => {
      return each.role === role && (name === undefined || each.name === name)
    })
    if (found === undefined) throw new Error(`no ${role} ${name ?? ''} among the processes`)
    return found
  }

  address(member: ReadyProcess, kind: ReadyPortal['kind']): string {
    const found = member.portals.find((portal) => portal.kind === kind)
    if (found === undefined) throw new Error(`${member.role} ${member.name} has no ${kind} portal`)
    return found.address
  }

  /** Every address where a process of the cluster takes iSCSI connections. */
  get iscsiPortals(): readonly string[] {
    return this.ready.processes.flatMap(({ portals }) => {
      return portals.flatMap(({ kind, address }) => (kind === 'iscsi' ? [address] : []))
    })
  }

  /** Runs a verb against the manager; throws what it said when it failed. */
  async verb(args: readonly string[], timeoutMs = 30_000): Promise<unknown> {
    const argv = [mainProgram, ...args, '--manager', this.ready.manager, '--json']
    const { code, stdout, stderr } = await run(process.execPath, argv, { timeoutMs })
    if (code !== 0) throw new Error(`${args.join(' ')}: exit ${code}\n${stdout}${stderr}`)
    return stdout.trim() === '' ? undefined : JSON.parse(stdout)
  }

  /** Ends everything; the exit code of `up`. */
  async stop(options: { readonly keep?: boolean } = {}): Promise<number> {
    const code = await this.process.stop(20_000)
    if (options.keep !== true) await rm(this.directory, { recursive: true, force: true })
    return code
  }
}
