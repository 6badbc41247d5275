/**
 * The streams of watching clients: all volumes, then `listed`, then every change, and a keep-alive
 * each second. A slow reader costs a bounded amount: what waits for it is a set of volumes, and of
 * each it gets only the newest map. It owns the streams, not the maps.
 */
import { manager as limits } from '../base/limits.ts'
import type { WatchEvent } from '../control/messages/client.ts'
import type { EventSink } from '../control/service.ts'
import type { Clock } from '../ports/clock.ts'
import type { VolumeMap } from '../volume/map.ts'

export interface WatchSource {
  readonly clock: Clock
  /** Maps as they are handed out, of volumes that can be used. */
  readonly maps: () => readonly VolumeMap[]
  readonly managementPath: () => readonly string[]
}

export class WatchHub {
  readonly #source: WatchSource
  readonly #watchers = new Set<Watcher>()

  constructor(source: WatchSource) {
    this.#source = source
  }

  get watching(): number {
    return this.#watchers.size
  }

  watch(sink: EventSink<WatchEvent>): void {
    const watcher = new Watcher(sink, this.#source)
    this.#watchers.add(watcher)
    sink.closed(() => {
      watcher.stop()
      this.#watchers.delete(watcher)
    })
    watcher.start()
  }

  /** A map to be told, or a deleted one: gone. */
  publish(map: VolumeMap): void {
    for (const watcher of this.#watchers) watcher.tell(map)
  }

  stop(): void {
    for (const watcher of [...this.#watchers]) watcher.end()
  }
}

class Watcher {
  readonly #sink: EventSink<WatchEvent>
  readonly #source: WatchSource
  /** The newest that is still to be sent of each volume. */
  readonly #waiting = new Map<string, VolumeMap>()
  #listed = false
  #blocked = false
  #stopped = false
  #cancelKeepAlive: () => void = () => undefined

  constructor(sink: EventSink<WatchEvent>, source: WatchSource) {
    this.#sink = sink
    this.#source = source
  }

  start(): void {
    const addresses = this.#source.managementPath()
    if (addresses.length > 0) this.#send({ managementPath: { addresses } })
    for (const map of this.#source.maps()) this.#waiting.set(map.volumeId, map)
    this.#pump()
    this.#keepAlive()
  }

  stop(): void {
    this.#stopped = true
    this.#cancelKeepAlive()
    this.#waiting.clear()
  }

  end(): void {
    this.stop()
    this.#sink.end()
  }

  tell(map: VolumeMap): void {
    if (this.#stopped) return
    const waiting = this.#waiting.get(map.volumeId)
    // Two changes may be published in another order than they were decided in.
    if (waiting !== undefined && waiting.generation > map.generation) return
    this.#waiting.set(map.volumeId, map)
    this.#pump()
  }

  #pump(): void {
    for (const [volumeId, map] of this.#waiting) {
      if (this.#blocked || this.#stopped) return
      this.#waiting.delete(volumeId)
      this.#send(map.deleted ? { gone: volumeId } : { map })
    }
    if (this.#listed || this.#blocked || this.#stopped) return
    this.#listed = true
    this.#send({ listed: true })
  }

  #send(event: WatchEvent): void {
    if (this.#sink.send(event)) return
    this.#blocked = true
    void this.#sink.drained().then(() => {
      this.#blocked = false
      if (!this.#stopped) this.#pump()
    })
  }

  #keepAlive(): void {
    this.#cancelKeepAlive = this.#source.clock.after(limits.keepAliveMs, () => {
      if (!this.#blocked) this.#send({ keepAlive: true })
      this.#keepAlive()
    })
  }
}
