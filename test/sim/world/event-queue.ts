/** What is to happen, by time, and by the order of asking where times are equal. A binary heap. */

export interface SimEvent {
  readonly atMs: number
  readonly sequence: number
  /** Undefined once it was cancelled. */
  run: (() => void) | undefined
}

export class EventQueue {
  readonly #heap: SimEvent[] = []
  #sequence = 0

  get size(): number {
    return this.#heap.length
  }

  push(atMs: number, run: () => void): SimEvent {
    const event: SimEvent = { atMs, sequence: this.#sequence++, run }
    const heap = this.#heap
    let at = heap.length
    heap.push(event)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!isBefore(event, heap[parent]!)) break
      heap[at] = heap[parent]!
      at = parent
    }
    heap[at] = event
    return event
  }

  /** The next that was not cancelled. */
  pop(): SimEvent | undefined {
    for (;;) {
      const first = this.#heap[0]
      if (first === undefined) return undefined
      const last = this.#heap.pop()!
      if (this.#heap.length > 0) this.#sink(last)
      if (first.run !== undefined) return first
    }
  }

  #sink(event: SimEvent): void {
    const heap = this.#heap
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++
      if (!isBefore(heap[child]!, event)) break
      heap[at] = heap[child]!
      at = child
    }
    heap[at] = event
  }
}

function isBefore(left: SimEvent, right: SimEvent): boolean {
  return left.atMs < right.atMs || (left.atMs === right.atMs && left.sequence < right.sequence)
}
