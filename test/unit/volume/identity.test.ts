import t from 'tap'
import { naaDesignator, unitSerial } from '../../../src/volume/identity.ts'

t.test('designator and serial number of a volume', async (t) => {
  const uuid = '0f1e2d3c-4b5a-4968-8778-695a4b3c2d1e'
  t.equal(naaDesignator(uuid).toString('hex'), '60f1e2d3c4b5a9688778695a4b3c2d1e')
  t.equal(naaDesignator(uuid).length, 16)
  t.equal(unitSerial(uuid), '49688778695a4b3c2d1e')
  t.throws(() => naaDesignator('not-a-uuid'), /is no UUID/)
})
