/**
 * Front ends beside one another: who lives and whom it serves, as they tell twice a second, and
 * through which of them each initiator works on each volume, as changes of the map. The first access
 * names one, which takes nothing away. It is moved by a closing change, because the initiator asks
 * for it or because the named one does not serve the initiator any more; the entry's new number ends
 * whatever the former front end still has of that initiator. Design, section 2. What was heard is in
 * memory only: a manager that has just started takes nobody for lost before its time.
 */
import { StorageError } from '../base/errors.ts'
import { frontEnds as limits } from '../base/limits.ts'
import type { GatewayStatus } from '../control/messages/admin.ts'
import type {
  ActivateFrontEndReply,
  ActivateFrontEndRequest,
  AttendReply,
  AttendRequest,
  Gateway,
  GatewayLoad,
} from '../control/messages/client.ts'
import { anyOf, Signal } from '../leg/signal.ts'
import type { Clock } from '../ports/clock.ts'
import type { ActiveFrontEnd, VolumeMap } from '../volume/map.ts'
import { withActiveFrontEnd } from './map-edits.ts'
import type { Volumes } from './volumes.ts'

export interface FrontEndsContext {
  readonly clock: Clock
  readonly volumes: Volumes
  readonly handOut: (map: VolumeMap) => VolumeMap
}

/** One front end, as it was heard. */
interface Heard {
  gateway: Gateway | undefined
  /** Of initiators. */
  sessions: number
  attachments: readonly number[]
  atMs: number
  left: boolean
  /** When it was last known to serve an initiator, by volume and name. */
  readonly servedAtMs: Map<string, number>
}

export class FrontEnds {
  readonly #context: FrontEndsContext
  readonly #heard = new Map<string, Heard>()
  readonly #startedMs: number
  readonly #changed = new Signal()

  constructor(context: FrontEndsContext) {
    this.#context = context
    this.#startedMs = context.clock.nowMs()
  }

  /** Rejects a gateway whose portal group another one has. */
  attend({ client, gateway, serves, leaving, ...said }: AttendRequest): AttendReply {
    this.#checkGroup(client, gateway)
    const heard = this.#of(client)
    const nowMs = this.#context.clock.nowMs()
    heard.atMs = nowMs
    heard.left = leaving
    heard.gateway = gateway
    heard.sessions = said.sessions ?? 0
    heard.attachments = said.attachments?.slice(0, limits.attachments) ?? []
    for (const { volumeId, initiator } of leaving ? [] : serves) {
      heard.servedAtMs.set(served(volumeId, initiator), nowMs)
    }
    for (const [key, atMs] of heard.servedAtMs) {
      if (leaving || nowMs - atMs > limits.lostMs) heard.servedAtMs.delete(key)
    }
    this.#changed.notify()
    return { gateways: this.gateways, loads: this.#loads }
  }

  /** Those that serve. */
  get gateways(): Gateway[] {
    const found: Gateway[] = []
    for (const heard of this.#heard.values()) {
      if (heard.gateway !== undefined && this.#serves(heard)) found.push(heard.gateway)
    }
    return found.sort((left, right) => left.group - right.group)
  }

  get #loads(): GatewayLoad[] {
    return this.gateways.flatMap(({ client }) => {
      const heard = this.#heard.get(client)
      return heard ? [{ client, sessions: heard.sessions, attachments: heard.attachments }] : []
    })
  }

  /** The same with what goes through them, for people. */
  get status(): GatewayStatus[] {
    const maps = this.#context.volumes.all.map(({ map }) => map)
    return this.gateways.map((gateway) => ({
      ...gateway,
      sessions: this.#heard.get(gateway.client)?.sessions ?? 0,
      active: maps.flatMap(({ name, activeFrontEnds }) => {
        const through = activeFrontEnds.filter(({ client }) => client === gateway.client)
        const initiators = through.map(({ initiator }) => initiator)
        return initiators.length === 0 ? [] : [{ volume: name, initiators }]
      }),
    }))
  }

  /** By a front end. Answers with the newest map whether or not the change was made. */
  async activate(request: ActivateFrontEndRequest): Promise<ActivateFrontEndReply> {
    const { client, volumeId, initiator, explicit } = request
    const volume = this.#context.volumes.all.find(({ map }) => map.volumeId === volumeId)
    if (volume === undefined) throw new StorageError('not-found', `no volume ${volumeId}`)
    const former = entryAsked(volume.map, request)
    let givenUp = ''
    if (former !== undefined) {
      const { entry } = former
      const free = entry === undefined || explicit || (await this.#isLost(entry, volumeId))
      if (free && entry?.client !== client) {
        try {
          await volume.change({
            name: 'front end',
            closes: entry !== undefined,
            next: (map) => {
              const stillHolds = entryAsked(map, request) !== undefined
              return stillHolds ? withActiveFrontEnd(map, { initiator, client }) : undefined
            },
          })
          this.#of(client).servedAtMs.set(served(volumeId, initiator), this.#context.clock.nowMs())
        } catch (error) {
          if (!(error instanceof StorageError) || volume.map.deleted) throw error
          givenUp = error.message
        }
      }
    }
    return { map: this.#context.handOut(volume.map), givenUp }
  }

  /** Waits, where it was not heard of lately, until it is known one way or the other. */
  async #isLost({ client, initiator }: ActiveFrontEnd, volumeId: string): Promise<boolean> {
    const { clock } = this.#context
    for (;;) {
      const heard = this.#heard.get(client)
      if (heard?.left === true) return true
      const atMs = heard?.servedAtMs.get(served(volumeId, initiator)) ?? this.#startedMs
      const silentMs = clock.nowMs() - atMs
      if (silentMs >= limits.lostMs) return true
      // What it said last of itself may be that it does not serve this initiator any more.
      const isServed = heard === undefined || atMs >= heard.atMs
      if (isServed && silentMs < limits.presentMs) return false
      await anyOf([this.#changed], { clock, ms: limits.lostMs - silentMs })
    }
  }

  #checkGroup(client: string, gateway: Gateway | undefined): void {
    if (gateway === undefined) return
    for (const [other, heard] of this.#heard) {
      if (other === client || heard.gateway?.group !== gateway.group || !this.#serves(heard))
        continue
      throw new StorageError(
        'conflict',
        `portal group ${gateway.group} is that of the gateway at ${heard.gateway.addresses.join(', ')}: take another one`,
      )
    }
  }

  #serves({ left, atMs }: Heard): boolean {
    return !left && this.#context.clock.nowMs() - atMs < limits.lostMs
  }

  #of(client: string): Heard {
    let heard = this.#heard.get(client)
    if (heard === undefined) {
      heard = {
        gateway: undefined,
        sessions: 0,
        attachments: [],
        atMs: Number.NEGATIVE_INFINITY,
        left: false,
        servedAtMs: new Map(),
      }
      this.#heard.set(client, heard)
      this.#forgetOldest()
    }
    return heard
  }

  #forgetOldest(): void {
    if (this.#heard.size <= limits.frontEnds) return
    const [[client]] = [...this.#heard].sort(([, one], [, other]) => one.atMs - other.atMs) as [
      [string, Heard],
    ]
    this.#heard.delete(client)
  }
}

function served(volumeId: string, initiator: string): string {
  return `${volumeId} ${initiator}`
}

/** The entry that the asker knows; undefined where it does not hold any more. */
function entryAsked(
  map: VolumeMap,
  { initiator, formerNumber }: ActivateFrontEndRequest,
): { readonly entry: ActiveFrontEnd | undefined } | undefined {
  const entry = map.activeFrontEnds.find((each) => each.initiator === initiator)
  return (entry?.number ?? 0) === formerNumber ? { entry } : undefined
}
