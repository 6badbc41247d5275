/**
 * The simulator in every run of the tests: as many seeds as fit into its share of the time, one copy
 * and several; the same seed twice is the same to the last event. `make sim` runs more.
 */
import { performance } from 'node:perf_hooks'
import t from 'tap'
import { simulate } from './simulation.ts'

const budgetMs = 25_000
/** Also on a slow machine. */
const leastSeeds = 3

await t.test('one seed is one history', async (t) => {
  for (const mirrors of [false, true]) {
    const one = await simulate({ seed: 2, mirrors })
    const other = await simulate({ seed: 2, mirrors })
    t.ok(one.operations > 100, 'initiators are at work')
    t.equal(one.fingerprint, other.fingerprint)
    t.equal(one.events, other.events)
  }
})

for (const [name, mirrors] of [
  ['one copy', false],
  ['several copies', true],
] as const) {
  await t.test(`no violation: ${name}`, async (t) => {
    const endMs = performance.now() + budgetMs
    for (let seed = 1; seed <= leastSeeds || performance.now() < endMs; seed++) {
      const { violations, plan } = await simulate({ seed, mirrors })
      if (violations.length > 0) t.same(violations, [], `seed ${seed}: ${plan}`)
    }
    t.pass('all seeds')
  })
}
