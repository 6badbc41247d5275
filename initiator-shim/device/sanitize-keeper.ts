/**
 * Sees to it that a sanitize operation of a volume comes to its end, whatever becomes of the front
 * end that carries it out: one whose process has ended goes on here when it was ours, and, where an
 * initiator is attached here, any of which nothing was heard for long. Taking it over is a full
 * change (close, commit, activate): what the former one still has under way touches nothing any more.
 * It owns no state of the operation; that is in the volume's map. SBC-3 4.11.
 */
import { background } from '../../src/base/background.ts'
import { shim } from '../../src/base/limits.ts'
import { DetachedTask } from '../../src/portal/detached-task.ts'
import type { PortalTask } from '../../src/portal/portal-host.ts'
import type { Cancel, Clock } from '../../src/ports/clock.ts'
import type { Log } from '../../src/ports/log.ts'
import type { Nexus } from '../../src/scsi/logical-unit.ts'
import type { RunningSanitize } from '../../src/scsi/sanitize-record.ts'
import type { VolumeState } from '../volume-state.ts'
import type { VolumeSettings } from './volume-settings.ts'

export interface SanitizeKeeperOptions {
  readonly client: string
  readonly state: VolumeState
  readonly settings: VolumeSettings
  readonly clock: Clock
  readonly log: Log
  readonly attached: () => boolean
  /** Settles when the operation has ended, or is not ours any more. */
  readonly resume: (task: PortalTask, owner: string) => Promise<void>
  /** Nothing of it is carried out here any more. */
  readonly ended: () => void
}

/** SANITIZE, BLOCK ERASE: what it was asked for with is of no matter any more. */
const sanitizeCdb = Buffer.from([0x48, 0x02, 0, 0, 0, 0, 0, 0, 0, 0])

export class SanitizeKeeper {
  readonly #options: SanitizeKeeperOptions
  #seen: RunningSanitize | undefined
  #timer: Cancel | undefined
  #resuming = false
  #closed = false

  constructor(options: SanitizeKeeperOptions) {
    this.#options = options
  }

  /** An operation is carried out here, with or without an initiator that waits for it. */
  get busy(): boolean {
    return this.#resuming
  }

  /** After each map, and when an initiator came. */
  look(): void {
    const { settings, state, clock } = this.#options
    const { sanitize } = settings.state
    const running = sanitize?.kind === 'running' && !state.gone ? sanitize : undefined
    if (running === this.#seen && this.#timer !== undefined) return
    this.#seen = running
    this.#timer?.()
    this.#timer = undefined
    if (running === undefined || this.#closed || this.#resuming) return
    // Where a command of ours carries it out, this comes after that: it goes on if that gave up.
    if (settings.isOfThisClient(running.owner)) this.#resume(running.owner)
    else this.#timer = clock.after(shim.sanitizeTakeOverMs, () => this.#takeOver(running))
  }

  close(): void {
    this.#closed = true
    this.#timer?.()
  }

  #takeOver(seen: RunningSanitize): void {
    const { attached, settings } = this.#options
    this.#timer = undefined
    if (attached() && settings.state.sanitize === seen) this.#resume(seen.owner)
  }

  #resume(owner: string): void {
    const { client, state, settings, log, resume, ended, clock } = this.#options
    this.#resuming = true
    if (owner !== settings.owner) {
      log.info('a sanitize operation is carried on', { volume: state.map.name, from: owner })
    }
    const nexus = { initiatorName: client, initiatorPort: client, targetName: state.map.iqn }
    const resumed = resume(detachedTask(nexus), owner).finally(() => {
      this.#resuming = false
      ended()
      // Where it could not be taken over now, it is tried again.
      if (!this.#closed) this.#timer = clock.after(shim.sanitizeResumeRetryMs, () => this.#again())
    })
    background(resumed, (error) =>
      log.error('a sanitize operation was left', { error: error.message }),
    )
  }

  #again(): void {
    this.#timer = undefined
    this.look()
  }
}

function detachedTask(nexus: Nexus): DetachedTask {
  return new DetachedTask({ nexus, lun: 0, cdb: sanitizeCdb, fence: { kind: 'absent' } })
}
