/**
 * Is there an order of effects that explains what was seen of one sector? A sector is a register. A
 * write may take effect at any moment between its first sending and its answer, also several times,
 * and at least once where it was answered GOOD; never after. COMPARE AND WRITE takes effect at most
 * once. After a loss of what was not flushed the sector may be as it was at any moment since the
 * newest flush that was answered GOOD was sent.
 *
 * It follows all the states that the sector may be in, from entry to entry; when none is left, what
 * was seen last cannot be explained.
 */
import type { Entry, Operation } from '../load/history.ts'

interface State {
  /** The operation that wrote what is there; 0: zeros. */
  readonly value: number
  /** By slot: has taken effect, was seen, did not match. */
  readonly done: number
  /** Initiators (by bit) who lost an acknowledged write here and were not told. */
  readonly wronged: number
}

interface Open {
  readonly operation: Operation
  readonly slot: number
  /** What it leaves there. */
  readonly value: number
  /** Of a read: what it will have seen. */
  readonly sees: number | undefined
  /** A COMPARE AND WRITE that was told of a difference. */
  readonly differs: boolean
  /** It was not answered yet, and can have no effect from now on. */
  over: boolean
}

const mostSlots = 30
/** So many states are not worth following: the sector is taken as explained. */
const mostStates = 4_000

export interface Verdict {
  readonly why: string
  readonly at: Entry
}

export class SectorCheck {
  readonly #lba: number
  readonly #initiators: readonly string[]
  #states: State[] = [{ value: 0, done: 0, wronged: 0 }]
  #open: Open[] = []
  #slots = 0
  /** What may have been there since the newest flush was sent: entry numbers and values. */
  #recent: { from: number; values: Set<number> }[] = [{ from: 0, values: new Set([0]) }]
  readonly #flushBegan = new Map<Operation, number>()
  /** By value: who wrote it, and the entry of the answer. */
  readonly #acknowledged = new Map<number, { readonly initiator: string; readonly at: number }>()
  /** By initiator: the answer to the newest of its writes that may have been lost. */
  readonly #newestLost = new Map<string, number>()
  readonly #endings: ReadonlyMap<Operation, Entry>
  readonly #barred = new Set<string>()
  #entry = 0
  #givenUp = false

  constructor(lba: number, initiators: readonly string[], endings: ReadonlyMap<Operation, Entry>) {
    this.#lba = lba
    this.#initiators = initiators
    this.#endings = endings
  }

  /** Undefined while what was seen can be explained. */
  take(entry: Entry): Verdict | undefined {
    if (this.#givenUp) return undefined
    this.#entry++
    const why = this.#step(entry)
    if (this.#givenUp) return undefined
    if (why !== undefined) return { why, at: entry }
    this.#remember()
    return undefined
  }

  #step(entry: Entry): string | undefined {
    switch (entry.what) {
      case 'begin':
        this.#begin(entry.operation)
        break
      case 'end':
        return this.#end(entry)
      case 'loss':
        this.#lose()
        break
      case 'told':
        this.#forgive([entry.initiator])
        break
      case 'front-gone':
        this.#frontGone(entry.client)
        break
      case 'fenced':
        this.#barred.add(entry.client)
        if (entry.final === true) this.#endAll(entry.client)
        break
      case 'admitted':
        this.#barred.delete(entry.client)
        this.#close()
        break
    }
    return undefined
  }

  #begin(operation: Operation): void {
    if (operation.kind === 'flush') {
      this.#flushBegan.set(operation, this.#entry)
      return
    }
    let slot = 0
    while ((this.#slots & (1 << slot)) !== 0) slot++
    if (slot >= mostSlots) return
    this.#slots |= 1 << slot
    const ending = this.#endings.get(operation)
    const seen = ending?.what === 'end' ? ending.seen : undefined
    this.#open.push({
      operation,
      slot,
      value: operation.kind === 'unmap' ? 0 : operation.number,
      sees: seen?.[this.#lba - operation.lba],
      differs: ending?.what === 'end' && ending.ending === 'miscompare',
      over: false,
    })
    this.#close()
  }

  #endAll(client: string): void {
    for (const open of this.#open) if (open.operation.client === client) open.over = true
  }

  #end(entry: Entry & { readonly what: 'end' }): string | undefined {
    const { operation, ending } = entry
    if (operation.kind === 'flush') return this.#flushed(operation, ending === 'good')
    const index = this.#open.findIndex((each) => each.operation === operation)
    const open = this.#open[index]
    if (open === undefined || ending === 'in-doubt') return undefined
    const bit = 1 << open.slot
    const before = this.#states
    if (ending === 'good' || ending === 'miscompare') {
      this.#states = this.#states.filter(({ done }) => (done & bit) !== 0)
    }
    if (this.#states.length === 0) return explain(open, before)
    this.#open.splice(index, 1)
    this.#slots &= ~bit
    this.#states = unique(this.#states.map((state) => ({ ...state, done: state.done & ~bit })))
    if (ending === 'good' && open.sees === undefined) {
      this.#acknowledged.set(open.value, { initiator: operation.initiator, at: this.#entry })
      if (operation.forced) this.#durableNow()
    }
    return undefined
  }

  #flushed(operation: Operation, good: boolean): string | undefined {
    const from = this.#flushBegan.get(operation) ?? 0
    this.#flushBegan.delete(operation)
    if (!good) return undefined
    const first = this.#recent.findLastIndex((each) => each.from <= from)
    this.#recent = this.#recent.slice(Math.max(0, first))
    // One that was sent before the write was answered promises nothing of it.
    if (from < (this.#newestLost.get(operation.initiator) ?? 0)) return undefined
    const bit = 1 << this.#initiators.indexOf(operation.initiator)
    this.#states = this.#states.filter(({ wronged }) => (wronged & bit) === 0)
    if (this.#states.length > 0) return undefined
    return `${operation.initiator} lost an acknowledged write and its next flush was answered GOOD`
  }

  #durableNow(): void {
    this.#recent = [{ from: this.#entry, values: this.#values() }]
  }

  /** Back to anything that was there since the last flush. */
  #lose(): void {
    const candidates = new Set<number>()
    for (const { values } of this.#recent) for (const value of values) candidates.add(value)
    const states = [...this.#states]
    for (const { value: lost, done, wronged } of this.#states) {
      const writer = this.#acknowledged.get(lost)
      const bit = writer === undefined ? 0 : 1 << this.#initiators.indexOf(writer.initiator)
      for (const value of candidates) {
        if (value === lost) continue
        states.push({ value, done, wronged: wronged | bit })
        if (writer !== undefined) this.#noteLost(writer)
      }
    }
    this.#states = unique(states)
    this.#close()
  }

  #noteLost({ initiator, at }: { readonly initiator: string; readonly at: number }): void {
    this.#newestLost.set(initiator, Math.max(at, this.#newestLost.get(initiator) ?? 0))
  }

  #frontGone(client: string): void {
    const names = this.#initiators.filter((name) => name.startsWith(`${client}/`))
    this.#forgive(names)
    for (const [value, { initiator }] of this.#acknowledged) {
      if (names.includes(initiator)) this.#acknowledged.delete(value)
    }
  }

  #forgive(names: readonly string[]): void {
    let mask = 0
    for (const name of names) mask |= 1 << this.#initiators.indexOf(name)
    this.#states = unique(
      this.#states.map((state) => ({ ...state, wronged: state.wronged & ~mask })),
    )
  }

  #values(): Set<number> {
    return new Set(this.#states.map(({ value }) => value))
  }

  #remember(): void {
    const values = this.#values()
    const last = this.#recent.at(-1)
    const same = last?.values.size === values.size && [...values].every((v) => last.values.has(v))
    if (!same) this.#recent.push({ from: this.#entry, values })
  }

  /** Everything that may happen now, in any order. */
  #close(): void {
    const known = new Map<string, State>()
    const queue: State[] = []
    const meet = (state: State): void => {
      const seen = this.#look(state)
      const key = keyOf(seen)
      if (known.has(key)) return
      known.set(key, seen)
      queue.push(seen)
    }
    for (const state of this.#states) meet(state)
    for (let state = queue.pop(); state !== undefined; state = queue.pop()) {
      if (known.size > mostStates) {
        this.#givenUp = true
        return
      }
      for (const open of this.#open) {
        const next = this.#effect(state, open)
        if (next !== undefined) meet(next)
      }
    }
    this.#states = pruned([...known.values()], this.#exactBits())
  }

  /** What is open sees the state as it is. */
  #look(state: State): State {
    let { done } = state
    for (const open of this.#open) {
      const { operation, slot, sees, differs } = open
      const bit = 1 << slot
      if (sees !== undefined && (sees === state.value || sees === -1)) done |= bit
      if (differs && operation.expected !== state.value) done |= bit
    }
    return done === state.done ? state : { ...state, done }
  }

  #effect(state: State, { operation, slot, value, differs, over }: Open): State | undefined {
    if (operation.kind === 'read' || differs || over) return undefined
    if (this.#barred.has(operation.client)) return undefined
    const bit = 1 << slot
    if (operation.kind === 'compare') {
      if ((state.done & bit) !== 0 || state.value !== operation.expected) return undefined
    }
    return { ...state, value, done: state.done | bit }
  }

  /** A COMPARE AND WRITE that has taken effect can not do so again: neither state includes the other. */
  #exactBits(): number {
    let bits = 0
    for (const { operation, slot } of this.#open) {
      if (operation.kind === 'compare') bits |= 1 << slot
    }
    return bits
  }
}

function explain({ operation, sees }: Open, states: readonly State[]): string {
  const values = [...new Set(states.map(({ value }) => value))].join(' ')
  if (sees !== undefined)
    return `a read saw ${sees}, which nobody can explain: it must be ${values}`
  return `${operation.kind} ${operation.number} was answered and cannot have happened: ${values}`
}

function keyOf({ value, done, wronged }: State): string {
  return `${value} ${done} ${wronged}`
}

function unique(states: readonly State[]): State[] {
  if (states.length < 2) return [...states]
  return [...new Map(states.map((state) => [keyOf(state), state])).values()]
}

/** Without those that can do nothing that another cannot. */
function pruned(states: State[], exact: number): State[] {
  if (states.length < 3) return states
  const includes = (large: State, small: State): boolean =>
    large !== small &&
    large.value === small.value &&
    large.wronged === small.wronged &&
    (large.done & exact) === (small.done & exact) &&
    (large.done & small.done) === small.done &&
    large.done !== small.done
  const alike = new Map<number, State[]>()
  for (const state of states) {
    const others = alike.get(state.value)
    if (others === undefined) alike.set(state.value, [state])
    else others.push(state)
  }
  return states.filter((state) => {
    return !alike.get(state.value)!.some((other) => includes(other, state))
  })
}
