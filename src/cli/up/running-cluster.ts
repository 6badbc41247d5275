/**
 * The processes of one `palisade up`: starts them in the order in which they need one another,
 * makes servers and volumes known to the manager, and stops them front to back, so that what
 * clients were told is on disk when the servers go.
 */
import { renameSync, statSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { GrpcRpc } from '../../adapters/grpc-rpc.ts'
import { StorageError } from '../../base/errors.ts'
import { MIB } from '../../base/limits.ts'
import { type AdminClient, adminClient } from '../../control/services.ts'
import type { VolumeMap } from '../../volume/map.ts'
import { changeDeadlineMs, queryDeadlineMs } from '../manager-connection.ts'
import {
  type Cluster,
  type ClusterFrontEnd,
  type ClusterServer,
  frontEnds,
} from './cluster-file.ts'
import { createVolumes, missingVolumes } from './ensure-volumes.ts'
import { SupervisedProgram } from './supervised-program.ts'
import type { WantedVolume } from './volume-option.ts'

const longestLogBytes = 64 * MIB
const settleDeadlineMs = 30_000
const settlePollMs = 25

export class RunningCluster {
  readonly #directory: string
  readonly #cluster: Cluster
  readonly #say: (line: string) => void
  readonly #manager: SupervisedProgram
  readonly #servers: readonly SupervisedProgram[]
  /** The shim, or gateways. */
  readonly #fronts: readonly SupervisedProgram[]

  constructor(directory: string, cluster: Cluster, say: (line: string) => void) {
    this.#directory = directory
    this.#cluster = cluster
    this.#say = say
    this.#manager = this.#program('manager', 'manager', this.#managerArgs())
    this.#servers = cluster.servers.map((server) =>
      this.#program('server', server.name, this.#serverArgs(server)),
    )
    this.#fronts = frontEnds(cluster).map((front) =>
      this.#program(front.role, front.name, this.#frontArgs(front)),
    )
  }

  get programs(): readonly SupervisedProgram[] {
    return [this.#manager, ...this.#servers, ...this.#fronts]
  }

  /**
   * Answers the maps of all volumes once everything serves. `agreed` is awaited when nothing that
   * was asked for contradicts what is there, before anything is added.
   */
  async start(
    wanted: readonly WantedVolume[],
    agreed: () => Promise<void>,
  ): Promise<readonly VolumeMap[]> {
    await mkdir(join(this.#directory, 'logs'), { recursive: true })
    for (const program of this.programs) cutLog(this.#logFile(program.name))
    await this.#manager.start()
    const channel = new GrpcRpc().channel(this.#cluster.manager.control)
    try {
      const admin = adminClient(channel)
      const missing = await missingVolumes(admin, wanted)
      await agreed()
      await Promise.all(this.#servers.map((server) => server.start()))
      await this.#adoptServers(admin)
      // Servers that were there before register by themselves; only those can take data.
      await settled(admin)
      await createVolumes(admin, missing)
      await settled(admin)
      await Promise.all(this.#fronts.map((front) => front.start()))
      return (await admin.listVolumes({}, queryDeadlineMs)).maps
    } finally {
      channel.close()
    }
  }

  /** True when every process ended in order, now and before. */
  async stop(): Promise<boolean> {
    const fronts = await Promise.all(this.#fronts.map((front) => front.stop()))
    const servers = await Promise.all(this.#servers.map((server) => server.stop()))
    const manager = await this.#manager.stop()
    return manager && [...fronts, ...servers].every(Boolean)
  }

  kill(): void {
    for (const program of this.programs) program.kill()
  }

  #program(
    role: SupervisedProgram['role'],
    name: string,
    args: readonly string[],
  ): SupervisedProgram {
    const logFile = this.#logFile(name)
    return new SupervisedProgram({ role, name, args, logFile, say: this.#say })
  }

  #logFile(name: string): string {
    return join(this.#directory, 'logs', `${name}.log`)
  }

  #managerArgs(): string[] {
    const { control, portal } = this.#cluster.manager
    const directory = join(this.#directory, 'manager')
    return ['manager', '--dir', directory, '--control', control, '--portal', portal, '--json']
  }

  #serverArgs(server: ClusterServer): string[] {
    return [
      ...['target', '--name', server.name, '--dir', join(this.#directory, server.name)],
      ...['--manager', this.#cluster.manager.control, '--control', server.control],
      ...server.portals.flatMap((portal) => ['--portal', portal]),
      ...['--capacity', `${server.capacityBytes}`, '--json'],
    ]
  }

  #frontArgs({ role, name, portals, status, group }: ClusterFrontEnd): string[] {
    const { chap } = this.#cluster.shim
    return [
      ...[role, '--dir', join(this.#directory, name), '--status', status],
      ...portals.flatMap((portal) => ['--portal', portal]),
      ...(group === undefined ? [] : ['--group', `${group}`]),
      ...(chap === undefined ? [] : ['--chap', chap]),
      ...['--manager', this.#cluster.manager.control, '--json'],
    ]
  }

  async #adoptServers(admin: AdminClient): Promise<void> {
    const { servers } = await admin.listServers({}, queryDeadlineMs)
    const known = new Set(servers.filter((one) => one.adopted).map((one) => one.server.name))
    for (const { name, control } of this.#cluster.servers) {
      if (!known.has(name)) await admin.addServer({ address: control, name: '' }, changeDeadlineMs)
    }
  }
}

/** Resolves when every server answers and has confirmed the newest map of each volume. */
async function settled(admin: AdminClient): Promise<void> {
  const deadline = performance.now() + settleDeadlineMs
  for (;;) {
    const status = await admin.status({}, queryDeadlineMs)
    const silent = status.servers.filter((one) => !one.reachable).map((one) => one.server.name)
    const behind = status.volumes.flatMap((volume) => volume.behind)
    if (silent.length === 0 && behind.length === 0) return
    if (performance.now() > deadline) {
      const who = [...new Set([...silent, ...behind])].join(', ')
      throw new StorageError('deadline', `the manager has no answer from ${who} after 30 s`)
    }
    await sleep(settlePollMs)
  }
}

/** Keeps one old log, so that a cluster that runs for years does not fill the disk. */
function cutLog(file: string): void {
  const size = statSync(file, { throwIfNoEntry: false })?.size ?? 0
  if (size > longestLogBytes) renameSync(file, `${file}.1`)
}
