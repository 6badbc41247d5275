/** The same seed twice is the same to the last event: otherwise no violation could be replayed. */
import t from 'tap'
import { simulate } from './simulation.ts'

await t.test('one seed is one history', async (t) => {
  for (const mirrors of [false, true]) {
    const one = await simulate({ seed: 2, mirrors, theme: 'mix' })
    const other = await simulate({ seed: 2, mirrors, theme: 'mix' })
    t.ok(one.operations > 100, 'initiators are at work')
    t.equal(one.fingerprint, other.fingerprint)
    t.equal(one.events, other.events)
  }
})
