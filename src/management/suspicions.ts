/**
 * Which servers are suspected by those who should use them, and whether the manager can reach what
 * is suspected: a server is given up because its partners or clients cannot use it, never because
 * the manager alone cannot see it. A suspect is asked with a short deadline, and again as long as
 * the suspicion lasts. It owns the probes and the accusations of clients; nothing is durable.
 */
import { background } from '../base/background.ts'
import { StorageError } from '../base/errors.ts'
import { manager as limits } from '../base/limits.ts'
import type { ReportRequest } from '../control/messages/client.ts'
import type { Cancel, Clock } from '../ports/clock.ts'

export interface SuspicionsContext {
  readonly clock: Clock
  /** Asks the server for its state; rejects where it does not answer. */
  readonly describe: (serverId: string) => Promise<void>
  /** A suspect did not answer, or it is time to look whether it still is one. */
  readonly lookAgain: (serverId: string) => void
}

/** What one client says of a server: since when, and when it last did. */
interface Accusation {
  readonly sinceMs: number
  readonly saidMs: number
}

interface Probe {
  /** `undefined` while it is under way. */
  outcome: 'answered' | 'failed' | undefined
  readonly sinceMs: number
  cancel: Cancel
}

export class Suspicions {
  readonly #context: SuspicionsContext
  readonly #probes = new Map<string, Probe>()
  /** By server, then by client. */
  readonly #accusations = new Map<string, Map<string, Accusation>>()
  /** By server: when a client last said that it can use it. */
  readonly #vouchedMs = new Map<string, number>()
  /** Servers that say that they cannot serve, and since when. */
  readonly #refusing = new Map<string, number>()

  constructor(context: SuspicionsContext) {
    this.#context = context
  }

  /** A client tells what it can reach. One path that works is enough for it. */
  reported({ client, serverId, reachable }: ReportRequest): void {
    const nowMs = this.#context.clock.nowMs()
    const accusers = this.#accusations.get(serverId) ?? new Map<string, Accusation>()
    const { sinceMs = nowMs } = accusers.get(client) ?? {}
    accusers.delete(client)
    if (reachable) this.#vouchedMs.set(serverId, nowMs)
    else if (accusers.size < limits.accusers) accusers.set(client, { sinceMs, saidMs: nowMs })
    if (accusers.size === 0) this.#accusations.delete(serverId)
    else this.#accusations.set(serverId, accusers)
    this.#context.lookAgain(serverId)
  }

  /** Some client cannot use it, and has said so not too long ago. */
  isAccused(serverId: string): boolean {
    return this.accusedMs(serverId) !== undefined
  }

  /** Since when one of them has been saying so, of those who still count. */
  accusedMs(serverId: string): number | undefined {
    const oldestMs = this.#context.clock.nowMs() - limits.accusationMs
    const accusers = [...(this.#accusations.get(serverId)?.values() ?? [])]
    const standing = accusers.filter(({ saidMs }) => saidMs >= oldestMs)
    if (standing.length === 0) return undefined
    return Math.min(...standing.map(({ sinceMs }) => sinceMs))
  }

  /** One has, and had the time to find another way to it. */
  isShunned(serverId: string): boolean {
    const sinceMs = this.accusedMs(serverId)
    if (sinceMs === undefined) return false
    return this.#context.clock.nowMs() - sinceMs >= limits.accusationStandsMs
  }

  /** When a client last said that it can use it after all. */
  vouchedMs(serverId: string): number | undefined {
    return this.#vouchedMs.get(serverId)
  }

  /** It did not say what it holds: it was not reached, or it has no store to speak of. */
  failed(serverId: string, { code }: StorageError): void {
    if (code === 'unreachable' || code === 'deadline') this.#refusing.delete(serverId)
    else if (!this.#refusing.has(serverId)) {
      this.#refusing.set(serverId, this.#context.clock.nowMs())
    }
    this.#context.lookAgain(serverId)
  }

  /** It is there, and has been saying for a while that it cannot serve: longer than a start takes. */
  isRefusing(serverId: string): boolean {
    const sinceMs = this.#refusing.get(serverId)
    if (sinceMs === undefined) return false
    return this.#context.clock.nowMs() - sinceMs >= limits.startTakesMs
  }

  /** It answered the manager. */
  heard(serverId: string): void {
    this.#refusing.delete(serverId)
    const probe = this.#probes.get(serverId)
    if (probe?.outcome === 'failed') this.#probes.delete(serverId)
  }

  /** It did not answer since it was suspected. */
  isSilent(serverId: string): boolean {
    return this.#probes.get(serverId)?.outcome === 'failed'
  }

  /** Call while somebody suspects it: asks the server, unless that was done just now. */
  check(serverId: string): void {
    if (this.#probes.has(serverId)) return
    const { clock, describe } = this.#context
    const probe: Probe = { outcome: undefined, sinceMs: clock.nowMs(), cancel: () => undefined }
    this.#probes.set(serverId, probe)
    probe.cancel = clock.after(limits.probeDeadlineMs, () => this.#end(serverId, probe, 'failed'))
    const answered = describe(serverId).then(
      () => this.#end(serverId, probe, 'answered'),
      (error: unknown) => {
        if (!(error instanceof StorageError)) throw error
        this.#end(serverId, probe, 'failed')
      },
    )
    background(answered, () => undefined)
  }

  stop(): void {
    for (const { cancel } of this.#probes.values()) cancel()
    this.#probes.clear()
  }

  #end(serverId: string, probe: Probe, outcome: 'answered' | 'failed'): void {
    if (probe.outcome !== undefined || this.#probes.get(serverId) !== probe) return
    const { clock, lookAgain } = this.#context
    probe.cancel()
    probe.outcome = outcome
    if (outcome === 'failed') {
      lookAgain(serverId)
      return
    }
    const sinceMs = clock.nowMs() - probe.sinceMs
    probe.cancel = clock.after(Math.max(1, limits.probeDeadlineMs - sinceMs), () => {
      this.#probes.delete(serverId)
      lookAgain(serverId)
    })
  }
}
