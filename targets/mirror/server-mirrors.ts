/**
 * All that a storage server has for the replicas it shares with other servers, joined: the sessions
 * to partners, leases, masks, the target under which partners reach this server, and the mirrored
 * segments of each volume. It owns the parts; what they do is theirs.
 */
import { mirror as limits } from '../../src/base/limits.ts'
import { LoginNumbers } from '../../src/leg/login-numbers.ts'
import { ByteBudget } from '../../src/portal/byte-budget.ts'
import type { LoginDecision } from '../../src/portal/portal-host.ts'
import type { BlockFiles } from '../../src/ports/block-file.ts'
import type { Clock } from '../../src/ports/clock.ts'
import type { Digest } from '../../src/ports/digest.ts'
import type { Log } from '../../src/ports/log.ts'
import type { Network } from '../../src/ports/network.ts'
import type { Random } from '../../src/ports/random.ts'
import { clientIqn } from '../../src/volume/names.ts'
import type { HeldVolume } from '../replica/held-volume.ts'
import type { ReplicaStore } from '../store/replica-store.ts'
import { type ClearingTimes, usualClearing } from './clearing-choice.ts'
import { Confirmer } from './confirmer.ts'
import { PageDigests } from './digests.ts'
import { Leases } from './leases.ts'
import { MaskStore } from './mask-store.ts'
import type { MirrorServer } from './mirror-server.ts'
import { MirroredVolume } from './mirrored-volume.ts'
import { PartnerLinks } from './partner-links.ts'
import { ReplicationTarget } from './replication-target.ts'
import { RunningTime } from './running-time.ts'
import { Throttle } from './throttle.ts'

export interface ServerMirrorsOptions {
  readonly serverId: string
  readonly clock: Clock
  readonly log: Log
  readonly network: Network
  readonly random: Random
  readonly digest: Digest
  /** Of the server's directory. */
  readonly files: BlockFiles
  /** Of marks; without it the usual times. */
  readonly clearing?: ClearingTimes
  /** The server's page store. */
  readonly store: {
    readonly incarnation: string | undefined
    replica(segmentId: string): ReplicaStore | undefined
  }
  /** A primary believes in a newer generation than the volume has here. */
  newerSeen(volume: HeldVolume): void
  /** Called in the turn in which what is said of the other replicas of a volume changed. */
  changed(volume: HeldVolume): void
}

interface Known {
  readonly volume: HeldVolume
  /** As other primaries see it. */
  readonly followed: Parameters<ReplicationTarget['follow']>[0]
  readonly mirrors: MirroredVolume
}

export class ServerMirrors {
  readonly target: ReplicationTarget
  readonly #options: ServerMirrorsOptions
  readonly #server: MirrorServer
  readonly #running: RunningTime
  readonly #writeBudget = new ByteBudget(limits.writeBytes)
  readonly #volumes = new Map<string, Known>()

  /** To be made before anything can be asked of this server: a lease may run from before its start. */
  constructor(options: ServerMirrorsOptions) {
    const { serverId, clock, log, network, random, files, store } = options
    this.#options = options
    this.#running = new RunningTime(clock)
    const leases = new Leases(clock)
    const digests = new PageDigests(options.digest)
    const links = new PartnerLinks({
      ...{ network, clock, log, serverId, leases, running: this.#running },
      initiatorName: clientIqn(serverId),
      numbers: new LoginNumbers(clock),
    })
    this.#server = {
      ...{ serverId, clock, random, leases, digests, links },
      maskStore: MaskStore.open({ files, log }),
      confirmer: new Confirmer(clock),
      throttle: new Throttle(clock, limits.recoveryBytesPerSecond),
      clearing: options.clearing ?? usualClearing,
      replica: (segmentId) => store.replica(segmentId),
    }
    this.target = this.#makeTarget()
  }

  /** What a manager allows for recovery; 0: no limit. */
  limitRecovery(bytesPerSecond: number): void {
    this.#server.throttle.bytesPerSecond = bytesPerSecond
  }

  get accept(): LoginDecision & { readonly kind: 'accept' } {
    return { kind: 'accept', target: this.target, writeBudget: this.#writeBudget }
  }

  /** Of a volume that this server hears of for the first time in its life. */
  of(volume: HeldVolume): MirroredVolume {
    const { volumeId } = volume
    const mirrors = new MirroredVolume({
      server: this.#server,
      log: this.#options.log,
      map: () => volume.map,
      primarySilent: (segmentId) => this.target.primarySilent(segmentId),
      changed: () => this.#options.changed(volume),
    })
    const followed = {
      volumeId,
      get map() {
        return volume.map
      },
      get views() {
        return volume.views
      },
      begun: volume.replicated,
      outcomes: volume.outcomes,
    }
    this.#volumes.set(volumeId, { volume, followed, mirrors })
    return mirrors
  }

  get(volumeId: string): MirroredVolume | undefined {
    return this.#volumes.get(volumeId)?.mirrors
  }

  /** Call in the turn in which anything changed that a volume says of itself. */
  follow(volume: HeldVolume): void {
    const known = this.#volumes.get(volume.volumeId)
    if (known !== undefined) this.target.follow(known.followed)
  }

  /** What serves the blocks of a segment: all its replicas where there are several. */
  store(volume: HeldVolume, segmentId: string): ReplicaStore | undefined {
    const replicas = volume.views.get(segmentId)?.segment.replicas.length ?? 0
    if (replicas <= 1) return this.#server.replica(segmentId)
    return this.get(volume.volumeId)?.store(segmentId)
  }

  /** Nothing goes to partners any more. */
  stop(): void {
    for (const { mirrors } of this.#volumes.values()) mirrors.end()
    this.#server.links.stop()
    this.#running.stop()
  }

  /** After the last operation. */
  async close(): Promise<void> {
    await this.#server.maskStore.close()
  }

  #makeTarget(): ReplicationTarget {
    const { confirmer, digests } = this.#server
    const { store } = this.#options
    return new ReplicationTarget({
      ...{ confirmer, digests, running: this.#running },
      replica: (segmentId) => store.replica(segmentId),
      masks: (volumeId, segmentId) => this.get(volumeId)?.masks(segmentId),
      incarnation: () => store.incarnation,
      inSyncGeneration: (volumeId, segmentId) =>
        this.#volumes.get(volumeId)?.volume.inSyncGeneration(segmentId) ?? 0,
      diskFailed: (volumeId, segmentId, error) => {
        this.get(volumeId)?.segment(segmentId)?.diskFailed(error)
      },
      resynced: (volumeId, bytes) => {
        const mirrors = this.get(volumeId)
        if (mirrors !== undefined) mirrors.counters.resyncedBytes += bytes
      },
      newerSeen: (volumeId) => {
        const known = this.#volumes.get(volumeId)
        if (known !== undefined) this.#options.newerSeen(known.volume)
      },
    })
  }
}
