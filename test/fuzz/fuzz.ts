/** Plays cases against a target, one after the other, and says of each that failed how to repeat it. */
import fc from 'fast-check'
import type { CorpusRow } from './corpus-row.ts'
import type { FuzzCase } from './fuzz-case.ts'

/** What the target said; rejects when something broke that must not break. */
export type Play = (played: FuzzCase) => Promise<readonly string[]>

/** `as it should`, or what came instead. */
export async function ruling({ played, expects }: CorpusRow, play: Play): Promise<string> {
  try {
    const said = (await play(played)).join(',')
    return expects.every((each) => each.test(said)) ? 'as it should' : `it said ${said}`
  } catch (error) {
    return error instanceof Error ? (error.stack ?? error.message) : String(error)
  }
}

const shrinkingMs = 30_000

/**
 * Cases by chance until the time is over or one fails, which is then made as small as it gets. It
 * does not shrink where the cases before it may have had their part in the failure.
 */
export async function fuzz<T>(
  cases: fc.Arbitrary<T>,
  play: (played: T) => Promise<unknown>,
  how: { readonly seconds: number; readonly seed: number; readonly shrinks?: boolean },
): Promise<{ readonly runs: number; readonly failure: string | undefined }> {
  const { seconds, seed, shrinks = true } = how
  const unhandled: unknown[] = []
  const note = (reason: unknown): void => {
    unhandled.push(reason)
  }
  process.on('unhandledRejection', note)
  try {
    const property = fc.asyncProperty(cases, async (played) => {
      unhandled.length = 0
      try {
        await play(played)
      } catch (error) {
        // What nobody handled is the cause, and what came of it the consequence.
        throw unhandled[0] ?? error
      }
      if (unhandled.length > 0) throw unhandled[0]
    })
    const numRuns = 1_000_000_000
    const first = await fc.check(property, {
      seed,
      numRuns,
      interruptAfterTimeLimit: seconds * 1000,
      endOnFailure: true,
    })
    const { numRuns: runs, failed, counterexamplePath: path } = first
    if (!failed || path === null) return { runs, failure: undefined }
    const shrinking = { seed, numRuns, path, interruptAfterTimeLimit: shrinkingMs }
    const { counterexample, errorInstance } = shrinks ? await fc.check(property, shrinking) : first
    const error = errorInstance instanceof Error ? errorInstance.stack : String(errorInstance)
    const entry = JSON.stringify(counterexample?.[0])
    return { runs, failure: `seed ${seed}: ${error}\nto repeat it: ${entry}` }
  } finally {
    process.off('unhandledRejection', note)
  }
}
