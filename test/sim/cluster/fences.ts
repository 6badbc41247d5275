/**
 * The administrator: fences clients and lets them in again, grows volumes, makes and deletes some.
 * A client that is fenced may have nothing of its own take effect once the call has returned.
 */
import { StorageError } from '../../../src/base/errors.ts'
import { pageBytes } from '../../../src/base/limits.ts'
import type { LoadVolume } from '../load/sim-initiator.ts'
import type { Chance } from '../world/chance.ts'
import type { Cluster } from './cluster.ts'
import type { SimShim } from './sim-shim.ts'

const callDeadlineMs = 30_000

/** What was tried of one client at one volume. */
interface Span {
  readonly client: string
  readonly volume: number
  readonly fromMs: number
  untilMs: number
}

export class Fences {
  readonly #cluster: Cluster
  readonly #spans: Span[] = []
  #busy = new Set<number>()
  #spares = 0
  /** Calls under way. */
  pending = 0

  constructor(cluster: Cluster) {
    this.#cluster = cluster
  }

  /** Was this client fenced, or about to be, at some time since then? */
  touched(volume: number, client: string, sinceMs: number): boolean {
    return this.#spans.some(
      (span) => span.volume === volume && span.client === client && span.untilMs >= sinceMs,
    )
  }

  act(chance: Chance): void {
    const volume = chance.pick(this.#cluster.volumes)
    switch (chance.pick(['fence', 'fence', 'grow', 'spare'])) {
      case 'fence':
        this.fence(chance)
        return
      case 'grow':
        this.#inBackground(() => this.#grow(volume, 1 + chance.below(3)))
        return
      default:
        this.#inBackground(() => this.#spare(1 + chance.below(6), chance.skewed(1, 2_000)))
    }
  }

  /**
   * Client and volume by their numbers. `final`: what its initiators have sent by the time of the
   * answer has reached the shim, so that it ends there and comes no more.
   */
  fenceClient(volumeNumber: number, clientNumber: number, ms: number, final = false): void {
    const volume = this.#cluster.volumes[volumeNumber - 1]!
    const shim = this.#cluster.shims[clientNumber - 1]!
    this.#inBackground(() => this.#fence(volume, shim, { ms, final }))
  }

  /** The administrator vouches for it that the server is off. */
  declareDead(name: string): void {
    const { admin } = this.#cluster
    this.#inBackground(async () => {
      await this.#try(`declare ${name} dead`, () => admin.declareDead({ name }, callDeadlineMs))
    })
  }

  fence(chance: Chance): void {
    const volume = chance.pick(this.#cluster.volumes)
    const shim = chance.pick(this.#cluster.shims)
    const ms = chance.skewed(5, 3_000)
    this.#inBackground(() => this.#fence(volume, shim, { ms, final: false }))
  }

  #inBackground(work: () => Promise<void>): void {
    const { violations } = this.#cluster
    this.pending++
    work()
      .catch((error: unknown) => violations.report('administrator', error))
      .finally(() => {
        this.pending--
      })
  }

  async #fence(
    volume: LoadVolume,
    shim: SimShim,
    { ms, final }: { readonly ms: number; readonly final: boolean },
  ): Promise<void> {
    if (this.#busy.has(volume.number)) return
    this.#busy.add(volume.number)
    const { history, world, admin } = this.#cluster
    const { client } = shim
    const request = { volume: volume.name, client }
    const untilMs = Number.POSITIVE_INFINITY
    const span: Span = { client, volume: volume.number, fromMs: world.nowMs, untilMs }
    this.#spans.push(span)
    const of = { client: shim.name, volume: volume.number }
    if (await this.#try(`fence ${shim.name}`, () => admin.fence(request, callDeadlineMs))) {
      history.add({ what: 'fenced', ...of, atMs: world.nowMs, ...(final && { final }) })
      await this.#cluster.administratorWaits(ms)
    }
    history.add({ what: 'admitted', ...of, atMs: world.nowMs })
    while (!(await this.#try(`admit ${shim.name}`, () => admin.admit(request, callDeadlineMs)))) {
      await this.#cluster.administratorWaits(300)
    }
    // Clients may have the older map for a while.
    span.untilMs = world.nowMs + 10_000
    this.#busy.delete(volume.number)
  }

  async #grow(volume: LoadVolume, pages: number): Promise<void> {
    const { admin } = this.#cluster
    const sizeBytes = volume.blocks * 512 + pages * pageBytes
    const request = { name: volume.name, sizeBytes }
    await this.#try(`grow ${volume.name}`, async () => {
      const { map } = await admin.growVolume(request, callDeadlineMs)
      volume.blocks = map.blocks
    })
  }

  async #spare(pages: number, ms: number): Promise<void> {
    const name = `spare${++this.#spares}`
    const { admin } = this.#cluster
    const request = {
      name,
      sizeBytes: pages * pageBytes,
      stripe: 0,
      holdMs: 0,
      leaseMs: 0,
      partitions: [],
      stalePolicy: 'reject',
    } as const
    await this.#try(`create ${name}`, () => admin.createVolume(request, callDeadlineMs))
    await this.#cluster.administratorWaits(ms)
    await this.#try(`delete ${name}`, () =>
      admin.deleteVolume({ name, force: true }, callDeadlineMs),
    )
  }

  async #try(what: string, call: () => Promise<unknown>): Promise<boolean> {
    const { world } = this.#cluster
    world.note(`administrator: ${what}`)
    try {
      await call()
      world.note(`administrator: ${what}: done`)
      return true
    } catch (error) {
      if (!(error instanceof StorageError)) throw error
      world.note(`administrator: ${what}: ${error.code} ${error.message}`)
      return false
    }
  }
}
