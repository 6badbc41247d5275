/**
 * Everything that initiators asked and were answered, and what else decides what they may see: in
 * one order. An operation is one thing that an initiator wants; it may send it several times.
 */
export type Kind = 'read' | 'write' | 'unmap' | 'compare' | 'flush'

/**
 * `failed`: an answer that is no success; what was written may be there, and comes no more.
 * `let-go`: nobody waits for it any more, and it can have no effect from then on. `in-doubt`: nobody
 * waits for it, and it may come at any time.
 */
export type Ending = 'good' | 'miscompare' | 'failed' | 'let-go' | 'in-doubt'

export interface Operation {
  /** The stamp of what it writes. */
  readonly number: number
  readonly kind: Kind
  readonly initiator: string
  /** The client (shim) that it goes through. */
  readonly client: string
  readonly volume: number
  readonly lba: number
  readonly blocks: number
  readonly forced: boolean
  /** WRITE SAME: one stamp in all blocks. */
  readonly same?: true
  /** COMPARE AND WRITE: what it expects there. */
  readonly expected?: number
}

export type Entry =
  | { readonly what: 'begin'; readonly operation: Operation; readonly atMs: number }
  | {
      readonly what: 'end'
      readonly operation: Operation
      readonly ending: Ending
      readonly atMs: number
      /** Of a read: the operation that wrote each sector. */
      readonly seen?: readonly number[]
    }
  /** What no flush covered may be gone from these blocks of the volume. */
  | {
      readonly what: 'loss'
      readonly volume: number
      readonly holds: (lba: number) => boolean
      readonly atMs: number
    }
  /** The initiator was told of a loss. */
  | {
      readonly what: 'told'
      readonly initiator: string
      readonly volume: number
      readonly atMs: number
    }
  /** The front end that remembered what its initiators wrote is gone. */
  | { readonly what: 'front-gone'; readonly client: string; readonly atMs: number }
  | {
      readonly what: 'fenced'
      readonly client: string
      readonly volume: number
      readonly atMs: number
      /** What it was asked before has no effect any more, not even when it is let in again. */
      readonly final?: true
    }
  | {
      readonly what: 'admitted'
      readonly client: string
      readonly volume: number
      readonly atMs: number
    }

export class History {
  readonly entries: Entry[] = []
  readonly operations = new Map<number, Operation>()
  #lastNumber = 0

  nextNumber(): number {
    return ++this.#lastNumber
  }

  add(entry: Entry): void {
    if (entry.what === 'begin') this.operations.set(entry.operation.number, entry.operation)
    this.entries.push(entry)
  }
}
