/**
 * This front end among others: tells the manager that it lives and whom it serves, and knows the
 * gateways that serve the same volumes. A plain shim is no gateway: it lists only itself, and tells
 * of itself only while it is somebody's active front end. Owned by the shim.
 */
import { background } from '../../src/base/background.ts'
import { StorageError } from '../../src/base/errors.ts'
import { frontEnds as limits } from '../../src/base/limits.ts'
import type { AttendReply, Gateway, ServedInitiator } from '../../src/control/messages/client.ts'
import type { ConfigurationClient } from '../../src/control/services.ts'
import type { Cancel, Clock } from '../../src/ports/clock.ts'

/** Another gateway that serves, as it told of itself last. */
export interface KnownGateway extends Gateway {
  /** Of initiators. */
  readonly sessions: number
  /** See `attachmentKey`. */
  readonly attachments: ReadonlySet<number>
}

export interface AttendanceOptions {
  readonly client: string
  /** Absent: a plain shim. */
  readonly gateway?: { readonly group: number; readonly addresses: () => readonly string[] }
  readonly configuration: ConfigurationClient
  readonly clock: Clock
  readonly serves: () => readonly ServedInitiator[]
  /** Of initiators. */
  readonly sessions: () => number
  /** See `attachmentKey`. */
  readonly attachments: () => readonly number[]
  /** Some map names this front end. */
  readonly named: () => boolean
}

export class Attendance {
  readonly #options: AttendanceOptions
  #gateways: readonly Gateway[] = []
  #loads: readonly KnownGateway[] = []
  #knownAtMs = Number.NEGATIVE_INFINITY
  #cancel: Cancel = () => undefined
  /** For the time of the next call. */
  #waiting = false
  #hurried = false
  #leaving = false
  #left = false
  #stopped = false
  #underWay: Promise<void> | undefined

  constructor(options: AttendanceOptions) {
    this.#options = options
  }

  get isGateway(): boolean {
    return this.#options.gateway !== undefined
  }

  /** Resolves when the manager has taken note of a gateway; rejects where it must not serve. */
  async start(): Promise<void> {
    while (this.isGateway && !this.#stopped) {
      try {
        await this.#attend()
        break
      } catch (error) {
        // A manager that does not answer will; one that says no has a reason for people.
        if (!(error instanceof StorageError) || error.code === 'refused') throw error
        await new Promise<void>((resolve) => {
          this.#cancel = this.#options.clock.after(limits.attendMs, resolve)
        })
      }
    }
    this.#next()
  }

  /** All gateways that serve, this one included; none where this is a plain shim. */
  get gateways(): readonly Gateway[] {
    const own = this.#own()
    if (own === undefined) return []
    const others = this.#gateways.filter(({ client }) => client !== own.client)
    return [own, ...others].sort((left, right) => left.group - right.group)
  }

  get others(): readonly Gateway[] {
    return this.gateways.filter(({ client }) => client !== this.#options.client)
  }

  /** The others, as far as their sessions are known; none where what is known is old. */
  get loads(): readonly KnownGateway[] {
    const ageMs = this.#options.clock.nowMs() - this.#knownAtMs
    return ageMs > limits.spreadKnownMs ? [] : this.#loads
  }

  /** The manager knows that this gateway stops. */
  get isLeaving(): boolean {
    return this.#left
  }

  /** Sessions began or ended: logins may belong to other places now. */
  hurry(): void {
    if (!this.isGateway || this.#hurried) return
    this.#hurried = true
    if (!this.#waiting) return
    this.#cancel()
    this.#next()
  }

  /** From now on its initiators may be taken over at once. Never rejects. */
  async leave(): Promise<void> {
    this.#leaving = true
    if (this.#left) return
    if (!this.isGateway && !this.#options.named()) return
    // What it says must not come to the manager after this.
    await this.#underWay
    try {
      await this.#attend()
      this.#left = true
    } catch (error) {
      // Then they are taken over after a while.
      if (!(error instanceof StorageError)) throw error
    }
  }

  stop(): void {
    this.#stopped = true
    this.#cancel()
  }

  #own(): Gateway | undefined {
    const { client, gateway } = this.#options
    return gateway && { client, group: gateway.group, addresses: gateway.addresses() }
  }

  #next(): void {
    if (this.#stopped) return
    const ms = this.#hurried ? limits.attendSoonMs : limits.attendMs
    this.#waiting = true
    this.#cancel = this.#options.clock.after(ms, () => {
      this.#waiting = false
      this.#hurried = false
      if (!this.isGateway && !this.#options.named()) {
        this.#next()
        return
      }
      const attended = this.#attend().catch((error: unknown) => {
        // Other front ends take over where that lasts; what was known of them goes on to hold.
        if (!(error instanceof StorageError)) throw error
      })
      this.#underWay = attended
      background(
        attended.then(() => this.#next()),
        () => undefined,
      )
    })
  }

  async #attend(): Promise<void> {
    const { client, configuration, serves, sessions, attachments, clock } = this.#options
    const gateway = this.#own()
    const request = {
      client,
      serves: serves(),
      sessions: sessions(),
      attachments: gateway === undefined ? [] : attachments(),
      leaving: this.#leaving,
      ...(gateway !== undefined && { gateway }),
    }
    const reply = await configuration.attend(request, limits.attendDeadlineMs)
    this.#gateways = reply.gateways
    this.#loads = known(reply).filter((each) => each.client !== client)
    this.#knownAtMs = clock.nowMs()
  }
}

function known({ gateways, loads }: AttendReply): KnownGateway[] {
  return gateways.flatMap((gateway) => {
    const load = loads.find(({ client }) => client === gateway.client)
    if (load === undefined) return []
    return [{ ...gateway, sessions: load.sessions, attachments: new Set(load.attachments) }]
  })
}
