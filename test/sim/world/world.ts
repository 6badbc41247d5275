/**
 * Time of a simulation. Events run one after the other; after each of them all promises settle that
 * can (one turn of Node's loop), and then virtual time jumps to the next. So a run depends on its
 * seed alone. The fingerprint of two runs of one seed is the same, or the simulator has a leak.
 */
import { Chance } from './chance.ts'
import { EventQueue } from './event-queue.ts'

/** Asked for together, they share one round through Node's loop; promises settle between any two. */
const turnsAtOnce = 64
const notesKept = 400
/** Events of one instant: more is a loop that waits for nothing. */
const mostAtOnce = 100_000

export class World {
  readonly chance: Chance
  readonly #queue = new EventQueue()
  readonly #notes: string[] = []
  readonly #print: ((line: string) => void) | undefined
  #nowMs = 0
  #fingerprint = 0x811c9dc5
  #events = 0
  /** Events of this instant so far. */
  #instant = 0

  /** `print` gets each note at once. */
  constructor(seed: number, print?: (line: string) => void) {
    this.chance = new Chance(seed)
    this.#print = print
  }

  get nowMs(): number {
    return this.#nowMs
  }

  get events(): number {
    return this.#events
  }

  get fingerprint(): string {
    return (this.#fingerprint >>> 0).toString(16).padStart(8, '0')
  }

  /** The newest notes, oldest first. */
  get notes(): readonly string[] {
    return this.#notes
  }

  /** What happened, for people; and part of the fingerprint. */
  note(text: string): void {
    const line = `${this.#nowMs.toFixed(3).padStart(10)} ${text}`
    for (let i = 0; i < line.length; i++) this.#mix(line.charCodeAt(i))
    if (this.#notes.push(line) > 2 * notesKept) this.#notes.splice(0, notesKept)
    this.#print?.(line)
  }

  /** Returns what takes it back. */
  after(delayMs: number, run: () => void): () => void {
    const event = this.#queue.push(this.#nowMs + Math.max(0, delayMs), run)
    return () => {
      event.run = undefined
    }
  }

  /** Lets time go by until `done`, or for `mostMs`; resolves with whether it was `done`. */
  run(done: () => boolean, mostMs: number): Promise<boolean> {
    const endMs = this.#nowMs + mostMs
    let over = false
    const ending = this.after(mostMs, () => {
      over = true
    })
    return new Promise((resolve, reject) => {
      let settled = false
      const finish = (isDone: boolean): void => {
        settled = true
        ending()
        if (over) this.#nowMs = endMs
        resolve(isDone)
      }
      const turn = (): void => {
        if (settled) return
        try {
          if (done()) finish(true)
          else if (over) finish(false)
          else this.#next()
        } catch (error) {
          settled = true
          reject(error)
        }
      }
      const turns = (): void => {
        if (settled) return
        for (let i = 1; i < turnsAtOnce; i++) setImmediate(turn)
        setImmediate(() => {
          turn()
          turns()
        })
      }
      turns()
    })
  }

  /** Lets time go by until the promise settles. */
  async until<T>(promise: Promise<T>, mostMs: number): Promise<T> {
    let settled = false
    const done = promise.finally(() => {
      settled = true
    })
    done.catch(() => undefined)
    if (!(await this.run(() => settled, mostMs))) throw new Error(`not settled in ${mostMs} ms`)
    return done
  }

  pass(ms: number): Promise<boolean> {
    return this.run(() => false, ms)
  }

  #next(): void {
    const event = this.#queue.pop()
    const run = event?.run
    if (event === undefined || run === undefined) return
    event.run = undefined
    this.#instant = event.atMs === this.#nowMs ? this.#instant + 1 : 0
    if (this.#instant > mostAtOnce) throw new Error(`time stands still at ${event.atMs} ms`)
    this.#nowMs = event.atMs
    this.#events++
    this.#mix(event.sequence)
    this.#mix(Math.floor(event.atMs * 1000))
    run()
  }

  #mix(value: number): void {
    this.#fingerprint = Math.imul(this.#fingerprint ^ value, 0x01000193)
  }
}
