/** What storage servers and front ends ask of a manager (proto/client.proto). */
import type { Generation } from '../../volume/generation.ts'
import type { VolumeMap } from '../../volume/map.ts'
import { codec } from '../codec.ts'
import { codecWithMap, withField } from '../conversions.ts'
import {
  type ActivateRequest,
  activateFromWire,
  activateToWire,
  type HeldVolume,
  type ReopenRequest,
  type ServerFacts,
} from './server.ts'

export interface RegisterRequest {
  readonly server: ServerFacts
  readonly volumes: readonly HeldVolume[]
}
export interface RegisterReply {
  /** Only adopted servers get data. */
  readonly adopted: boolean
  readonly term: number
}

export interface AskRequest {
  readonly serverId: string
  readonly volume: HeldVolume
}
/** Exactly one of them. */
export interface AskReply {
  readonly activate?: ActivateRequest | undefined
  readonly reopen?: ReopenRequest | undefined
  /** Nothing to say yet: ask again. */
  readonly wait?: boolean | undefined
  /** The volume was deleted: the server may free what it holds. */
  readonly forgotten?: boolean | undefined
}

export interface GetMapRequest {
  readonly client: string
  /** A volume's name. */
  readonly volume: string
  /** Waits for a generation above this one; the reply has no map when none came in time. */
  readonly newerThan: Generation
}
export interface GetMapReply {
  readonly map?: VolumeMap | undefined
}

export interface WatchRequest {
  readonly client: string
}
/** Exactly one of them. */
export interface WatchEvent {
  readonly map?: VolumeMap | undefined
  /** Every volume was listed. */
  readonly listed?: boolean | undefined
  readonly keepAlive?: boolean | undefined
  /** volumeId of a volume that is gone for this client. */
  readonly gone?: string | undefined
  /** iSCSI portals of the management path. */
  readonly managementPath?: { readonly addresses: readonly string[] } | undefined
}

export interface ReportRequest {
  readonly client: string
  readonly serverId: string
  readonly portal: string
  readonly reachable: boolean
  readonly cause: string
}
export type ReportReply = Record<string, never>

export const registerRequestCodec = codec<RegisterRequest>('RegisterRequest')
export const registerReplyCodec = codec<RegisterReply>('RegisterReply')
export const askRequestCodec = codec<AskRequest>('AskRequest')
export const askReplyCodec = codec<AskReply>('AskReply', {
  toWire: (reply) =>
    withField(reply, 'activate', (activate) => activateToWire(activate as ActivateRequest)),
  fromWire: (wire) =>
    withField(wire, 'activate', (activate) => activateFromWire(activate as object)) as AskReply,
})
export const getMapRequestCodec = codec<GetMapRequest>('GetMapRequest')
export const getMapReplyCodec = codecWithMap<GetMapReply>('GetMapReply')
export const watchRequestCodec = codec<WatchRequest>('WatchRequest')
export const watchEventCodec = codecWithMap<WatchEvent>('WatchEvent')
export const reportRequestCodec = codec<ReportRequest>('ReportRequest')
export const reportReplyCodec = codec<ReportReply>('ReportReply')
