/**
 * PREEMPT AND ABORT at the wire: the commands of the preempted initiator end without an answer, and
 * the answer of the preempting one waits until they can touch nothing any more.
 */
import t from 'tap'
import { MemoryUnitSettings } from '../../../src/scsi/memory-unit-settings.ts'
import { until } from '../../support/portal-rig.ts'
import { read10 } from '../../support/raw-initiator.ts'
import { Action, type OutSpec, outCdb, outList, Type } from '../../support/reservation-commands.ts'
import { rigFor } from './rig-for.ts'

t.test('PREEMPT AND ABORT waits for what it ends', async (t) => {
  const rig = await rigFor(t, { settings: new MemoryUnitSettings() })
  const [a, b, c] = await Promise.all(
    ['a', 'b', 'c'].map((name) => rig.login({ initiatorName: `iqn.2026-11.test:${name}` })),
  )
  if (a === undefined || b === undefined || c === undefined) throw new Error('three log in')
  const out = (spec: OutSpec) => ({
    cdb: outCdb(spec, 24),
    data: outList(spec),
    immediateBytes: 24,
  })
  const register = (serviceActionKey: number) =>
    out({ action: Action.REGISTER_AND_IGNORE, serviceActionKey })
  t.equal((await a.run(register(1))).status, 0)
  t.equal((await b.run(register(2))).status, 0)
  t.equal((await c.run(register(3))).status, 0)
  t.equal((await a.run(out({ action: Action.RESERVE, type: Type.WERO, key: 1 }))).status, 0)
  rig.unit.shut()
  a.command({ cdb: read10(0, 1), readBytes: 512 })
  const untouched = c.command({ cdb: read10(0, 1), readBytes: 512 })
  await until(() => rig.unit.held.length === 2, 'two reads are under way')
  const abort = { action: Action.PREEMPT_AND_ABORT, type: Type.WE, key: 2, serviceActionKey: 1 }
  const tag = b.command(out(abort))
  await until(() => rig.unit.held.some(({ aborted }) => aborted), 'one is aborted')
  t.strictSame(
    rig.unit.held.map(({ nexus, aborted }) => [nexus.initiatorName.at(-1), aborted]),
    [
      ['a', true],
      ['c', false],
    ],
  )
  let answered = false
  const answer = b.end(tag).then((end) => {
    answered = true
    return end.status
  })
  t.equal((await b.run({ cdb: Buffer.alloc(6) })).status, 0, 'others are served meanwhile')
  t.equal(answered, false, 'while it is held')
  rig.unit.open()
  t.equal(await answer, 0)
  t.equal((await c.end(untouched)).status, 0)
  const told = await a.run({ cdb: Buffer.alloc(6) })
  t.equal(told.status, 2, 'a unit attention')
  t.equal(a.describe(), '', 'and nothing of the command that was ended')
})
