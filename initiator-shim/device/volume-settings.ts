/**
 * What initiators set on a volume, as this front end knows it: the newest map says it, the manager
 * changes it. Without a manager the last known state holds and changes are BUSY. A change whose
 * answer was lost is asked for again under the same name until the map tells what became of it; where
 * that takes too long nobody is told a guess. Design, section 9.
 */
import { StorageError } from '../../src/base/errors.ts'
import { shim } from '../../src/base/limits.ts'
import type { ConfigurationClient } from '../../src/control/services.ts'
import type { Clock } from '../../src/ports/clock.ts'
import type { Log } from '../../src/ports/log.ts'
import type { ChangeOutcome, SharedState, UnitSettings } from '../../src/scsi/unit-settings.ts'
import type { VolumeMap } from '../../src/volume/map.ts'
import { initialState, outcomeOf, type VersionedState } from '../../src/volume/shared-state.ts'
import { anyOf } from '../signal.ts'
import type { VolumeState } from '../volume-state.ts'

export interface VolumeSettingsOptions {
  readonly client: string
  readonly state: VolumeState
  readonly configuration: ConfigurationClient
  readonly managerConnected: () => boolean
  readonly clock: Clock
  readonly log: Log
  /** Takes a map that came with an answer. */
  readonly take: (map: VolumeMap) => void
}

export class VolumeSettings implements UnitSettings {
  readonly #options: VolumeSettingsOptions
  /** Begins the names of our changes, which no other process uses. */
  readonly #prefix: string
  #changes = 0
  #known: VersionedState = initialState

  constructor(options: VolumeSettingsOptions) {
    this.#options = options
    this.#prefix = `${options.client} ${options.clock.wallMs()}`
  }

  /** The same object until a newer version comes, in however many maps. */
  get state(): SharedState {
    const newest = this.#options.state.map.shared ?? initialState
    if (newest.version !== this.#known.version) this.#known = newest
    return this.#known.state
  }

  /** Whether the newest change was made by this front end. */
  isOwn({ changes }: VersionedState): boolean {
    return changes.at(-1)?.startsWith(this.#prefix) ?? false
  }

  async change(
    former: SharedState,
    next: SharedState,
    { takesAway }: { readonly takesAway: boolean },
  ): Promise<ChangeOutcome> {
    if (former !== this.state) return 'changed'
    const { client, state, clock, managerConnected } = this.#options
    if (!managerConnected() || state.gone) return 'unavailable'
    this.#changes++
    const formerVersion = this.#known.version
    const change = `${this.#prefix}.${this.#changes}`
    const { volumeId } = state.map
    const request = { client, volumeId, change, formerVersion, state: next, takesAway }
    const giveUpMs = clock.nowMs() + shim.sharedStateDeadlineMs
    while (clock.nowMs() < giveUpMs && !state.gone) {
      const outcome = (await this.#ask(request)) ?? this.#told(change, formerVersion)
      if (outcome !== undefined) return outcome
      await anyOf([state.changed], { clock, ms: shim.sharedStateRetryMs })
    }
    return this.#told(change, formerVersion) ?? 'unknown'
  }

  /** Undefined: the answer was lost, or was none. */
  async #ask(
    request: Parameters<ConfigurationClient['changeSharedState']>[0],
  ): Promise<ChangeOutcome | undefined> {
    const { configuration, take, log, state } = this.#options
    const { name } = state.map
    try {
      const reply = await configuration.changeSharedState(request, shim.sharedStateAttemptMs)
      take(reply.map)
      if (reply.givenUp === '') return undefined
      log.warn('a change of the shared state was given up', { volume: name, why: reply.givenUp })
      return this.#told(request.change, request.formerVersion) ?? 'unavailable'
    } catch (error) {
      if (!(error instanceof StorageError)) throw error
      log.info('no answer to a change of the shared state', { volume: name, error: error.message })
      return undefined
    }
  }

  #told(change: string, former: number): 'done' | 'changed' | undefined {
    return outcomeOf(this.#options.state.map.shared ?? initialState, change, former)
  }
}
