/**
 * Tells the manager what this server sees of the replicas beside its own: at once when that changed
 * in a way that a manager acts on, and now and then while something goes on. It looks by itself,
 * because that somebody falls silent is no event. It owns its timer and what was told last.
 */
import { background } from '../../src/base/background.ts'
import { toError } from '../../src/base/errors.ts'
import { mirror, storageServer } from '../../src/base/limits.ts'
import type { HeldVolume as HeldVolumeMessage } from '../../src/control/messages/server.ts'
import type { ConfigurationClient } from '../../src/control/services.ts'
import type { Cancel, Clock } from '../../src/ports/clock.ts'
import type { Log } from '../../src/ports/log.ts'
import type { HeldVolume } from './held-volume.ts'

export interface ConditionReportsContext {
  readonly configuration: Pick<ConfigurationClient, 'condition'>
  readonly serverId: string
  readonly clock: Clock
  readonly log: Log
  /** Those of which anything may be told. */
  volumes(): Iterable<HeldVolume>
  describe(volume: HeldVolume): HeldVolumeMessage
}

interface Told {
  what: string
  telling: boolean
  /** Nobody answered. */
  failed: boolean
  nextMs: number
}

export class ConditionReports {
  readonly #context: ConditionReportsContext
  readonly #told = new Map<string, Told>()
  #managers = 0
  #cancel: Cancel | undefined
  #stopped = false

  constructor(context: ConditionReportsContext) {
    this.#context = context
  }

  start(): void {
    if (this.#stopped) return
    this.#cancel = this.#context.clock.after(mirror.conditionLookMs, () => {
      for (const volume of this.#context.volumes()) this.look(volume)
      this.start()
    })
  }

  stop(): void {
    this.#stopped = true
    this.#cancel?.()
  }

  /** To a manager that was told nothing yet. */
  tellAnew(): void {
    this.#managers += 1
    for (const told of this.#told.values()) told.what = ''
    for (const volume of this.#context.volumes()) this.look(volume)
  }

  /** Also to be called when something may have changed. */
  look(volume: HeldVolume): void {
    if (this.#stopped) return
    const segments = volume.conditions()
    const told = this.#toldOf(volume.volumeId)
    const what = decisive(volume.map.generation, segments)
    const isDue = this.#context.clock.nowMs() >= told.nextMs
    const isNew = told.failed ? isDue : what !== told.what || (isDue && goesOn(segments))
    if (!isNew || told.telling) return
    told.telling = true
    background(this.#tell(volume, told, what), () => undefined)
  }

  async #tell(volume: HeldVolume, told: Told, what: string): Promise<void> {
    const { configuration, serverId, clock, log } = this.#context
    const manager = this.#managers
    const request = { serverId, volume: this.#context.describe(volume) }
    try {
      await configuration.condition(request, storageServer.managerDeadlineMs)
      told.failed = false
      // It may have been the former manager that heard it.
      told.what = manager === this.#managers ? what : ''
      told.nextMs = clock.nowMs() + mirror.progressMs
    } catch (error) {
      log.debug('condition not told', { volume: volume.map.name, error: toError(error).message })
      told.failed = true
      told.nextMs = clock.nowMs() + mirror.conditionRetryMs
    }
    told.telling = false
    this.look(volume)
  }

  #toldOf(volumeId: string): Told {
    let told = this.#told.get(volumeId)
    if (told === undefined) {
      told = { what: '', telling: false, failed: false, nextMs: 0 }
      this.#told.set(volumeId, told)
    }
    return told
  }
}

type Segments = HeldVolumeMessage['segments']

/** What a manager acts on, under which map; empty where there is nothing to say. */
function decisive(generation: number, segments: Segments): string {
  if (segments.length === 0) return ''
  const said = segments
    .map(({ segmentId, partners, primarySilent, diskFailed, comparingBytes }) => {
      const states = partners.map(({ serverId, state, incarnation }) => [
        serverId,
        state,
        incarnation,
      ])
      return JSON.stringify([segmentId, states, primarySilent, diskFailed, comparingBytes > 0])
    })
    .join()
  return `${generation} ${said}`
}

function goesOn(segments: Segments): boolean {
  return segments.some(
    ({ partners, comparingBytes }) =>
      comparingBytes > 0 || partners.some(({ state }) => state === 'copying'),
  )
}
