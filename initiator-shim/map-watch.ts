/**
 * The maps of our volumes, as the manager knows them: a watch that lists all of them and then tells
 * every change, opened again whenever it ends or falls silent, and GetMap for one volume of which a
 * server knows more than we do. What a new list does not name is gone. Where no manager answers,
 * what was known last goes on to hold.
 */
import { background } from '../src/base/background.ts'
import { shim } from '../src/base/limits.ts'
import type { WatchEvent } from '../src/control/messages/client.ts'
import type { ConfigurationClient } from '../src/control/services.ts'
import type { Cancel, Clock } from '../src/ports/clock.ts'
import type { Log } from '../src/ports/log.ts'
import type { RpcStream } from '../src/ports/rpc.ts'
import type { VolumeMap } from '../src/volume/map.ts'

export interface MapWatchOptions {
  readonly client: string
  readonly configuration: ConfigurationClient
  readonly clock: Clock
  readonly log: Log
  readonly map: (map: VolumeMap) => void
  readonly gone: (volumeId: string) => void
  readonly managementPath: (portals: readonly string[]) => void
}

export class MapWatch {
  /** Resolves when the first list is complete. */
  readonly listed: Promise<void>
  readonly #options: MapWatchOptions
  #resolveListed: () => void = () => undefined
  readonly #known = new Set<string>()
  /** Named by the list that is coming in; undefined once it is complete. */
  #listing: Set<string> | undefined
  #stream: RpcStream | undefined
  #opening = 0
  #cancelTimer: Cancel = () => undefined
  #retryMs: number = shim.watchRetryFirstMs
  #connected = false
  #stopped = false
  /** Volumes for which GetMap is under way. */
  readonly #asking = new Set<string>()

  constructor(options: MapWatchOptions) {
    this.#options = options
    this.listed = new Promise((resolve) => {
      this.#resolveListed = resolve
    })
  }

  get connected(): boolean {
    return this.#connected
  }

  start(): void {
    const { configuration, client } = this.#options
    const opening = ++this.#opening
    this.#listing = new Set()
    this.#awaitEvent(opening)
    this.#stream = configuration.watch(
      { client },
      {
        event: (event) => {
          if (opening === this.#opening) this.#event(event, opening)
        },
        ended: (cause) => this.#ended(opening, cause?.message ?? 'the manager ended the stream'),
      },
    )
  }

  stop(): void {
    this.#stopped = true
    this.#opening++
    this.#cancelTimer()
    this.#stream?.cancel()
  }

  /** Asks for a map newer than a generation, unless that is under way. It comes like any other. */
  refresh(volume: string, newerThan: number): void {
    if (this.#asking.has(volume) || this.#stopped) return
    this.#asking.add(volume)
    const { log } = this.#options
    background(
      this.#getMap(volume, newerThan).finally(() => this.#asking.delete(volume)),
      (error) => log.info('no newer map', { volume, newerThan, error: error.message }),
    )
  }

  async #getMap(volume: string, newerThan: number): Promise<void> {
    const { configuration, client, map } = this.#options
    const request = { client, volume, newerThan }
    const reply = await configuration.getMap(request, shim.getMapDeadlineMs)
    if (reply.map !== undefined && !this.#stopped) map(reply.map)
  }

  #event(event: WatchEvent, opening: number): void {
    this.#awaitEvent(opening)
    this.#retryMs = shim.watchRetryFirstMs
    if (!this.#connected) this.#options.log.info('watching the maps')
    this.#connected = true
    const { map, gone, managementPath, listed } = event
    if (managementPath !== undefined) this.#options.managementPath(managementPath.addresses)
    if (map !== undefined) {
      this.#known.add(map.volumeId)
      this.#listing?.add(map.volumeId)
      this.#options.map(map)
    }
    if (gone !== undefined) this.#forget(gone)
    if (listed === true) this.#listIsComplete()
  }

  #listIsComplete(): void {
    const listing = this.#listing
    this.#listing = undefined
    if (listing !== undefined) {
      for (const volumeId of [...this.#known]) if (!listing.has(volumeId)) this.#forget(volumeId)
    }
    this.#resolveListed()
  }

  #forget(volumeId: string): void {
    this.#known.delete(volumeId)
    this.#listing?.delete(volumeId)
    this.#options.gone(volumeId)
  }

  /** The manager sends something every second; a stream that falls silent is as good as ended. */
  #awaitEvent(opening: number): void {
    this.#cancelTimer()
    this.#cancelTimer = this.#options.clock.after(shim.watchSilenceMs, () =>
      this.#ended(opening, 'the manager fell silent'),
    )
  }

  #ended(opening: number, cause: string): void {
    if (opening !== this.#opening || this.#stopped) return
    this.#opening++
    this.#cancelTimer()
    this.#stream?.cancel()
    if (this.#connected) this.#options.log.warn('the watch ended', { cause })
    this.#connected = false
    const delayMs = this.#retryMs
    this.#retryMs = Math.min(2 * delayMs, shim.watchRetryLongestMs)
    this.#cancelTimer = this.#options.clock.after(delayMs, () => this.start())
  }
}
