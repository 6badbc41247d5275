/**
 * What the command line asks about copies: how they are brought up and replaced, which are being
 * brought up now, and whether they are equal. Comparing is the work of the primaries; here it is
 * only started and asked about.
 */
import { StorageError } from '../base/errors.ts'
import { manager as limits, pageBytes } from '../base/limits.ts'
import type {
  RecoveryReply,
  RecoveryRequest,
  VerifiedSegment,
  VerifyVolumeReply,
  VerifyVolumeRequest,
} from '../control/messages/admin.ts'
import type { SegmentVerification } from '../control/messages/server.ts'
import type { Segment } from '../volume/map.ts'
import type { VolumeAdmin } from './admin-volumes.ts'
import type { ConfigurationStore } from './configuration-store.ts'
import type { ServerRegistry } from './server-registry.ts'
import type { Volumes } from './volumes.ts'

export interface RecoveryAdminContext {
  readonly store: ConfigurationStore
  readonly volumes: Volumes
  readonly volumeAdmin: VolumeAdmin
  readonly registry: ServerRegistry
}

const longestGraceMs = 30 * 24 * 3_600_000

export class RecoveryAdmin {
  readonly #context: RecoveryAdminContext

  constructor(context: RecoveryAdminContext) {
    this.#context = context
  }

  async recovery(request: RecoveryRequest): Promise<RecoveryReply> {
    const { store, volumes, volumeAdmin } = this.#context
    const { bytesPerSecond, graceMs } = check(request)
    if (bytesPerSecond !== undefined || graceMs !== undefined) {
      const before = store.recovery
      await store.putRecovery({
        bytesPerSecond: bytesPerSecond ?? before.bytesPerSecond,
        graceMs: graceMs ?? before.graceMs,
      })
    }
    const replicas = volumes.all.flatMap((volume) => {
      const { name, replicas } = volumeAdmin.status(volume)
      const wrong = replicas.filter((each) => each.state !== 'in-sync' || each.comparingBytes > 0)
      return wrong.map((replica) => ({ volume: name, replica }))
    })
    return { settings: store.recovery, replicas }
  }

  /** Starts a comparison at every primary, or tells how far they are. */
  async verify({ name, start, repair }: VerifyVolumeRequest): Promise<VerifyVolumeReply> {
    const { volumes, registry } = this.#context
    const { map } = volumes.named(name)
    if (map.copies === 1) {
      throw new StorageError('invalid', `volume ${name} has one copy: there is nothing to compare`)
    }
    const primaries = new Set(map.segments.map(({ replicas }) => replicas[0]!.serverId))
    const request = { volumeId: map.volumeId, start, repair }
    const asked = [...primaries].map(async (serverId) => {
      try {
        const reply = await registry.client(serverId).verify(request, limits.orderDeadlineMs)
        return reply.segments
      } catch (error) {
        // One that is away for a moment goes on; one that is lost is soon the primary no more.
        if (start || !isSilence(error)) throw error
        return map.segments
          .filter(({ replicas }) => replicas[0]?.serverId === serverId)
          .map(({ segmentId }) => ({ ...unknown, segmentId, state: 'running' as const }))
      }
    })
    const said = new Map<string, SegmentVerification>()
    for (const segments of await Promise.all(asked)) {
      for (const each of segments) said.set(each.segmentId, each)
    }
    const nameOf = (serverId: string) => registry.nameOf(serverId)
    return { segments: map.segments.map((segment) => verified(segment, said, nameOf)) }
  }
}

function verified(
  segment: Segment,
  said: ReadonlyMap<string, SegmentVerification>,
  nameOf: (serverId: string) => string,
): VerifiedSegment {
  const { segmentId, start, replicas } = segment
  const verification = said.get(segmentId) ?? { ...unknown, segmentId }
  const named = verification.named.map(({ serverId, ...where }) => {
    return { server: nameOf(serverId), ...where }
  })
  return {
    server: replicas[0]!.server,
    startBlock: start,
    verification: { ...verification, named: [] },
    named,
  }
}

function isSilence(error: unknown): boolean {
  return (
    error instanceof StorageError && (error.code === 'unreachable' || error.code === 'deadline')
  )
}

/** Of a segment of which its primary says nothing. */
const unknown: Omit<SegmentVerification, 'segmentId'> = {
  state: 'none',
  cause: '',
  totalBytes: 0,
  comparedBytes: 0,
  bytesPerSecond: 0,
  differingPages: 0,
  repairedPages: 0,
  named: [],
}

function check(request: RecoveryRequest): RecoveryRequest {
  const { bytesPerSecond, graceMs } = request
  if (bytesPerSecond !== undefined && bytesPerSecond > 0 && bytesPerSecond < pageBytes) {
    const why = `is less than ${pageBytes}, the smallest there is; 0 lifts the limit`
    throw new StorageError('invalid', `limit: ${bytesPerSecond} bytes a second ${why}`)
  }
  if (graceMs !== undefined && graceMs > longestGraceMs) {
    throw new StorageError('invalid', `grace: ${graceMs} ms is not 0 to ${longestGraceMs}`)
  }
  return request
}
