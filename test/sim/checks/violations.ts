/** What went wrong in one simulation, and when. The first one counts; later ones may follow from it. */
import { toError } from '../../../src/base/errors.ts'
import type { World } from '../world/world.ts'

export interface Violation {
  /** The checker that found it. */
  readonly by: string
  readonly what: string
  readonly atMs: number
}

const kept = 20

export class Violations {
  readonly #world: World
  readonly #found: Violation[] = []

  constructor(world: World) {
    this.#world = world
  }

  get all(): readonly Violation[] {
    return this.#found
  }

  add(by: string, what: string): void {
    this.#world.note(`VIOLATION (${by}): ${what}`)
    if (this.#found.length < kept) this.#found.push({ by, what, atMs: this.#world.nowMs })
  }

  /** Something was thrown that is no operating failure. */
  report(program: string, thrown: unknown): void {
    const { name, message, stack = '' } = toError(thrown)
    const where = stack.split('\n').slice(1, 4).join(' ').replace(/\s+/g, ' ')
    this.add('exception', `${program}: ${name}: ${message} ${where}`)
  }
}
