/**
 * Which machine reaches which, and how fast. A rule holds what goes from some names to others; what
 * is held goes on when the rule ends, as TCP would send it again. A lane carries things from one
 * place to another in order.
 */
import type { Chance } from './chance.ts'
import type { World } from './world.ts'

/** Names of one end: the machine, and the interface where it has several. */
export type Place = readonly string[]

interface Rule {
  readonly from: ReadonlySet<string>
  readonly to: ReadonlySet<string>
}

export interface LinkTiming {
  readonly leastMs: number
  readonly mostMs: number
}

export class Links {
  readonly world: World
  readonly chance: Chance
  readonly #rules = new Set<Rule>()
  readonly #delays = new Set<Rule & { readonly ms: number }>()
  #waiting: (() => void)[] = []
  readonly #stalled = new Set<Lane>()
  #timing: LinkTiming = { leastMs: 0.05, mostMs: 0.3 }

  constructor(world: World) {
    this.world = world
    this.chance = world.chance.fork('links')
  }

  setTiming(timing: LinkTiming): void {
    this.#timing = timing
  }

  /** Holds what goes from one of the first to one of the others; returns what ends it. */
  hold(from: readonly string[], to: readonly string[]): () => void {
    const rule = { from: new Set(from), to: new Set(to) }
    this.#rules.add(rule)
    this.world.note(`held: ${from.join(',')} > ${to.join(',')}`)
    return () => {
      if (!this.#rules.delete(rule)) return
      this.world.note(`goes on: ${from.join(',')} > ${to.join(',')}`)
      const waiting = this.#waiting
      this.#waiting = []
      for (const run of waiting) this.world.after(this.chance.between(0, 50), run)
    }
  }

  /** Makes what goes there slow. */
  slow(from: readonly string[], to: readonly string[], ms: number): () => void {
    const rule = { from: new Set(from), to: new Set(to), ms }
    this.#delays.add(rule)
    this.world.note(`slow: ${from.join(',')} > ${to.join(',')} by ${ms.toFixed(0)} ms`)
    return () => this.#delays.delete(rule)
  }

  isHeld(from: Place, to: Place): boolean {
    for (const rule of this.#rules) if (matches(rule, from, to)) return true
    return false
  }

  delayMs(from: Place, to: Place): number {
    const { leastMs, mostMs } = this.#timing
    let ms = this.chance.between(leastMs, mostMs)
    for (const rule of this.#delays) if (matches(rule, from, to)) ms += rule.ms
    return ms
  }

  /** Called once when some rule has ended. */
  whenChanged(run: () => void): void {
    this.#waiting.push(run)
  }

  stalled(lane: Lane): void {
    this.#stalled.add(lane)
  }

  /** Whatever is stuck goes on now. */
  endStalls(): void {
    for (const lane of this.#stalled) lane.goOn()
    this.#stalled.clear()
  }

  /** One message by itself: nothing is said of its order with others. */
  carry(from: Place, to: Place, arrive: () => void): void {
    const look = (): void => {
      if (this.isHeld(from, to)) this.whenChanged(look)
      else arrive()
    }
    this.world.after(this.delayMs(from, to), look)
  }
}

function matches({ from, to }: Rule, sender: Place, receiver: Place): boolean {
  return sender.some((name) => from.has(name)) && receiver.some((name) => to.has(name))
}

/** Things on their way, in order; all of one instant travel together. */
export class Lane {
  readonly #links: Links
  readonly #from: Place
  readonly #to: Place
  #items: { readonly readyAtMs: number; readonly arrive: () => void }[] = []
  #lastReadyMs = 0
  #waits = false
  /** Of what it waits for a time, not for a rule. */
  #cancelWait: (() => void) | undefined
  #cut = false
  #stalledUntilMs = 0

  constructor(links: Links, from: Place, to: Place) {
    this.#links = links
    this.#from = from
    this.#to = to
  }

  get isHeld(): boolean {
    return this.#links.isHeld(this.#from, this.#to)
  }

  get isCut(): boolean {
    return this.#cut
  }

  get ends(): [Place, Place] {
    return [this.#from, this.#to]
  }

  send(arrive: () => void): void {
    if (this.#cut) return
    const { world } = this.#links
    const readyAtMs = Math.max(
      this.#lastReadyMs,
      world.nowMs + this.#links.delayMs(this.#from, this.#to),
    )
    this.#lastReadyMs = readyAtMs
    this.#items.push({ readyAtMs, arrive })
    if (!this.#waits) this.#await(readyAtMs)
  }

  /** Nothing arrives for so long, whatever becomes of other lanes between the two. */
  stall(ms: number): void {
    this.#stalledUntilMs = Math.max(this.#stalledUntilMs, this.#links.world.nowMs + ms)
    this.#links.stalled(this)
  }

  goOn(): void {
    const isStuck = this.#links.world.nowMs < this.#stalledUntilMs
    this.#stalledUntilMs = 0
    const first = this.#items[0]
    if (!isStuck || first === undefined || this.#cancelWait === undefined) return
    this.#cancelWait()
    this.#await(Math.max(first.readyAtMs, this.#links.world.nowMs))
  }

  /** What has not arrived never will, nor what is sent from now on. */
  cut(): void {
    this.#cut = true
    this.#items = []
  }

  #await(readyAtMs: number): void {
    this.#waits = true
    const { world } = this.#links
    this.#cancelWait = world.after(readyAtMs - world.nowMs, () => this.#look())
  }

  #look(): void {
    this.#waits = false
    this.#cancelWait = undefined
    const first = this.#items[0]
    if (first === undefined) return
    if (this.#links.world.nowMs < this.#stalledUntilMs) {
      this.#await(this.#stalledUntilMs)
      return
    }
    if (this.isHeld) {
      this.#waits = true
      this.#links.whenChanged(() => this.#look())
      return
    }
    this.#items.shift()
    first.arrive()
    const next = this.#items[0]
    if (next !== undefined && !this.#waits) {
      this.#await(Math.max(next.readyAtMs, this.#links.world.nowMs))
    }
  }
}
