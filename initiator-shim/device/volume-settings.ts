/**
 * What initiators set on a volume, as this front end knows it: the newest map says it, the manager
 * changes it. Without a manager the last known state holds and changes are BUSY. A change whose
 * answer was lost is asked for again under the same name until the map tells what became of it; where
 * that takes too long nobody is told a guess. What ends with a session has ended here at once, and
 * everywhere when the manager has been told. Design, section 9.
 */
import { background } from '../../src/base/background.ts'
import { StorageError } from '../../src/base/errors.ts'
import { shim } from '../../src/base/limits.ts'
import type { ConfigurationClient } from '../../src/control/services.ts'
import { anyOf, Signal } from '../../src/leg/signal.ts'
import type { Clock } from '../../src/ports/clock.ts'
import type { Log } from '../../src/ports/log.ts'
import type {
  ChangeOutcome,
  Edit,
  SharedState,
  UnitSettings,
} from '../../src/scsi/unit-settings.ts'
import type { VolumeMap } from '../../src/volume/map.ts'
import { initialState, outcomeOf, type VersionedState } from '../../src/volume/shared-state.ts'
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

interface How {
  readonly takesAway: boolean
}

export class VolumeSettings implements UnitSettings {
  readonly #options: VolumeSettingsOptions
  /** Begins the names of our changes, which no other process uses. */
  readonly owner: string
  #changes = 0
  #known: VersionedState = initialState
  /** What is known, with what has yet to be undone everywhere. */
  #shown: SharedState = initialState.state
  #reverts: readonly Edit[] = []
  readonly #settled = new Signal()
  #closed = false

  constructor(options: VolumeSettingsOptions) {
    this.#options = options
    this.owner = `${options.client} ${options.clock.wallMs()}`
  }

  /** The same object until a newer version comes, in however many maps. */
  get state(): SharedState {
    this.#look()
    return this.#shown
  }

  /** Whether that is this process, or a former one of the same client, which has ended. */
  isOfThisClient(owner: string): boolean {
    return owner.startsWith(`${this.#options.client} `)
  }

  /** Whether the newest change was made by this front end. */
  isOwn({ changes }: VersionedState): boolean {
    return changes.at(-1)?.startsWith(this.owner) ?? false
  }

  async change(former: SharedState, next: SharedState, how: How): Promise<ChangeOutcome> {
    if (former !== this.state) return 'changed'
    const reverts = this.#reverts
    const outcome = await this.#replace(next, how)
    // The new state was made from the one shown, and so has brought these about.
    if (outcome === 'done') this.#forget(reverts)
    return outcome
  }

  revert(edit: Edit): void {
    if (edit(this.state) === undefined) return
    this.#show(this.#known, [...this.#reverts, edit])
    background(this.#bringAbout(edit), () => undefined)
  }

  /** Resolves when nothing is left to be undone, or after a while. */
  async settled(): Promise<void> {
    const { clock } = this.#options
    const untilMs = clock.nowMs() + shim.revertSettleMs
    for (;;) {
      const ms = untilMs - clock.nowMs()
      if (this.#reverts.length === 0 || ms <= 0) return
      await anyOf([this.#settled], { clock, ms })
    }
  }

  close(): void {
    this.#closed = true
  }

  get #newest(): VersionedState {
    return this.#options.state.map.shared ?? initialState
  }

  #look(): void {
    if (this.#newest.version !== this.#known.version) this.#show(this.#newest, this.#reverts)
  }

  #show(known: VersionedState, reverts: readonly Edit[]): void {
    this.#known = known
    this.#reverts = reverts
    this.#shown = reverts.reduce((state, edit) => edit(state) ?? state, known.state)
  }

  async #bringAbout(edit: Edit): Promise<void> {
    const { clock, state } = this.#options
    while (this.#reverts.includes(edit) && !state.gone && !this.#closed) {
      this.#look()
      const next = edit(this.#known.state)
      const outcome = next === undefined ? 'done' : await this.#replace(next, { takesAway: false })
      if (outcome === 'done') break
      if (outcome !== 'changed') await anyOf([state.changed], { clock, ms: shim.revertRetryMs })
    }
    this.#forget([edit])
  }

  #forget(reverts: readonly Edit[]): void {
    const left = this.#reverts.filter((edit) => !reverts.includes(edit))
    if (left.length === this.#reverts.length) return
    this.#show(this.#newest, left)
    this.#settled.notify()
  }

  /** Replaces the state that is known by `next`. */
  async #replace(next: SharedState, { takesAway }: How): Promise<ChangeOutcome> {
    const { client, state, clock, managerConnected } = this.#options
    if (!managerConnected() || state.gone) return 'unavailable'
    this.#changes++
    const formerVersion = this.#known.version
    const change = `${this.owner}.${this.#changes}`
    const { volumeId } = state.map
    const request = { client, volumeId, change, formerVersion, state: next, takesAway }
    const giveUpMs = clock.nowMs() + shim.sharedStateDeadlineMs
    while (clock.nowMs() < giveUpMs && !state.gone) {
      const outcome = (await this.#ask(request)) ?? outcomeOf(this.#newest, change, formerVersion)
      if (outcome !== undefined) return outcome
      await anyOf([state.changed], { clock, ms: shim.sharedStateRetryMs })
    }
    return outcomeOf(this.#newest, change, formerVersion) ?? 'unknown'
  }

  /** Undefined: the map tells it, or the answer was lost. */
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
      return outcomeOf(this.#newest, request.change, request.formerVersion) ?? 'unavailable'
    } catch (error) {
      if (!(error instanceof StorageError)) throw error
      log.info('no answer to a change of the shared state', { volume: name, error: error.message })
      return undefined
    }
  }
}
