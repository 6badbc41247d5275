/**
 * A whole cluster in one process and on virtual time: the shipped manager, storage servers and
 * shims, each on a machine of its own, initiators on theirs, and an administrator. What happened is
 * in the history.
 */
import { StorageError } from '../../../src/base/errors.ts'
import { pageBytes } from '../../../src/base/limits.ts'
import { type AdminClient, adminClient } from '../../../src/control/services.ts'
import type { RpcChannel } from '../../../src/ports/rpc.ts'
import { Violations } from '../checks/violations.ts'
import { FrontSession } from '../load/front-session.ts'
import { History } from '../load/history.ts'
import { MultipathSession } from '../load/multipath-session.ts'
import { type LoadVolume, type LoadWeights, SimInitiator } from '../load/sim-initiator.ts'
import type { Plan, VolumePlan } from '../plan.ts'
import type { Chance } from '../world/chance.ts'
import { Links } from '../world/links.ts'
import { Machine } from '../world/machine.ts'
import { SimNetwork } from '../world/sim-network.ts'
import type { SimProcess } from '../world/sim-process.ts'
import { SimRpc } from '../world/sim-rpc.ts'
import type { World } from '../world/world.ts'
import { Ailments } from './ailments.ts'
import { CommittedMaps } from './committed-maps.ts'
import { Fences } from './fences.ts'
import { hotBlocks } from './geometry.ts'
import { Losses } from './losses.ts'
import { managerControl, SimManager } from './sim-manager.ts'
import { SimServer } from './sim-server.ts'
import { gatewayKind, SimShim, shimKind } from './sim-shim.ts'
import type { Surroundings } from './surroundings.ts'

const onlyReads: LoadWeights = {
  ...{ read: 1, write: 0, large: 0, unmap: 0, same: 0, compare: 0, flush: 0 },
  ...{ forced: 0, letGo: 0 },
}
const setupMs = 60_000
/** How the history names all gateways together: their initiators go through any of them. */
const gatewayClients = 'g'

export class Cluster {
  readonly world: World
  readonly links: Links
  readonly network: SimNetwork
  readonly rpc: SimRpc
  readonly violations: Violations
  readonly history = new History()
  readonly manager: SimManager
  readonly servers: readonly SimServer[]
  readonly shims: readonly SimShim[]
  /** For initiators that have a path through each of them. */
  readonly gateways: readonly SimShim[]
  readonly initiators: SimInitiator[] = []
  readonly admin: AdminClient
  readonly maps: CommittedMaps
  readonly losses: Losses
  readonly ailments: Ailments
  readonly volumes: LoadVolume[] = []
  readonly fences: Fences
  readonly #plan: Plan
  readonly #administrator: SimProcess
  readonly #undo = new Set<() => void>()

  constructor(world: World, plan: Plan) {
    this.world = world
    this.#plan = plan
    this.links = new Links(world)
    this.network = new SimNetwork(this.links)
    this.rpc = new SimRpc(this.links)
    this.violations = new Violations(world)
    const { links, network, rpc, violations: bugs } = this
    const around: Surroundings = { world, links, network, rpc, bugs }
    const clocks = world.chance.fork('clocks')
    const clock = () =>
      plan.clocksDiffer
        ? { rate: clocks.between(0.98, 1.02), wallOffsetMs: clocks.between(-1e6, 1e6) }
        : { rate: 1, wallOffsetMs: 0 }
    this.manager = new SimManager(around, clock())
    this.servers = Array.from({ length: plan.servers }, (_, i) => {
      const capacityBytes = (plan.capacityPages || this.#leastPages) * pageBytes
      const own = { number: i + 1, capacityBytes, clearing: plan.clearing, ...clock() }
      const options = { ...own, manager: managerControl }
      return new SimServer(around, options)
    })
    const frontEnds = (count: number, kind: typeof shimKind) =>
      Array.from({ length: count }, (_, i) => {
        return new SimShim(around, { number: i + 1, kind, ...clock() })
      })
    this.shims = frontEnds(plan.shims, shimKind)
    this.gateways = frontEnds(plan.gateways, gatewayKind)
    this.#administrator = new Machine(world, 'a').start('administrator')
    this.admin = adminClient(this.administratorDials(managerControl))
    this.fences = new Fences(this)
    this.maps = new CommittedMaps(this.manager.store)
    this.losses = new Losses(this)
    this.ailments = new Ailments(this)
  }

  get frontEnds(): readonly SimShim[] {
    return [...this.shims, ...this.gateways]
  }

  /** A little more than the volumes can fill. */
  get #leastPages(): number {
    return this.#plan.volumes.reduce((sum, { pages, mirror }) => sum + pages * mirror, 0) + 6
  }

  /** Everything runs, volumes exist, initiators are at work. */
  async start(): Promise<void> {
    const { world } = this
    this.manager.start()
    for (const server of this.servers) server.start()
    for (const server of this.servers) {
      const added = () => this.admin.addServer({ address: server.control, name: '' }, 5_000)
      await world.until(this.#patiently(added), setupMs)
    }
    for (const [i, volume] of this.#plan.volumes.entries()) await this.#create(i + 1, volume)
    for (const frontEnd of this.frontEnds) frontEnd.start()
    for (const shim of this.shims) this.#addInitiators([shim], shim.name)
    if (this.gateways.length > 0) this.#addInitiators(this.gateways, gatewayClients)
    for (const initiator of this.initiators) initiator.start()
  }

  /** Calls of an administrator who does not give up. */
  async #patiently<T>(call: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await call()
      } catch (error) {
        if (!(error instanceof StorageError)) throw error
        this.world.note(`administrator: ${error.message}`)
        await this.administratorWaits(200)
      }
    }
  }

  administratorDials(address: string): RpcChannel {
    return this.rpc.of(this.#administrator).channel(address)
  }

  administratorWaits(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#administrator.clock.after(ms, resolve))
  }

  async #create(number: number, plan: VolumePlan): Promise<void> {
    const { name, pages, stripe, mirror, leaseMs } = plan
    const request = {
      name,
      sizeBytes: pages * pageBytes,
      stripe,
      holdMs: 0,
      leaseMs,
      partitions: [],
      stalePolicy: 'reject',
      mirror,
    } as const
    const creating = this.#patiently(() => this.admin.createVolume(request, 9_000))
    const { map } = await this.world.until(creating, setupMs)
    this.maps.follow(number, map)
    const { places, hotPlaces } = this.#plan
    const hot = places ?? hotBlocks(map, this.world.chance.fork(`hot ${name}`), hotPlaces)
    this.volumes.push({ number, name, blocks: map.blocks, knownBlocks: map.blocks, hot })
  }

  /** `client` is how the history names those through whom they go. */
  #addInitiators(frontEnds: readonly SimShim[], client: string): void {
    for (const volume of this.volumes) {
      for (let number = 1; number <= this.#plan.initiators; number++) {
        this.#addInitiator(frontEnds, client, { volume, number })
      }
    }
  }

  #addInitiator(
    frontEnds: readonly SimShim[],
    client: string,
    { volume, number }: { volume: LoadVolume; number: number },
  ): void {
    const { world, history, violations } = this
    const plan = this.#plan
    const isReader = this.shims.slice(0, plan.readers).some((shim) => shim.name === client)
    const name = `${client}/${volume.name}${'abcd'[number]}`
    const chance = world.chance.fork(`initiator ${name}`)
    const process = new Machine(world, `i-${name}`).start(name)
    const common = {
      network: this.network.of(process),
      clock: process.clock,
      initiatorName: `iqn.2026-11.example:${name.replace('/', '-')}`,
      volume: volume.name,
      patienceMs: plan.patienceMs,
      aborts: chance.happens(plan.aborts),
      newIsids: chance.happens(plan.newIsids),
      pings: chance.happens(plan.pings),
    }
    const note = (text: string): void => world.note(`${name}: ${text}`)
    const groupAt = (address: string): number =>
      frontEnds.find(({ portals }) => portals.includes(address))?.group ?? 0
    const paths = frontEnds.flatMap(({ portals }) =>
      this.#ways(portals).map((way, i) => {
        const tell = (text: string): void => note(`${way.join(' ')}: ${text}`)
        const own = { isid: number + 16 * i, portals: way, note: tell }
        return { groupAt, session: new FrontSession({ ...common, ...own }) }
      }),
    )
    const { clock } = process
    const session =
      paths.length === 1
        ? paths[0]!.session
        : new MultipathSession({ paths, clock, chance, note, ...drawHabits(chance, plan) })
    const identities = frontEnds.map((frontEnd) => frontEnd.client)
    this.initiators.push(
      new SimInitiator({
        name,
        client,
        volume,
        session,
        process,
        chance,
        history,
        violations,
        weights: isReader ? onlyReads : plan.weights,
        thinkMs: plan.thinkMs,
        workers: plan.workers,
        isFenced: (sinceMs) =>
          identities.some((one) => this.fences.touched(volume.number, one, sinceMs)),
        mayFail: (sinceMs) => this.ailments.touched(volume.number, sinceMs),
      }),
    )
  }

  /** Portals of a front end by the sessions that an initiator has there: at one after the other, or one at each. */
  #ways(all: readonly string[]): string[][] {
    const { frontPortals, portalsAtOnce } = this.#plan
    const portals = all.slice(0, frontPortals)
    return portalsAtOnce ? portals.reverse().map((portal) => [portal]) : [portals]
  }

  /** Machines of the initiators behind a front end. */
  initiatorMachines(frontEnd: string): string[] {
    const isGateway = this.gateways.some(({ name }) => name === frontEnd)
    return this.initiators
      .filter(({ options }) => options.client === (isGateway ? gatewayClients : frontEnd))
      .map(({ options }) => options.process.machine.name)
  }

  shimKilled(frontEnd: SimShim): void {
    if (!frontEnd.running) return
    const client = this.gateways.includes(frontEnd) ? gatewayClients : frontEnd.name
    this.history.add({ what: 'front-gone', client, atMs: this.world.nowMs })
    frontEnd.kill()
  }

  /** Happens after a while, or when the time of faults is over. */
  undoLater(ms: number, undo: () => void): void {
    const once = (): void => {
      if (this.#undo.delete(once)) undo()
    }
    this.#undo.add(once)
    this.world.after(ms, once)
  }

  /** Ends all faults and starts again whatever does not run. */
  heal(): void {
    this.world.note('faults are over')
    for (const undo of [...this.#undo]) undo()
    this.links.endStalls()
    for (const { disk, records, metadata } of this.servers) {
      disk.faults.failingFlushes = 0
      disk.faults.lateMs = 0
      for (const each of [disk, records, metadata]) each.faults.slowMs = 0
    }
    this.manager.store.faults.slowMs = 0
    this.manager.store.faults.failing = 0
    for (const { machine } of this.servers) machine.powerOn()
    this.manager.machine.powerOn()
    for (const program of [this.manager, ...this.servers, ...this.frontEnds]) program.start()
  }

  administer(chance: Chance): void {
    this.fences.act(chance)
  }

  fence(chance: Chance): void {
    this.fences.fence(chance)
  }
}

/** How an initiator with several paths goes about it. */
function drawHabits(chance: Chance, { asksForPath, failsBack }: Plan) {
  return {
    explicit: chance.happens(asksForPath),
    failsBack: chance.happens(failsBack),
    checkMs: chance.between(200, 1_000),
  }
}
