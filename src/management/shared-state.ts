/**
 * What initiators set on volumes, as changes of their maps: asked for by front ends, which name the
 * version that they replace, and by operators who clear reservations. A change that takes something
 * away is a full one (close, commit, activate) and is undone where servers cannot be closed; it
 * fences nobody for good, so its initiator may ask again. Design, sections 4 and 9.
 */
import { StorageError } from '../base/errors.ts'
import type { ClearReservationsRequest, VolumeReply } from '../control/messages/admin.ts'
import type {
  ChangeSharedStateReply,
  ChangeSharedStateRequest,
} from '../control/messages/client.ts'
import type { VolumeMap } from '../volume/map.ts'
import { initialState, nextVersion, withoutReservations } from '../volume/shared-state.ts'
import type { MapDraft } from './configuration-store.ts'
import type { ManagedVolume } from './managed-volume.ts'
import type { Volumes } from './volumes.ts'

export interface SharedStatesContext {
  readonly volumes: Volumes
  readonly handOut: (map: VolumeMap) => VolumeMap
}

export class SharedStates {
  readonly #context: SharedStatesContext

  constructor(context: SharedStatesContext) {
    this.#context = context
  }

  /** By a front end. Answers with the newest map whether or not the change was made. */
  async change(request: ChangeSharedStateRequest): Promise<ChangeSharedStateReply> {
    const { volumeId, takesAway } = request
    const volume = this.#context.volumes.all.find(({ map }) => map.volumeId === volumeId)
    if (volume === undefined) throw new StorageError('not-found', `no volume ${volumeId}`)
    let givenUp = ''
    try {
      await volume.change({
        name: 'reservation',
        closes: takesAway,
        next: (map) => withChange(map, request),
      })
    } catch (error) {
      givenUp = undone(volume, error)
    }
    return { map: this.#context.handOut(volume.map), givenUp }
  }

  /** By an operator. Nobody may do less afterwards, so nobody is shut out. */
  async clear(request: ClearReservationsRequest): Promise<VolumeReply> {
    const volume = this.#context.volumes.named(request.volume)
    const { map, shutOutMs } = await volume.change({
      name: 'clear reservations',
      closes: false,
      next: withReservationsCleared,
    })
    return { map: this.#context.handOut(map), shutOutMs }
  }
}

/** A fence of the volume that is pending, or servers that could not be closed: nothing was changed. */
function undone(volume: ManagedVolume, error: unknown): string {
  const expected = error instanceof StorageError && !volume.map.deleted
  if (expected && (error.code === 'unreachable' || error.code === 'conflict')) return error.message
  throw error
}

/** Nothing to do where the version has moved on: the asker finds out from the map. */
function withChange(map: VolumeMap, request: ChangeSharedStateRequest): MapDraft | undefined {
  const now = map.shared ?? initialState
  if (now.version !== request.formerVersion) return undefined
  return { ...map, shared: nextVersion(now, request.change, request.state) }
}

function withReservationsCleared(map: VolumeMap): MapDraft | undefined {
  const now = map.shared ?? initialState
  const { registrations, persistent, reserved } = now.state.reservations
  if (registrations.length === 0 && persistent === undefined && reserved === undefined) {
    return undefined
  }
  return { ...map, shared: nextVersion(now, 'operator', withoutReservations(now.state)) }
}
