/**
 * What this front end knows of one volume now: the newest map, with its routing and our admission.
 * It never goes back to an older generation. Owned by the shim; changed in one turn, then told.
 */

import { Signal } from '../src/leg/signal.ts'
import type { Admission, Replica, Segment, VolumeMap } from '../src/volume/map.ts'
import { Routing } from '../src/volume/routing.ts'

export class VolumeState {
  /** Notified after every change. */
  readonly changed = new Signal()
  readonly #client: string
  readonly #refresh: (newerThan: number) => void
  #map: VolumeMap
  #routing: Routing
  #admission: Admission
  #segments: ReadonlyMap<string, Segment>
  #gone = false

  /** `refresh` asks the manager for a map above a generation; whatever comes is given to `take`. */
  constructor(client: string, map: VolumeMap, refresh: (newerThan: number) => void) {
    this.#client = client
    this.#refresh = refresh
    this.#map = map
    this.#routing = new Routing(map)
    this.#admission = admissionOf(map, client)
    this.#segments = segmentsOf(map)
  }

  get map(): VolumeMap {
    return this.#map
  }

  get routing(): Routing {
    return this.#routing
  }

  /** True once the volume is deleted, or gone for this client. */
  get gone(): boolean {
    return this.#gone || this.#map.deleted
  }

  /** Ours: `admission` grows each time something is taken away from us. */
  get admission(): Admission {
    return this.#admission
  }

  segment(segmentId: string): Segment | undefined {
    return this.#segments.get(segmentId)
  }

  /** The replica that serves, by the map. */
  primary(segmentId: string): Replica | undefined {
    return this.segment(segmentId)?.replicas[0]
  }

  /** Takes a map of this generation (portals may have changed) or a newer one. False: older. */
  take(map: VolumeMap): boolean {
    if (map.generation < this.#map.generation) return false
    this.#map = map
    this.#admission = admissionOf(map, this.#client)
    this.#gone = false
    if (!map.deleted) {
      this.#routing = new Routing(map)
      this.#segments = segmentsOf(map)
    }
    return true
  }

  leave(): void {
    this.#gone = true
  }

  /** A server has a newer generation than `generation`: one is wanted here too. */
  wantNewerThan(generation: number): void {
    if (this.#map.generation <= generation) this.#refresh(generation)
  }
}

function admissionOf(map: VolumeMap, client: string): Admission {
  const own = map.admissions.find((each) => each.client === client)
  return own ?? { client, admission: 0, fenced: false }
}

function segmentsOf(map: VolumeMap): ReadonlyMap<string, Segment> {
  return new Map(map.segments.map((segment) => [segment.segmentId, segment]))
}
