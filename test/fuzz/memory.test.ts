/** The corpus, and cases by chance for a while, against the whole target in this process. */
import t from 'tap'
import { fuzzCases } from './case-arbitrary.ts'
import { corpus } from './corpus.ts'
import { fuzz, ruling } from './fuzz.ts'
import { hostileCases, hostileCorpus, playHostile } from './hostile-target.ts'
import { playInMemory } from './memory-target.ts'

const seconds = 7
const hostileSeconds = 3
const mostBytes = 512 * 1024 * 1024

t.setTimeout(300_000)

t.test('every fault that was found in others, and every kind of test', async (t) => {
  for (const row of corpus) {
    t.equal(await ruling(row, playInMemory), 'as it should', `${row.id}: ${row.what}`)
  }
})

t.test('cases by chance', async (t) => {
  const { runs, failure } = await fuzz(fuzzCases, playInMemory, { seconds, seed: 1 })
  t.equal(failure, undefined)
  t.ok(runs > 10, `${runs} cases`)
  t.ok(process.memoryUsage().rss < mostBytes, 'memory stays under its cap')
})

t.test('our initiator role: faults of others, and answers by chance', async (t) => {
  for (const [id, what, played] of hostileCorpus)
    await t.resolves(playHostile(played), `${id}: ${what}`)
  const seed = 1
  const { runs, failure } = await fuzz(hostileCases, playHostile, { seconds: hostileSeconds, seed })
  t.equal(failure, undefined)
  t.ok(runs > 10, `${runs} cases`)
})
