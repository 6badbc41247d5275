/** The corpus, and cases by chance for a while, against a target in a process of its own. */
import t from 'tap'
import { fuzzCases } from './case-arbitrary.ts'
import { corpus } from './corpus.ts'
import { fuzz } from './fuzz.ts'
import { ProcessTarget } from './process-target.ts'

const seconds = 5

t.setTimeout(300_000)

t.test('a process that is fuzzed lives on, and serves others', async (t) => {
  const target = await ProcessTarget.start()
  for (const { id, what, played } of corpus) {
    await t.resolves(target.play(played), `${id}: ${what}`)
  }
  const { runs, failure } = await fuzz(fuzzCases, target.play, {
    seconds,
    seed: 1,
    shrinks: false,
  })
  t.equal(failure, undefined)
  t.ok(runs > 10, `${runs} cases`)
  t.comment(target.summary)
  await t.resolves(target.stop())
})
