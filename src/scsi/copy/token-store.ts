/**
 * The data behind ROD tokens: a copy in memory, made when the token was, of which one program holds
 * no more than its budget. A token ends when nobody used it for its inactivity timeout, when its
 * user says so, when its initiator makes more than its share (the oldest goes), or with the program.
 * SPC-4 5.16.6. One store serves all units of a program; a token is of use at the target that made
 * it alone, and elsewhere is not known.
 */
import { assert } from '../../base/assert.ts'
import { copy as limits } from '../../base/limits.ts'
import type { Cancel, Clock } from '../../ports/clock.ts'
import type { Random } from '../../ports/random.ts'
import type { Sense } from '../result.ts'
import {
  TOKEN_CORRUPT,
  TOKEN_DELETED,
  TOKEN_EXPIRED,
  TOKEN_REVOKED,
  TOKEN_UNKNOWN,
} from '../sense.ts'
import { RodType, rodToken, rodTokenLength, sameToken, secretBytes } from './rod-token.ts'

export interface TokenFacts {
  readonly targetName: string
  readonly initiatorPort: string
  /** NAA identifier of the unit that the data are from. */
  readonly unit: Buffer
  readonly blockBytes: number
  readonly creator: Buffer
  readonly inactivityMs: number
}

export interface HeldToken extends TokenFacts {
  readonly token: Buffer
  readonly data: Buffer
}

/** Memory that was set aside for a token that is being made. */
export interface TokenRoom {
  readonly data: Buffer
  /** Makes the token; or gives the room back. One of the two, once. */
  fill(facts: TokenFacts): HeldToken
  giveBack(): void
}

interface Entry extends HeldToken {
  usedAtMs: number
  cancel: Cancel
}

export class TokenStore {
  readonly #clock: Clock
  readonly #random: Random
  /** By identifier, the oldest first. */
  readonly #entries = new Map<string, Entry>()
  /** Why tokens that are no more are refused. */
  readonly #ended = new Map<string, Sense>()
  readonly #bytesOf = new Map<string, number>()
  #bytes = 0

  constructor(ports: { readonly clock: Clock; readonly random: Random }) {
    this.#clock = ports.clock
    this.#random = ports.random
  }

  /** Held for all, for tests and for status. */
  get heldBytes(): number {
    return this.#bytes
  }

  /** Undefined: the program's budget has no room, whatever of this initiator's own is given up. */
  room(initiatorPort: string, bytes: number): TokenRoom | undefined {
    assert(bytes <= limits.tokenBytes, 'a token is no larger than was said')
    while (this.#held(initiatorPort) + bytes > limits.initiatorTokenBytes) {
      if (!this.#revokeOldest(initiatorPort)) return undefined
    }
    if (this.#bytes + bytes > limits.allTokensBytes) return undefined
    this.#account(initiatorPort, bytes)
    const data = Buffer.alloc(bytes)
    return {
      data,
      fill: (facts) => this.#hold(facts, data),
      giveBack: () => this.#account(initiatorPort, -bytes),
    }
  }

  /** The token's data, or why it is refused. Counts as a use. */
  find(token: Buffer, targetName: string): HeldToken | Sense {
    const { identifier } = rodToken.decode(token)
    const key = identifier.toString('hex')
    const entry = this.#entries.get(key)
    if (entry === undefined) return this.#ended.get(key) ?? TOKEN_UNKNOWN
    if (entry.targetName !== targetName) return TOKEN_UNKNOWN
    if (!sameToken(entry.token, token)) return TOKEN_CORRUPT
    this.use(entry)
    return entry
  }

  /** Its time begins anew. */
  use(held: HeldToken): void {
    const entry = this.#entries.get(keyOf(held.token))
    if (entry !== undefined) entry.usedAtMs = this.#clock.nowMs()
  }

  delete(held: HeldToken): void {
    this.#end(keyOf(held.token), TOKEN_DELETED)
  }

  /** After the data of a unit were to be made unreadable: no copy of them may stay. SBC-3 4.11. */
  revokeOf(unit: Buffer): void {
    for (const [key, entry] of this.#entries) {
      if (entry.unit.equals(unit)) this.#end(key, TOKEN_REVOKED)
    }
  }

  close(): void {
    for (const key of this.#entries.keys()) this.#end(key, TOKEN_REVOKED)
  }

  #hold(facts: TokenFacts, data: Buffer): HeldToken {
    const token = rodToken.build({
      rodType: RodType.POINT_IN_TIME_COPY_DEFAULT,
      rodTokenLength,
      identifier: this.#random.bytes(8),
      creator: facts.creator,
      bytesHigh: 0n,
      bytesLow: BigInt(data.length),
      secret: this.#random.bytes(secretBytes),
    })
    const key = keyOf(token)
    assert(!this.#entries.has(key), 'no two tokens have one identifier')
    const usedAtMs = this.#clock.nowMs()
    const cancel = this.#wake(key, facts.inactivityMs)
    const entry: Entry = { ...facts, token, data, usedAtMs, cancel }
    this.#entries.set(key, entry)
    return entry
  }

  #wake(key: string, delayMs: number): Cancel {
    return this.#clock.after(Math.ceil(delayMs), () => {
      const entry = this.#entries.get(key)
      if (entry === undefined) return
      const leftMs = entry.usedAtMs + entry.inactivityMs - this.#clock.nowMs()
      if (leftMs <= 0) this.#end(key, TOKEN_EXPIRED)
      else entry.cancel = this.#wake(key, leftMs)
    })
  }

  #revokeOldest(initiatorPort: string): boolean {
    for (const [key, entry] of this.#entries) {
      if (entry.initiatorPort !== initiatorPort) continue
      this.#end(key, TOKEN_REVOKED)
      return true
    }
    return false
  }

  #end(key: string, why: Sense): void {
    const entry = this.#entries.get(key)
    if (entry === undefined) return
    entry.cancel()
    this.#entries.delete(key)
    this.#account(entry.initiatorPort, -entry.data.length)
    this.#ended.set(key, why)
    if (this.#ended.size <= limits.endedTokens) return
    for (const oldest of this.#ended.keys()) {
      this.#ended.delete(oldest)
      return
    }
  }

  #held(initiatorPort: string): number {
    return this.#bytesOf.get(initiatorPort) ?? 0
  }

  #account(initiatorPort: string, bytes: number): void {
    this.#bytes += bytes
    const held = this.#held(initiatorPort) + bytes
    if (held === 0) this.#bytesOf.delete(initiatorPort)
    else this.#bytesOf.set(initiatorPort, held)
  }
}

function keyOf(token: Buffer): string {
  return token.subarray(8, 16).toString('hex')
}
