/**
 * Who changes volumes while the power may fail at any time, and knows what was answered: what a call
 * said was done must hold afterwards; of a call without an answer everything or nothing.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { clientIqn } from '../../src/volume/names.ts'
import type { HandCluster } from '../support/hand-cluster.ts'

export const volume = 'data'
const second = 'second'
const copies = 2
const MIB = 1024 * 1024
const callMs = 30_000
const togetherMs = 60_000
/** Of no program: its fencing closes the volume and takes nothing from anybody. */
const stranger = clientIqn('00000000-0000-4000-8000-000000000000')

/** Values that may be found; the first one where nothing is under way. */
class Allowed<T> {
  #values: readonly T[]

  constructor(value: T) {
    this.#values = [value]
  }

  /** A call began; `done` when it was answered. */
  becoming(value: T): () => void {
    this.#values = [...this.#values, value]
    return () => {
      this.#values = [value]
    }
  }

  get last(): T {
    return this.#values.at(-1)!
  }

  /** What is found is what holds from now on. */
  found(value: T): string {
    const wrong = this.#values.includes(value) ? '' : `${value}, may be ${this.#values}`
    this.#values = [value]
    return wrong
  }
}

export class Administrator {
  readonly #cluster: HandCluster
  readonly #bytes = new Allowed(0)
  readonly #isFenced = new Allowed(false)
  /** Does the second volume exist? */
  readonly #isThere = new Allowed(false)

  constructor(cluster: HandCluster) {
    this.#cluster = cluster
  }

  async create(name: string, sizeBytes: number): Promise<void> {
    const done = name === volume ? this.#bytes.becoming(sizeBytes) : this.#isThere.becoming(true)
    const policies = { stripe: 0, stalePolicy: 'reject', holdMs: 0, leaseMs: 0 } as const
    const request = { name, sizeBytes, partitions: [], mirror: copies, ...policies }
    await this.#cluster.admin.createVolume(request, callMs)
    done()
  }

  /** Creates the second volume, or deletes it. */
  async createOrDelete(): Promise<void> {
    if (!this.#isThere.last) return this.create(second, 4 * MIB)
    const done = this.#isThere.becoming(false)
    await this.#cluster.admin.deleteVolume({ name: second, force: true }, callMs)
    done()
  }

  async grow(): Promise<void> {
    const sizeBytes = this.#bytes.last + MIB / 16
    const done = this.#bytes.becoming(sizeBytes)
    await this.#cluster.admin.growVolume({ name: volume, sizeBytes }, callMs)
    done()
  }

  /** A change of the map that shuts clients out while it is made: close, commit, activate. */
  async closingChange(): Promise<void> {
    const { admin } = this.#cluster
    const fences = !this.#isFenced.last
    const done = this.#isFenced.becoming(fences)
    const request = { volume, client: stranger }
    await (fences ? admin.fence(request, callMs) : admin.admit(request, callMs))
    done()
  }

  /** What is wrong with the volumes, in words. */
  async check(): Promise<string[]> {
    const volumes = await this.#together()
    const wrong: string[] = []
    const { map } = await this.#cluster.admin.showVolume({ name: volume }, callMs)
    const told = (what: string, fault: string): void => {
      if (fault !== '') wrong.push(`${what}: ${fault}`)
    }
    const bytes = volumes.find(({ name }) => name === volume)?.sizeBytes ?? 0
    told('size', this.#bytes.found(bytes))
    const isFenced = map.admissions.some(({ client, fenced }) => client === stranger && fenced)
    told('fenced', this.#isFenced.found(isFenced))
    told('second volume', this.#isThere.found(volumes.some(({ name }) => name === second)))
    for (const { name } of volumes) told(`copies of ${name}`, await this.#compare(name))
    return wrong
  }

  /** Every copy of every volume is in sync, nobody having helped. */
  async #together() {
    const deadline = Date.now() + togetherMs
    for (;;) {
      const { volumes } = await this.#cluster.admin.status({}, callMs)
      const replicas = volumes.flatMap((each) => each.replicas)
      // A volume that grew has more segments than one.
      const segments = new Set(replicas.map(({ segmentId }) => segmentId))
      const inSync = replicas.filter(({ state }) => state === 'in-sync').length
      const settled = volumes.every(({ change, behind }) => change === '' && behind.length === 0)
      if (settled && inSync === copies * segments.size && segments.size > 0) return volumes
      if (Date.now() > deadline) throw new Error(`copies stay apart: ${JSON.stringify(volumes)}`)
      await sleep(20)
    }
  }

  async #compare(name: string): Promise<string> {
    const { admin } = this.#cluster
    const deadline = Date.now() + togetherMs
    for (let start = true; ; start = false) {
      const request = { name, start, repair: false }
      const { segments } = await admin.verifyVolume(request, callMs)
      const done = segments.every(({ verification }) => verification.state === 'done')
      const differing = segments.reduce((sum, each) => sum + each.verification.differingPages, 0)
      if (done) return differing === 0 ? '' : `${differing} pages differ`
      if (segments.some(({ verification }) => verification.state !== 'running')) {
        if (Date.now() > deadline) return `not compared: ${JSON.stringify(segments)}`
        start = true
      }
      await sleep(10)
    }
  }
}
