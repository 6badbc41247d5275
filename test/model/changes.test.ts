/**
 * Random histories of changes, with messages lost, late and doubled, servers cut off, killed and
 * without power, and the manager killed at any moment. At (nearly) every millisecond:
 *
 * - no server is open under a generation that was never committed, or under another map than the
 *   one committed with it;
 * - once a change that takes something away is committed, no server is open under an older one;
 * - no server serves from a store of which the map does not know.
 *
 * In the end, when everything is back: one outcome, the same everywhere, and the volume is open.
 */
import { deepStrictEqual, ok } from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { volumeMapCodec } from '../../src/control/messages/map.ts'
import { volumeKey } from '../../src/management/keys.ts'
import type { Transaction } from '../../src/ports/key-value.ts'
import type { VolumeMap } from '../../src/volume/map.ts'
import { ControlCluster } from '../support/control-cluster.ts'
import { seededRandom } from '../support/seeded-random.ts'
import { otherClient, testClient } from '../support/volume-maps.ts'

const mib = 1024 * 1024
const deadlineMs = 4_000

type Step =
  | { readonly kind: 'fence' | 'admit'; readonly client: string }
  | { readonly kind: 'grow' | 'delete' | 'kill manager' | 'start manager' }
  | { readonly kind: 'cut' | 'heal' | 'kill' | 'start' | 'lose power'; readonly server: number }
  | { readonly kind: 'wait'; readonly ms: number }

const server = fc.nat(1)
const client = fc.constantFrom(testClient, otherClient)
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('fence' as const), client }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('admit' as const), client }) },
  { weight: 2, arbitrary: fc.constant({ kind: 'grow' } as const) },
  { weight: 1, arbitrary: fc.constant({ kind: 'delete' } as const) },
  { weight: 3, arbitrary: fc.constant({ kind: 'kill manager' } as const) },
  { weight: 3, arbitrary: fc.constant({ kind: 'start manager' } as const) },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constantFrom('cut', 'heal', 'kill', 'start', 'lose power'),
      server,
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('wait' as const),
      ms: fc.oneof(fc.nat(40), fc.nat(400), fc.nat(7_000)),
    }),
  },
)

/** One history under the checks. */
class History {
  readonly cluster: ControlCluster
  readonly #volumeId: string
  /** What was committed, as read from the store itself. */
  readonly #committed: VolumeMap[] = []
  /** Generation of the newest change that took something away. */
  #takenAway = 0
  #grows = true
  #blocks: number

  constructor(cluster: ControlCluster, map: VolumeMap, seed: number, faults: number) {
    this.cluster = cluster
    this.#volumeId = map.volumeId
    this.#blocks = map.blocks
    this.#committed.push(map)
    cluster.committed = (transaction) => this.#note(transaction)
    const random = seededRandom(seed)
    const often = (percent: number) => random.below(100) < percent
    cluster.net.plan = () => ({
      requestMs: random.below(often(faults) ? 1_500 : 4),
      replyMs: random.below(often(faults) ? 1_500 : 4),
      ...(often(faults) ? { loses: often(50) ? 'request' : 'reply' } : {}),
      ...(often(faults) ? { againMs: random.below(3_000) } : {}),
    })
  }

  async take(step: Step): Promise<void> {
    const { cluster } = this
    const { admin } = cluster
    switch (step.kind) {
      case 'fence':
        admin.fence({ volume: 'v', client: step.client }, deadlineMs).catch(() => undefined)
        break
      case 'admit':
        admin.admit({ volume: 'v', client: step.client }, deadlineMs).catch(() => undefined)
        break
      case 'grow':
        this.#blocks += mib / 512
        admin
          .growVolume({ name: 'v', sizeBytes: this.#blocks * 512 }, deadlineMs)
          .catch(() => undefined)
        break
      case 'delete':
        admin.deleteVolume({ name: 'v', force: true }, deadlineMs).catch(() => undefined)
        break
      case 'kill manager':
        cluster.killManager()
        break
      case 'start manager':
        if (cluster.manager === undefined) await cluster.startManager()
        break
      case 'wait':
        await this.#wait(step.ms)
        break
      default:
        await this.#disturb(step.kind, step.server)
    }
    await this.#tick()
  }

  async #disturb(kind: string, number: number): Promise<void> {
    const rig = this.cluster.servers[number]!
    if (kind === 'cut' || kind === 'heal') this.cluster.net.cut(rig.name, kind === 'cut')
    else if (kind === 'start' && !rig.alive) await rig.start()
    else if (kind === 'kill' && rig.alive) rig.kill()
    else if (kind === 'lose power' && rig.alive) rig.losePower()
  }

  /** Looks at every millisecond of the first ones, then less often. */
  async #wait(forMs: number): Promise<void> {
    for (let ms = 0; ms < forMs; ) {
      const stepMs = ms < 40 ? 1 : 15
      await this.#tick(stepMs)
      ms += stepMs
    }
  }

  async #tick(ms = 1): Promise<void> {
    await this.cluster.clock.advance(ms)
    ok(this.#grows, 'generations grow')
    for (const rig of this.cluster.servers) {
      const held = rig.held(this.#volumeId)
      if (held?.serving !== true) continue
      const map = this.#committed.find(({ generation }) => generation === held.generation)
      ok(map !== undefined, `${rig.name} serves generation ${held.generation}, never committed`)
      const without = (each: VolumeMap | undefined) =>
        each?.segments.map(({ replicas }) => replicas.map(({ incarnation }) => incarnation))
      deepStrictEqual(without(rig.map(this.#volumeId)), without(map))
      ok(
        held.generation >= this.#takenAway,
        `${rig.name} serves ${held.generation} after ${this.#takenAway} took something away`,
      )
      if (map.deleted) continue
      for (const { replicas } of map.segments) {
        const mine = replicas.find(({ serverId }) => serverId === rig.serverId)
        if (mine !== undefined) ok(mine.incarnation === rig.store.incarnation, 'a known store')
      }
    }
  }

  #note({ put = [] }: Transaction): void {
    const entry = put.find(({ key }) => key === volumeKey(this.#volumeId))
    if (entry === undefined) return
    const map = volumeMapCodec.decode(entry.value)
    const last = this.#committed.at(-1)!
    // Not thrown here, where the manager would take it for a failure of its store.
    this.#grows &&= last.generation < map.generation
    const taken = (each: VolumeMap) =>
      each.admissions.reduce((sum, { admission }) => sum + admission, 0)
    if (map.deleted || taken(map) > taken(last)) this.#takenAway = map.generation
    this.#committed.push(map)
  }

  /** Everything comes back and nothing is lost any more. */
  async heal(): Promise<void> {
    const { cluster } = this
    cluster.net.plan = () => ({ requestMs: 1, replyMs: 1 })
    for (const rig of cluster.servers) {
      cluster.net.cut(rig.name, false)
      if (!rig.alive) await rig.start()
    }
    if (cluster.manager === undefined) await cluster.startManager()
    await this.#wait(12_000)
  }

  async checkEnd(): Promise<void> {
    const map = this.#committed.at(-1)!
    const { volumes } = await this.cluster.run(this.cluster.admin.status({}, deadlineMs))
    if (map.deleted) {
      deepStrictEqual(volumes, [])
      for (const { store } of this.cluster.servers) deepStrictEqual(store.replicas.size, 0)
      return
    }
    deepStrictEqual(
      volumes.map(({ generation, change, behind }) => ({ generation, change, behind })),
      [{ generation: map.generation, change: '', behind: [] }],
    )
    for (const rig of this.cluster.servers) {
      const { serving, generation } = rig.held(this.#volumeId)!
      deepStrictEqual({ serving, generation }, { serving: true, generation: map.generation })
    }
  }
}

t.setTimeout(240_000)

await t.test('random histories of changes', { timeout: 240_000 }, async (t) => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 3, maxLength: 14 }),
      fc.nat(1_000_000),
      fc.constantFrom(0, 5, 20),
      async (steps, seed, faults) => {
        const cluster = await ControlCluster.start({ servers: 2 })
        try {
          const request = { name: 'v', sizeBytes: 8 * mib, stripe: 2, partitions: [] }
          const timing = { stalePolicy: 'reject', holdMs: 0, leaseMs: 0 } as const
          const created = cluster.admin.createVolume({ ...request, ...timing }, deadlineMs)
          const { map } = await cluster.run(created)
          const history = new History(cluster, map, seed, faults)
          for (const each of steps) await history.take(each)
          await history.heal()
          await history.checkEnd()
        } finally {
          await cluster.stop()
        }
      },
    ),
    { numRuns: Number(process.env.PALISADE_RUNS ?? 25) },
  )
  t.pass('no counterexample')
})
