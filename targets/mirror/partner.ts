/**
 * One other replica of a segment, as the segment's primary reaches it: what goes over the
 * replication session between two servers (design: primary copy). It knows no masks and decides
 * nothing; who calls it holds the range lock of what is written.
 *
 * Every call is one command, stamped with a generation. It rejects with PartnerFailure; after
 * `lost` the command may or may not have had its effect, and nothing of it can have any once the
 * next call on the same partner has begun: that call goes over a session that ended the former one.
 */

import type { BlockExtent } from '../../src/scsi/logical-unit.ts'
import type { Generation } from '../../src/volume/generation.ts'
import type { RequestIdentity } from '../../src/volume/request-identity.ts'
import type { MaskSet } from './mask-set.ts'

export type PartnerFailureKind =
  /** No session, or it ended first. */
  | 'lost'
  /** Refused by its comparator: another generation, closed, not admitted. Nothing was touched. */
  | 'refused'
  /** Its store or its process could not do it. */
  | 'failed'

export class PartnerFailure extends Error {
  override readonly name = 'PartnerFailure'
  readonly kind: PartnerFailureKind

  constructor(kind: PartnerFailureKind, message: string) {
    super(message)
    this.kind = kind
  }
}

export interface PartnerCall {
  readonly generation: Generation
  /** Content that brings the replica up to date, not a client's write. */
  readonly resync?: boolean
  /** Of the client's request of which this is the effect, where it must not have it twice. */
  readonly identity?: RequestIdentity
}

export interface PartnerWrite extends PartnerCall {
  readonly forceUnitAccess?: boolean
  /** After any crash there is all of it or nothing. */
  readonly atomic?: boolean
}

export interface Partner {
  readonly serverId: string
  /** A session stands: a call may succeed. */
  readonly up: boolean
  /** Resolves at the next time that `up`, or what the partner confirms, may have changed. */
  changed(): Promise<void>
  /** Ends the session: every call under way rejects with `lost`, and a new session is opened. */
  abandon(): void
  /** Durable before it resolves where `forceUnitAccess`. The buffers are borrowed until it settles. */
  write(call: PartnerWrite, lba: number, data: readonly Buffer[]): Promise<void>
  unmap(call: PartnerCall, extents: readonly BlockExtent[]): Promise<void>
  /** Everything it was sent and has answered is durable. */
  flush(call: PartnerCall): Promise<void>
  read(call: PartnerCall, lba: number, blocks: number): Promise<Buffer[]>
  /** SHA-256 of each page of 64 KiB, the last may be short; `lba` is at a page boundary. */
  digests(call: PartnerCall, lba: number, blocks: number): Promise<Buffer[]>
  /** Its masks, and the newest generation in which it was in sync. */
  masks(call: PartnerCall): Promise<MaskSet>
  /** Adds masks to its own, durably, with their labels. */
  takeMasks(call: PartnerCall, masks: MaskSet): Promise<void>
  /**
   * Clears bits, in order with the writes on the session: of the in-sync mask where `inSync`, and of
   * what the named servers lack.
   */
  clear(call: PartnerCall, regions: readonly number[], of: ClearWhat): Promise<void>
}

export interface ClearWhat {
  readonly inSync: boolean
  readonly lacks: readonly string[]
}
