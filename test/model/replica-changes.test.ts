/**
 * Random histories of a mirrored volume: servers and the manager killed, without power, cut off from
 * each other or from the manager, messages of the manager lost, late and doubled, clients that
 * accuse whom they like, operators that fence. The manager is the real one, so are the volume
 * states of the servers; replication is a model (test/support/rig-mirror.ts). At (nearly) every
 * millisecond:
 *
 * - at most one server can serve a segment;
 * - whoever can serve shows every acknowledged write, unless the map says by a new epoch that no
 *   replica kept them;
 * - a map never promotes a replica that was not in sync in the map before.
 *
 * In the end, when everything is back: all copies in sync and equal, the volume served, nobody asked.
 */
import { deepStrictEqual, ok } from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { volumeMapCodec } from '../../src/control/messages/map.ts'
import { configurationClient } from '../../src/control/services.ts'
import { volumeKey } from '../../src/management/keys.ts'
import type { Transaction } from '../../src/ports/key-value.ts'
import type { Segment, VolumeMap } from '../../src/volume/map.ts'
import { ControlCluster, type ServerRig } from '../support/control-cluster.ts'
import { seededRandom } from '../support/seeded-random.ts'
import { testClient } from '../support/volume-maps.ts'

const mib = 1024 * 1024
const deadlineMs = 4_000

type Step =
  | { readonly kind: 'kill manager' | 'start manager' | 'fence' | 'admit' | 'grow' }
  | { readonly kind: 'kill' | 'start' | 'lose power' | 'declare dead'; readonly server: number }
  | { readonly kind: 'accuse' | 'praise' | 'cut' | 'heal'; readonly server: number }
  | { readonly kind: 'part' | 'join'; readonly server: number; readonly other: number }
  | { readonly kind: 'cut data' | 'heal data'; readonly server: number }
  | { readonly kind: 'wait'; readonly ms: number }

/** One of three; 3 is the primary of the first segment by the newest map, 4 its next replica. */
const server = fc.oneof(fc.nat(2), fc.constantFrom(3, 4))
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constantFrom('kill manager', 'start manager', 'fence', 'admit', 'grow'),
    }),
  },
  {
    weight: 9,
    arbitrary: fc.record({
      kind: fc.constantFrom('kill', 'start', 'start', 'lose power', 'declare dead'),
      server,
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constantFrom('cut', 'heal', 'cut data', 'heal data', 'accuse', 'praise'),
      server,
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constantFrom('part', 'join'), server, other: server }),
  },
  {
    weight: 10,
    arbitrary: fc.record({
      kind: fc.constant('wait' as const),
      ms: fc.oneof(fc.nat(40), fc.nat(400), fc.integer({ min: 1_000, max: 5_000 })),
    }),
  },
)

interface Faults {
  readonly seed: number
  readonly percent: number
}

class History {
  readonly #cluster: ControlCluster
  readonly #volumeId: string
  #map: VolumeMap
  /** By segment: the epoch whose acknowledged writes are counted. */
  readonly #epochs = new Map<string, number>()
  /** What a commit did that none may do; thrown where it stops the test and not the manager. */
  #wrong: string | undefined

  constructor(cluster: ControlCluster, map: VolumeMap, { seed, percent }: Faults) {
    this.#cluster = cluster
    this.#volumeId = map.volumeId
    this.#map = map
    cluster.committed = (transaction) => this.#note(transaction)
    const random = seededRandom(seed)
    const often = (share: number) => random.below(100) < share
    cluster.net.plan = () => ({
      requestMs: random.below(often(percent) ? 1_500 : 4),
      replyMs: random.below(often(percent) ? 1_500 : 4),
      ...(often(percent) ? { loses: often(50) ? 'request' : 'reply' } : {}),
      ...(often(percent) ? { againMs: random.below(3_000) } : {}),
    })
  }

  async take(step: Step): Promise<void> {
    const { admin } = this.#cluster
    const ignore = () => undefined
    const client = testClient
    if (step.kind === 'wait') await this.#wait(step.ms)
    else if (step.kind === 'kill manager') this.#cluster.killManager()
    else if (step.kind === 'start manager') await this.#startManager()
    else if (step.kind === 'fence') admin.fence({ volume: 'v', client }, deadlineMs).catch(ignore)
    else if (step.kind === 'admit') admin.admit({ volume: 'v', client }, deadlineMs).catch(ignore)
    else if (step.kind === 'grow') {
      const sizeBytes = this.#map.blocks * 512 + mib
      admin.growVolume({ name: 'v', sizeBytes }, deadlineMs).catch(ignore)
    } else if ('server' in step) await this.#disturb(step)
    await this.#tick()
  }

  async #disturb(step: Extract<Step, { readonly server: number }>): Promise<void> {
    const { net, paths, admin } = this.#cluster
    const rig = this.#rig(step.server)
    const { kind } = step
    if (kind === 'kill' && rig.alive) rig.kill()
    else if (kind === 'lose power' && rig.alive) rig.losePower()
    else if (kind === 'start' && !rig.alive) await rig.start()
    else if (kind === 'declare dead' && !rig.alive) {
      admin.declareDead({ name: rig.name }, deadlineMs).catch(() => undefined)
    } else if (kind === 'cut' || kind === 'heal') net.cut(rig.name, kind === 'cut')
    else if (kind === 'cut data' || kind === 'heal data') paths.cut(kind === 'cut data', rig.name)
    else if (kind === 'part' || kind === 'join') {
      const other = this.#rig(step.other)
      if (other !== rig) paths.cut(kind === 'part', rig.name, other.name)
    } else if (kind === 'accuse' || kind === 'praise') this.#report(rig, kind === 'praise')
  }

  #rig(number: number): ServerRig {
    const { servers } = this.#cluster
    const named = this.#map.segments[0]?.replicas[number - 3]?.server
    return servers.find(({ name }) => name === named) ?? servers[number % servers.length]!
  }

  #report({ serverId }: ServerRig, reachable: boolean): void {
    const host = this.#cluster.net.host('client')
    const manager = configurationClient(host.channel('manager:1'))
    const said = { client: testClient, serverId, portal: 'p', reachable, cause: 'silence' }
    manager.report(said, deadlineMs).catch(() => undefined)
  }

  async #startManager(): Promise<void> {
    if (this.#cluster.manager === undefined) await this.#cluster.startManager()
  }

  async #wait(forMs: number): Promise<void> {
    for (let ms = 0; ms < forMs; ) {
      const stepMs = ms < 40 ? 1 : 15
      await this.#tick(stepMs)
      ms += stepMs
    }
  }

  async #tick(ms = 1): Promise<void> {
    await this.#cluster.clock.advance(ms)
    ok(this.#wrong === undefined, this.#wrong)
    for (const { segmentId } of this.#map.segments) this.#look(segmentId)
  }

  /** Checks a segment, and has a client write to it. */
  #look(segmentId: string): void {
    const { servers, paths } = this.#cluster
    const serving = servers.filter(({ mirror }) => mirror?.canServe(segmentId) === true)
    const names = serving.map(({ name }) => name).join(', ')
    ok(serving.length <= 1, `${names} can serve the same segment`)
    const mirror = serving[0]?.mirror
    if (mirror === undefined) return
    const epoch = mirror.epoch(segmentId)
    if (epoch > (this.#epochs.get(segmentId) ?? 0)) {
      this.#epochs.set(segmentId, epoch)
      paths.acknowledged.set(segmentId, new Set(mirror.content(segmentId)))
    }
    for (const write of paths.acknowledged.get(segmentId) ?? []) {
      ok(mirror.content(segmentId).has(write), `${names} lost the acknowledged write ${write}`)
    }
    const size = paths.acknowledged.get(segmentId)?.size ?? 0
    if (size < 60 || paths.random.below(20) === 0) mirror.write(segmentId)
    if (paths.random.below(40) === 0) for (const each of servers) each.mirror?.flush()
  }

  #note({ put = [] }: Transaction): void {
    const entry = put.find(({ key }) => key === volumeKey(this.#volumeId))
    if (entry === undefined) return
    const map = volumeMapCodec.decode(entry.value)
    for (const segment of map.segments) {
      const before = this.#map.segments.find(({ segmentId }) => segmentId === segment.segmentId)
      if (before !== undefined) this.#wrong ??= wrongIn(before, segment)
    }
    this.#map = map
  }

  async heal(): Promise<void> {
    const { net, paths, servers } = this.#cluster
    net.plan = () => ({ requestMs: 1, replyMs: 1 })
    for (const rig of servers) {
      net.cut(rig.name, false)
      for (const { name } of servers) paths.cut(false, rig.name, name)
      if (!rig.alive) await rig.start()
    }
    await this.#startManager()
    // What happened last has to be noticed first.
    await this.#wait(3_000)
    for (let ms = 0; ms < 40_000 && !this.#isWhole(); ms += 500) await this.#wait(500)
    await this.#wait(1_000)
  }

  #isWhole(): boolean {
    const { servers } = this.#cluster
    return this.#map.segments.every(({ segmentId, replicas }) => {
      const serves = servers.some(({ mirror }) => mirror?.canServe(segmentId) === true)
      return serves && replicas.every(({ state }) => state === 'in-sync')
    })
  }

  async checkEnd(): Promise<void> {
    const { admin, servers } = this.#cluster
    const { volumes } = await this.#cluster.run(admin.status({}, deadlineMs))
    const [status] = volumes.map(({ generation, change, behind }) => ({
      generation,
      change,
      behind,
    }))
    deepStrictEqual(status, { generation: this.#map.generation, change: '', behind: [] })
    for (const { segmentId, replicas } of this.#map.segments) {
      const states = replicas.map(({ server, state }) => `${server} ${state}`)
      ok(
        replicas.length === this.#map.copies && replicas.every((each) => each.state === 'in-sync'),
        `in the end: ${states.join(', ')}`,
      )
      const rigs = replicas.map(({ server }) => servers.find(({ name }) => name === server)!)
      ok(rigs[0]!.mirror?.canServe(segmentId), 'served in the end')
      for (const write of this.#cluster.paths.acknowledged.get(segmentId) ?? []) {
        for (const { name, disk } of rigs) {
          ok(disk.contents.get(segmentId)?.has(write), `${name} has write ${write} in the end`)
        }
      }
    }
  }
}

/** What no change may do to a segment. */
function wrongIn(before: Segment, after: Segment): string | undefined {
  const [primary] = after.replicas
  const formerly = before.replicas.find(({ serverId }) => serverId === primary?.serverId)
  if (primary?.state !== 'in-sync') return 'a primary that is not in sync'
  if (formerly?.state !== 'in-sync') return `${primary.server} was promoted and not in sync`
  const servers = new Set(after.replicas.map(({ serverId }) => serverId))
  return servers.size === after.replicas.length ? undefined : 'two replicas on one server'
}

const runs = Number(process.env.PALISADE_RUNS ?? 20)
const timeout = Math.max(240_000, runs * 5_000)
t.setTimeout(timeout)

await t.test('random histories of a mirrored volume', { timeout }, async (t) => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 4, maxLength: 20 }),
      fc.nat(1_000_000),
      fc.constantFrom(0, 0, 5, 20),
      fc.constantFrom(2, 3),
      async (steps, seed, percent, mirror) => {
        const cluster = await ControlCluster.start({ servers: 3, seed })
        try {
          const kind = { name: 'v', sizeBytes: 4 * mib, stripe: 2, partitions: [], mirror }
          const request = { ...kind, stalePolicy: 'reject', holdMs: 0, leaseMs: 0 } as const
          const { map } = await cluster.run(cluster.admin.createVolume(request, deadlineMs))
          const history = new History(cluster, map, { seed, percent })
          for (const each of steps) await history.take(each)
          await history.heal()
          await history.checkEnd()
        } finally {
          await cluster.stop()
        }
      },
    ),
    { numRuns: runs },
  )
  t.pass('no counterexample')
})
