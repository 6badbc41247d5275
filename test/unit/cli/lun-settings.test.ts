/** Persistent reservations of standalone LUNs over restarts: what is kept, where, and what is not. */
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { LunSpec } from '../../../src/cli/lun-option.ts'
import { openLunSettings } from '../../../src/cli/lun-settings.ts'
import type { MemoryUnitSettings } from '../../../src/scsi/memory-unit-settings.ts'
import { MemoryUnit, testNexus } from '../../support/memory-unit.ts'
import { quietLog } from '../../support/quiet-log.ts'
import { Action, outCdb, outList, reserve6 } from '../../support/reservation-commands.ts'
import { ScsiRig } from '../../support/scsi-rig.ts'

const nexus = testNexus()

async function directory(t: Test): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), 'palisade-'))
  t.teardown(() => rm(made, { recursive: true, force: true }))
  return made
}

function rawLun(path: string): LunSpec {
  return { path, thin: false } as LunSpec
}

/** REGISTER AND IGNORE EXISTING KEY, with or without APTPL; then RESERVE. */
async function reserve(settings: MemoryUnitSettings, persists: boolean): Promise<string[]> {
  const rig = new ScsiRig(Object.assign(new MemoryUnit(), { settings }))
  const send = (spec: { action: number; key?: number; serviceActionKey?: number; type?: number }) =>
    rig.outcome(outCdb(spec, 24), { data: [outList({ ...spec, flags: persists ? 1 : 0 })] })
  return [
    await send({ action: Action.REGISTER_AND_IGNORE, serviceActionKey: 7 }),
    await send({ action: Action.RESERVE, key: 7, type: 3 }),
  ]
}

t.test('APTPL: it is there again, and counts anew', async (t) => {
  const path = join(await directory(t), 'disk')
  const settings = await openLunSettings(rawLun(path), quietLog)
  t.strictSame(await reserve(settings, true), ['GOOD', 'GOOD'])
  const again = (await openLunSettings(rawLun(path), quietLog)).state.reservations
  t.strictSame(again.registrations, [
    { initiatorPort: nexus.initiatorPort, key: '0000000000000007' },
  ])
  t.strictSame(again.persistent, { type: 3, holder: nexus.initiatorPort })
  t.equal(again.generation, 0)
  t.equal(again.persistThroughPowerLoss, true)
})

t.test('without APTPL nothing is kept, and what was kept goes', async (t) => {
  const made = await directory(t)
  const path = join(made, 'disk')
  await reserve(await openLunSettings(rawLun(path), quietLog), true)
  const settings = await openLunSettings(rawLun(path), quietLog)
  await reserve(settings, false)
  t.equal(settings.state.reservations.registrations.length, 1)
  t.strictSame(await readdir(made), [])
  const again = (await openLunSettings(rawLun(path), quietLog)).state.reservations
  t.strictSame(again.registrations, [])
})

t.test('a RESERVE is not kept', async (t) => {
  const made = await directory(t)
  const settings = await openLunSettings(rawLun(join(made, 'disk')), quietLog)
  const rig = new ScsiRig(Object.assign(new MemoryUnit(), { settings }))
  t.equal(await rig.outcome(reserve6), 'GOOD')
  t.strictSame(await readdir(made), [])
})

t.test('a thin LUN keeps it in its directory', async (t) => {
  const path = await directory(t)
  const spec = { path, thin: true } as LunSpec
  await reserve(await openLunSettings(spec, quietLog), true)
  t.strictSame(await readdir(path), ['reservations'])
})

t.test('a damaged file is refused, and says what to do', async (t) => {
  const path = join(await directory(t), 'disk')
  await writeFile(`${path}.palisade-reservations`, Buffer.from([0xff, 0xff, 0xff]))
  await t.rejects(openLunSettings(rawLun(path), quietLog), { code: 'not-a-store' })
})

t.test('what cannot be made durable is not made', async (t) => {
  const path = join(await directory(t), 'missing', 'disk')
  const settings = await openLunSettings(rawLun(path), quietLog)
  t.strictSame(await reserve(settings, true), ['8', '18'])
  await t.rejects(stat(`${path}.palisade-reservations`))
})
