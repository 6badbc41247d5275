/**
 * What the simulator must notice. Each mutation takes one guard out of a copy of the compiled
 * program: the text before must be there exactly once, or the mutation itself has become wrong.
 * The shipped program has no switches for any of this.
 */
import type { ThemeName } from '../themes.ts'

export interface Edit {
  /** Under the directory of the compiled program. */
  readonly file: string
  readonly before: string
  readonly after: string
}

export interface Mutation extends Edit {
  /** As the design calls what is taken away. */
  readonly guard: string
  /** Where the same guard stands in other places as well. */
  readonly more?: readonly Edit[]
  /** Only a cluster with several copies can show it. */
  readonly mirrors?: boolean
  /** The schedule that aims at it, tried first. */
  readonly theme?: ThemeName
}
