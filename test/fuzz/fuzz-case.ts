/**
 * A conversation that an initiator may try: what it says of each connection, right or wrong. Cases
 * are plain JSON, so that one that failed can be kept and played again. Numbers that only the
 * conversation knows (CmdSN, tags, tokens of CHAP) are filled in while it is played.
 */

/** Bytes in hexadecimal digits, or so many of one value. */
export type Bytes = string | { readonly length: number; readonly fill: number }

export interface LoginStep {
  readonly kind: 'login'
  /** Keys and values; `~` stands for the zero byte that ends a pair, `{C}` for their challenge. */
  readonly text: string
  readonly stages?: readonly [current: number, next: number]
  readonly transit?: boolean
  readonly continues?: boolean
  readonly tsih?: number
  /** In place of what the text comes to. */
  readonly data?: Bytes
}

export interface CommandStep {
  readonly kind: 'command'
  readonly cdb: string
  readonly lun?: number
  /** Sent as far as `immediateBytes`, then as it is asked for. */
  readonly data?: Bytes
  readonly readBytes?: number
  readonly immediateBytes?: number
  /** In place of the length of the data. */
  readonly expectedBytes?: number
  readonly final?: boolean
  readonly immediate?: boolean
  /** Added to the CmdSN that is due. */
  readonly cmdSnOff?: number
  readonly tag?: number
  readonly ahs?: string
  /** R2Ts are answered unless this is false. */
  readonly answers?: boolean
}

/** Any header of 48 bytes. */
export interface PduStep {
  readonly kind: 'pdu'
  readonly header: string
  readonly data?: Bytes
  readonly ahs?: string
  /** CmdSN and ExpStatSN as they are due. */
  readonly inSequence?: boolean
  /** In place of the true ones. */
  readonly dataSegmentLength?: number
  readonly totalAhsLength?: number
}

export interface DataStep {
  readonly kind: 'data'
  readonly data: Bytes
  readonly offset: number
  readonly dataSn: number
  /** Of the newest command and R2T unless given. */
  readonly tag?: number
  readonly transferTag?: number
  readonly final: boolean
}

export interface ManageStep {
  readonly kind: 'manage'
  readonly function: number
  readonly lun?: number
  /** The newest command's unless given. */
  readonly tag?: number
}

/** A new connection beside those that stand, or in place of this one. */
export interface ConnectStep {
  readonly kind: 'connect'
  readonly former: 'stays' | 'cut' | 'ended'
  /** It becomes one more connection of the session that there is, or is to come back to it. */
  readonly joins?: boolean
}

export type Step =
  | LoginStep
  | CommandStep
  | PduStep
  | DataStep
  | ManageStep
  | { readonly kind: 'raw'; readonly bytes: Bytes }
  | ConnectStep
  /** Reads nothing any more. */
  | { readonly kind: 'deaf' }
  | { readonly kind: 'settle' }

export interface FuzzCase {
  /** The target asks for CHAP. */
  readonly chap?: boolean
  /** What is written arrives in pieces of this size. */
  readonly chunkBytes?: number
  /** Every deadline of the target passes before the initiator is cut off. */
  readonly patient?: boolean
  readonly steps: readonly Step[]
}

export const fuzzTarget = 'iqn.2026-11.example:fuzz'
export const guardTarget = 'iqn.2026-11.example:guard'
export const fuzzUser = { user: 'fuzz', secret: 'a secret for fuzz' }

export function bytesOf(bytes: Bytes): Buffer {
  return typeof bytes === 'string'
    ? Buffer.from(bytes, 'hex')
    : Buffer.alloc(bytes.length, bytes.fill)
}

const names = `InitiatorName=iqn.2026-11.example:fuzzer~TargetName=${fuzzTarget}~`

/** A login that succeeds, to the full-feature phase at once, with more keys. */
export function login(more = ''): LoginStep {
  return { kind: 'login', text: `${names}SessionType=Normal~${more}`, stages: [1, 3] }
}

/** Keys after the names that every login begins with. */
export function named(text: string, stages: readonly [number, number] = [1, 3]): LoginStep {
  return { kind: 'login', text: names + text, stages }
}
