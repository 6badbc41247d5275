/** The same seed twice is the same to the last event: otherwise no violation could be replayed. */
import t from 'tap'
import { simulate } from './simulation.ts'

await t.test('one seed is one history', async (t) => {
  for (const mirrors of [false, true]) {
    let operations = 0
    for (const seed of [1, 2, 4]) {
      const one = await simulate({ seed, mirrors, theme: 'mix' })
      const other = await simulate({ seed, mirrors, theme: 'mix' })
      t.equal(one.fingerprint, other.fingerprint)
      t.equal(one.events, other.events)
      operations += one.operations
    }
    t.ok(operations > 100, 'initiators are at work')
  }
})
