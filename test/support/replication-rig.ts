/**
 * Two servers as far as replication goes, on networks, disks and a clock in memory: a primary's
 * links, leases and partners, and a secondary's replication target behind two relayed portals.
 * What the secondary holds is one segment of one volume, whose map and state the test sets.
 */
import { nodeDigest } from '../../src/adapters/node-digest.ts'
import { fencedLoginPolicy } from '../../src/iscsi/login-policy.ts'
import { LoginNumbers } from '../../src/leg/login-numbers.ts'
import { ByteBudget } from '../../src/portal/byte-budget.ts'
import { Portal } from '../../src/portal/portal.ts'
import type { FenceView } from '../../src/volume/comparator.ts'
import type { VolumeMap } from '../../src/volume/map.ts'
import { clientIqn, replicationIqn } from '../../src/volume/names.ts'
import { Confirmer } from '../../targets/mirror/confirmer.ts'
import { PageDigests } from '../../targets/mirror/digests.ts'
import { Leases } from '../../targets/mirror/leases.ts'
import { MaskStore } from '../../targets/mirror/mask-store.ts'
import type { Partner } from '../../targets/mirror/partner.ts'
import type { PartnerLink } from '../../targets/mirror/partner-link.ts'
import { PartnerLinks } from '../../targets/mirror/partner-links.ts'
import { ReplicationTarget } from '../../targets/mirror/replication-target.ts'
import { RequestOutcomes } from '../../targets/mirror/request-outcomes.ts'
import { RunningTime } from '../../targets/mirror/running-time.ts'
import type { SegmentMasks } from '../../targets/mirror/segment-masks.ts'
import { BegunOperations } from '../../targets/replica/begun-operations.ts'
import { LoginGate } from '../../targets/replica/login-gate.ts'
import { type SegmentView, segmentViews } from '../../targets/replica/segment-views.ts'
import { GatedBlockFiles } from './gated-block-files.ts'
import { ManualClock } from './manual-clock.ts'
import { MemoryBlockFiles } from './memory-block-files.ts'
import { MemoryNetwork } from './memory-network.ts'
import { MemoryReplica } from './memory-replica.ts'
import { quietLog } from './quiet-log.ts'
import { Relay } from './relay.ts'
import { testMap, testSegment, testUuid } from './volume-maps.ts'

export const first = { serverId: testUuid(1), name: 's1', incarnation: 'store-1' }
export const second = { serverId: testUuid(2), name: 's2', incarnation: 'store-2' }
export const third = { serverId: testUuid(3), name: 's3', incarnation: 'store-3' }
export const segmentId = testUuid(0x10)
export const blockBytes = 4096
/** 24 MiB: six regions. */
export const blocks = 6 * 1024

/** Primary s1, replicas s2 and s3, number 16 each; portals are where the relays listen. */
export function mirrorMap(generation: number, portals: readonly string[] = []): VolumeMap {
  const servers = [first, { ...second, portals }, third]
  const segment = testSegment(0x10, 0, blocks, servers)
  return testMap({ generation, blockBytes, segments: [segment] })
}

/** The states of the replicas in their order; `b` is behind. */
export function withStates(map: VolumeMap, states: string): VolumeMap {
  const segments = map.segments.map((segment) => ({
    ...segment,
    replicas: segment.replicas.map((replica, index) => ({
      ...replica,
      state: states[index] === 'b' ? ('behind' as const) : ('in-sync' as const),
    })),
  }))
  return { ...map, segments }
}

/** As the secondary holds it. */
export class HeldMirror {
  readonly volumeId = testMap().volumeId
  readonly begun = new BegunOperations()
  readonly outcomes = new RequestOutcomes(0)
  map = mirrorMap(5)
  views: ReadonlyMap<string, SegmentView> = new Map()
  readonly #changed: (volume: HeldMirror) => void

  constructor(changed: (volume: HeldMirror) => void) {
    this.#changed = changed
    this.set({})
  }

  set(what: {
    readonly map?: VolumeMap
    readonly state?: FenceView['state']
    readonly incarnation?: string
  }): void {
    const incarnation = (): string => what.incarnation ?? second.incarnation
    this.map = what.map ?? this.map
    this.views = segmentViews({
      ...{ map: this.map, serverId: second.serverId, incarnation },
      state: what.state ?? 'open',
    })
    this.outcomes.look(this.views, this.map.generation, incarnation)
    this.#changed(this)
  }
}

export class Secondary {
  readonly files = new GatedBlockFiles(new MemoryBlockFiles())
  readonly confirmer: Confirmer
  readonly target: ReplicationTarget
  readonly volume: HeldMirror
  readonly store: MemoryReplica
  readonly newerSeen: string[] = []
  masks: SegmentMasks | undefined
  readonly #running: RunningTime
  readonly #portal: Portal
  readonly #maskStore = MaskStore.open({ files: this.files, log: quietLog })

  constructor(network: MemoryNetwork, clock: ManualClock, pause: () => Promise<void>) {
    this.#running = new RunningTime(clock)
    this.confirmer = new Confirmer(clock)
    this.store = new MemoryReplica({ blocks, blockBytes, pause })
    this.target = new ReplicationTarget({
      confirmer: this.confirmer,
      running: this.#running,
      digests: new PageDigests(nodeDigest),
      replica: () => this.store,
      masks: () => this.masks,
      incarnation: () => second.incarnation,
      inSyncGeneration: () => 4,
      newerSeen: (volumeId) => this.newerSeen.push(volumeId),
    })
    this.volume = new HeldMirror((volume) => this.target.follow(volume))
    const { target } = this
    const writeBudget = new ByteBudget(16 * 1024 * 1024)
    const accept = { kind: 'accept', target, writeBudget } as const
    const targetName = replicationIqn(second.name)
    const replication = { targetName, accept }
    const host = new LoginGate({ targets: () => [], portals: [], replication })
    this.#portal = new Portal({ network, clock, log: quietLog, host, policy: fencedLoginPolicy })
  }

  get sessions(): number {
    return this.#portal.sessions.length
  }

  async start(): Promise<string> {
    this.masks = await this.#maskStore.segment(segmentId, blocks, blockBytes)
    return this.#portal.listen('127.0.0.1:0')
  }

  async stop(): Promise<void> {
    await this.#portal.close(0)
    this.#running.stop()
    await this.#maskStore.close()
  }
}

export class ReplicationRig {
  readonly clock: ManualClock
  readonly network = new MemoryNetwork()
  readonly leases: Leases
  readonly links: PartnerLinks
  readonly secondary: Secondary
  relays: Relay[] = []
  partner!: Partner
  /** Awaited around every operation of the secondary's store. */
  pause: () => Promise<void> = () => Promise.resolve()
  readonly #running: RunningTime

  private constructor(clock: ManualClock) {
    this.clock = clock
    this.leases = new Leases(clock)
    this.#running = new RunningTime(clock)
    this.links = new PartnerLinks({
      ...{ network: this.network, clock, log: quietLog },
      ...{ serverId: first.serverId, initiatorName: clientIqn(first.serverId) },
      ...{ leases: this.leases, numbers: new LoginNumbers(clock), running: this.#running },
    })
    this.secondary = new Secondary(this.network, clock, () => this.pause())
  }

  /** Connected, unless told otherwise. */
  static async start(options: { clock?: ManualClock; connect?: boolean } = {}) {
    const rig = new ReplicationRig(options.clock ?? new ManualClock())
    const address = await rig.secondary.start()
    rig.relays = [await Relay.open(rig.network, address), await Relay.open(rig.network, address)]
    const [, replica] = rig.map(5).segments[0]!.replicas
    rig.partner = rig.links.partner(replica!, { blocks, blockBytes })
    if (options.connect === false) return rig
    rig.links.follow(rig.map(5))
    await rig.until(() => rig.partner.up, 'a session')
    return rig
  }

  get link(): PartnerLink {
    return this.links.of(second.serverId)
  }

  map(generation: number): VolumeMap {
    const portals = this.relays.map(({ address }) => address)
    return mirrorMap(generation, portals)
  }

  /** Moves time until the condition holds. */
  async until(condition: () => boolean, what: string, mostMs = 20_000): Promise<void> {
    const untilMs = this.clock.nowMs() + mostMs
    while (!condition()) {
      if (this.clock.nowMs() > untilMs) throw new Error(`never: ${what}`)
      await this.clock.advance(1)
    }
  }

  /** Moves time until the promise settles. */
  async run<T>(promise: Promise<T>): Promise<T> {
    let settled = false
    const done = promise.finally(() => {
      settled = true
    })
    done.catch(() => undefined)
    await this.until(() => settled, 'it settles')
    return done
  }

  /** Lets time go by in small steps, so that traffic goes on meanwhile. */
  async pass(ms: number): Promise<void> {
    for (let i = 0; i < ms; i++) await this.clock.advance(1)
  }

  async stop(): Promise<void> {
    this.links.stop()
    this.#running.stop()
    for (const relay of this.relays) await relay.stop()
    await this.run(this.secondary.stop())
  }
}
