/** What all mirrored segments of one storage server share. It owns none of it. */
import type { Clock } from '../../src/ports/clock.ts'
import type { Random } from '../../src/ports/random.ts'
import type { ReplicaStore } from '../store/replica-store.ts'
import type { ClearingTimes } from './clearing-choice.ts'
import type { Confirmer } from './confirmer.ts'
import type { PageDigests } from './digests.ts'
import type { Leases } from './leases.ts'
import type { MaskStore } from './mask-store.ts'
import type { PartnerLinks } from './partner-links.ts'
import type { Throttle } from './throttle.ts'

export interface MirrorServer {
  readonly serverId: string
  readonly clock: Clock
  readonly random: Random
  readonly maskStore: MaskStore
  readonly links: PartnerLinks
  /** Of segments whose primary this server is. */
  readonly leases: Leases
  /** Of segments whose primary is elsewhere. */
  readonly confirmer: Confirmer
  readonly digests: PageDigests
  readonly throttle: Throttle
  readonly clearing: ClearingTimes
  /** The store of a segment now, undefined where there is none. */
  replica(segmentId: string): ReplicaStore | undefined
}
