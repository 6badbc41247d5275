/**
 * What initiators set on a unit: modes, the medium, its removal; what resets and lost sessions
 * revert; what each nexus is told; protection from writes; thresholds of space.
 */
import t from 'tap'
import type { Nexus } from '../../../src/scsi/logical-unit.ts'
import { MemoryUnitSettings } from '../../../src/scsi/memory-unit-settings.ts'
import { Status } from '../../../src/scsi/result.ts'
import type { SharedState, UnitSettings } from '../../../src/scsi/unit-settings.ts'
import { MemoryUnit, testNexus } from '../../support/memory-unit.ts'
import { describe, hex, ScsiRig } from '../../support/scsi-rig.ts'

const testUnitReady = '00 00 00 00 00 00'
const read10 = '28 00 00000000 00 0001 00'
const write10 = '2a 00 00000000 00 0001 00'
const readCapacity = '25 00 00000000 0000 00 00'
const requestSense = '03 00 00 00 ff 00'
const modeSenseControl = '1a 08 0a 00 ff 00'
const eject = '1b 00 00 00 02 00'
const load = '1b 00 00 00 03 00'
const prevent = '1e 00 00 00 01 00'
const allow = '1e 00 00 00 00 00'
const control = '0a 0a 02 10 00 00 0000 ffff 0000'

/** The control page with these bits in bytes 2 and 4. */
function controlPage(descriptorSense: boolean, softwareWriteProtect: boolean): Buffer {
  const page = hex(control)
  page[2]! |= descriptorSense ? 0x04 : 0
  page[4]! |= softwareWriteProtect ? 0x08 : 0
  return page
}

const selectCdb = (length: number) => Buffer.from([0x15, 0x10, 0, 0, length, 0])
const selectCdb10 = (length: number) =>
  Buffer.from([0x55, 0x10, 0, 0, 0, 0, 0, length >> 8, length & 0xff, 0])
const select = (page: Buffer) => Buffer.concat([Buffer.alloc(4), page])

function rigOf(facts = {}, settings: UnitSettings = new MemoryUnitSettings()) {
  const rig = new ScsiRig(new MemoryUnit(facts, settings))
  const other = testNexus('iqn.2026-11.test:other')
  rig.server.nexusGained(other)
  return { rig, other, settings }
}

async function modeSelect(
  rig: ScsiRig,
  list: Buffer,
  cdb = selectCdb(list.length),
): Promise<string> {
  return rig.outcome(cdb, { data: [list] })
}

/** The sense of a refusal, and where it points: `05/26/00 parameter 7.3`. */
async function refusal(rig: ScsiRig, cdb: Buffer | string, data?: Buffer): Promise<string> {
  const result = await rig.send(cdb, data === undefined ? {} : { data: [data] })
  if (result === 'drop' || result.status !== 0x02) return describe(result)
  const { fieldPointer } = result.sense
  if (fieldPointer === undefined) return describe(result)
  const where = fieldPointer.inCdb ? 'cdb' : 'list'
  const bit = fieldPointer.bit === undefined ? '' : `.${fieldPointer.bit}`
  return `${describe(result)} ${where} ${fieldPointer.byte}${bit}`
}

t.test('MODE SELECT changes D_SENSE and SWP for all, and tells the others', async (t) => {
  const { rig, other } = rigOf()
  t.equal(await modeSelect(rig, select(controlPage(true, true))), 'GOOD')
  t.equal(
    (await rig.dataOf(modeSenseControl)).toString('hex'),
    hex(`0f 00 90 00 0a 0a 06 10 08 00 0000 ffff 0000`).toString('hex'),
  )
  t.equal(await rig.outcome(testUnitReady, { nexus: other }), '06/2a/01')
  t.equal(await rig.outcome(testUnitReady, { nexus: other }), 'GOOD')
  t.equal(await rig.outcome(testUnitReady), 'GOOD', 'not told to the one that did it')
  t.equal(await rig.outcome(write10, { data: [Buffer.alloc(512)] }), '07/27/00')
  t.equal(await rig.outcome('42 00 00000000 00 0000 00'), '07/27/00')
  t.equal(await rig.outcome(read10), 'GOOD')
  const refused = await rig.send(write10)
  const sense = refused === 'drop' ? undefined : rig.server.encodeSense(rig.task(write10), refused)
  t.equal(sense?.toString('hex'), '7207270000000000', 'descriptor format')
  t.equal(await modeSelect(rig, select(controlPage(true, true))), 'GOOD', 'nothing new')
  t.equal(await rig.outcome(testUnitReady, { nexus: other }), 'GOOD', 'and nothing to tell')
  const list10 = Buffer.concat([Buffer.alloc(8), controlPage(false, false)])
  t.equal(await modeSelect(rig, list10, selectCdb10(list10.length)), 'GOOD')
  t.equal(await rig.outcome(write10, { data: [Buffer.alloc(512)] }), 'GOOD')
  t.equal(await rig.outcome('15 10 00 00 00 00'), 'GOOD', 'no list, no change')
})

t.test('MODE SELECT: what a page does not let be changed is refused, with its place', async (t) => {
  const { rig, settings } = rigOf()
  const before = settings.state
  const pages = [
    ['0a 0a 02 10 00 00 0000 ffff 0001', '05/26/00 list 15.0'],
    ['0a 0a 00 10 00 00 0000 ffff 0000', '05/26/00 list 6.1'],
    ['0a 08 02 10 00 00 0000 ffff', '05/26/00 list 5'],
    ['08 12 00 00 0000 0000 0000 0000 00 00 00 00 00000000', '05/26/00 list 6.2'],
    ['2a 0a 02 10 00 00 0000 ffff 0000', '05/26/00 list 4.5'],
    ['4a 01 0008 0000000000000000', '05/26/00 list 4.5'],
    ['0a 0a 02 10 00 00 0000 ffff', '05/1a/00'],
    ['0a', '05/1a/00'],
    ['4a 00 00', '05/1a/00'],
    [`${control} 1c 0a 08 00 00000000 00000001`, '05/26/00 list 27.0'],
  ] as const
  for (const [page, wanted] of pages) {
    const list = select(hex(page))
    t.equal(await refusal(rig, selectCdb(list.length), list), wanted, page)
  }
  const lists = [
    ['00 00 00', '05/1a/00'],
    ['00 01 00 00', '05/26/00 list 1'],
    ['00 00 00 07', '05/26/00 list 3'],
    ['00 00 00 08 00000000 00', '05/1a/00'],
    ['00 00 00 08 00000001 00 000200', '05/26/00 list 4'],
    ['00 00 00 08 00000000 00 000400', '05/26/00 list 9'],
  ] as const
  for (const [text, wanted] of lists) {
    const list = hex(text)
    t.equal(await refusal(rig, selectCdb(list.length), list), wanted, text)
  }
  for (const text of [
    '00 00 00 08 00000000 00 000200',
    '00 00 80 08 00000800 00 000200',
    '00 00 00 08 ffffffff 00 000200',
  ])
    t.equal(await modeSelect(rig, hex(text)), 'GOOD', text)
  const long = hex('00 00 00 00 01 00 0010 0000000000000800 00000000 00000200')
  t.equal(await modeSelect(rig, long, selectCdb10(long.length)), 'GOOD')
  const short = hex('00 00 00 00 01 00 0008 00000800 00 000200')
  t.equal(await refusal(rig, selectCdb10(short.length), short), '05/26/00 list 6')
  t.equal(await refusal(rig, '15 00 00 00 00 00'), '05/24/00 cdb 1.4', 'PF 0')
  t.equal(await refusal(rig, '15 11 00 00 00 00'), '05/24/00 cdb 1.0', 'SP 1')
  t.equal(
    await refusal(rig, selectCdb(200), select(controlPage(true, true))),
    'GOOD',
    'less came than was announced',
  )
  t.not(settings.state, before)
})

t.test(
  'MODE SELECT: a list longer than 64 KiB of pages is taken or refused, never half',
  async (t) => {
    const { rig, settings } = rigOf()
    const pages = Array.from({ length: 400 }, (_, i) => controlPage(i % 2 === 0, false))
    const list = Buffer.concat([Buffer.alloc(8), ...pages])
    t.equal(await modeSelect(rig, list, selectCdb10(list.length)), 'GOOD')
    t.equal(settings.state.descriptorSense, false, 'the last page counts')
    const wrong = Buffer.concat([list, controlPage(true, true), Buffer.from([0x3e, 0])])
    t.equal(await modeSelect(rig, wrong, selectCdb10(wrong.length)), '05/26/00')
    t.equal(settings.state.descriptorSense, false)
    t.equal(settings.state.softwareWriteProtect, false)
  },
)

t.test(
  'MODE SELECT waits for settings that others change, and says when they cannot be',
  async (t) => {
    let answers: Awaited<ReturnType<UnitSettings['change']>>[] = []
    const changes: { takesAway: boolean }[] = []
    class Contended extends MemoryUnitSettings {
      override async change(former: SharedState, next: SharedState, how = { takesAway: false }) {
        changes.push(how)
        const answer = answers.shift()
        return answer ?? super.change(former, next)
      }
    }
    const { rig, other, settings } = rigOf({}, new Contended())
    answers = ['changed', 'changed']
    t.equal(await modeSelect(rig, select(controlPage(true, true))), 'GOOD')
    t.strictSame(changes, Array(3).fill({ takesAway: true }), 'protection takes something away')
    answers = ['unavailable']
    t.equal(await modeSelect(rig, select(controlPage(false, false))), Status.BUSY.toString(16))
    answers = ['unknown']
    t.equal(await modeSelect(rig, select(controlPage(false, false))), '0b/2e/02')
    t.equal(settings.state.softwareWriteProtect, true)
    t.equal(await rig.outcome(testUnitReady, { nexus: other }), '06/2a/01', 'of the first')
    t.equal(await rig.outcome(testUnitReady, { nexus: other }), 'GOOD')
    changes.length = 0
    t.equal(await modeSelect(rig, select(controlPage(false, true))), 'GOOD')
    t.strictSame(changes, [{ takesAway: false }])
  },
)

t.test('a read-only unit: WP, DATA PROTECT before every other finding', async (t) => {
  const { rig } = rigOf({ readOnly: true })
  t.equal((await rig.dataOf(modeSenseControl))[2], 0x90)
  for (const cdb of [
    write10,
    '2a 00 ffffffff 00 0001 00',
    '93 08 0000000000000000 00000001 00 00',
    '48 02 0000000000 0000 00',
  ])
    t.equal(await rig.outcome(cdb), '07/27/00', cdb)
  t.equal(await rig.outcome(read10), 'GOOD')
  t.equal(await rig.outcome('35 00 00000000 00 0000 00'), 'GOOD')
  t.notOk(rig.unit.calls.some((call) => call.startsWith('write')))
})

t.test('START STOP UNIT: what is there to start, stop, load and eject', async (t) => {
  const { rig } = rigOf()
  t.equal(await rig.outcome('1b 00 00 00 01 00'), 'GOOD')
  t.equal(await rig.outcome('1b 00 00 00 00 00'), 'GOOD')
  t.strictSame(rig.unit.calls, ['flush'], 'stopping makes durable what was written')
  t.equal(await rig.outcome('1b 00 00 00 04 00'), 'GOOD', 'NO_FLUSH')
  t.strictSame(rig.unit.calls, ['flush'])
  t.equal(await rig.outcome(testUnitReady), 'GOOD')
  t.equal(await refusal(rig, eject), '05/24/00 cdb 4.1', 'not removable')
  t.equal(await refusal(rig, load), '05/24/00 cdb 4.1')
  t.equal(
    await rig.outcome('1b 00 00 00 12 00'),
    'GOOD',
    'LOEJ means nothing beside a power condition',
  )
  t.equal(await rig.outcome(prevent), '05/20/00')
  rig.unit.failNext = { status: 0x02, sense: { key: 3, asc: 0x0c, ascq: 0 } }
  t.equal(await rig.outcome('1b 00 00 00 00 00'), '03/0c/00', 'a flush that failed is told')
})

t.test('an ejected medium is there for nobody, until it is loaded', async (t) => {
  const { rig, other } = rigOf({ removable: true })
  t.equal(await rig.outcome(eject), 'GOOD')
  t.strictSame(rig.unit.calls, ['flush'])
  for (const cdb of [
    testUnitReady,
    read10,
    write10,
    readCapacity,
    '35 00 00000000 00 0000 00',
    '2f 00 00000000 00 0001 00',
  ])
    for (const nexus of [rig.nexus, other])
      t.equal(await rig.outcome(cdb, { nexus }), '02/3a/00', cdb)
  t.equal(await rig.outcome('1b 00 00 00 01 00'), '02/3a/00', 'START without LOEJ loads nothing')
  t.equal(await rig.outcome('48 02 0000000000 0000 00'), '02/3a/00', 'SANITIZE')
  t.equal(
    (await rig.dataOf(requestSense)).subarray(2, 14).toString('hex'),
    '02000000000a000000003a00',
  )
  for (const cdb of ['12 00 00 00ff 00', modeSenseControl, '4d 00 40 00 00 0000 00ff 00', eject])
    t.equal(await rig.outcome(cdb), 'GOOD', cdb)
  t.equal(await rig.outcome(load), 'GOOD')
  t.equal(await rig.outcome(testUnitReady), 'GOOD')
  t.equal(await rig.outcome(testUnitReady, { nexus: other }), '06/28/00', 'the others are told')
  t.equal(await rig.outcome(load), 'GOOD', 'it is in already')
  t.equal(await rig.outcome(testUnitReady, { nexus: other }), 'GOOD')
})

t.test('who writes while the medium goes finds it gone', async (t) => {
  const { rig } = rigOf({ removable: true })
  const task = rig.task(write10)
  t.equal(rig.server.arrive(task), undefined)
  t.equal(await rig.outcome(eject), 'GOOD')
  t.equal(describe(await rig.server.execute(task, [Buffer.alloc(512)])), '02/3a/00')
  t.equal(await rig.outcome(load), 'GOOD')
  const later = rig.task(write10)
  t.equal(rig.server.arrive(later), undefined)
  t.equal(await modeSelect(rig, select(controlPage(false, true))), 'GOOD')
  t.equal(describe(await rig.server.execute(later, [Buffer.alloc(512)])), '07/27/00')
  t.notOk(rig.unit.calls.some((call) => call.startsWith('write')))
})

t.test('PREVENT holds for all, until each that asked for it allows it or is gone', async (t) => {
  const { rig, other } = rigOf({ removable: true })
  t.equal(await rig.outcome(prevent), 'GOOD')
  t.equal(await rig.outcome(prevent, { nexus: other }), 'GOOD')
  for (const nexus of [rig.nexus, other]) t.equal(await rig.outcome(eject, { nexus }), '05/53/02')
  t.equal(await rig.outcome(allow), 'GOOD')
  t.equal(await rig.outcome(eject), '05/53/02', 'the other still prevents it')
  rig.server.nexusLost(other)
  t.equal(await rig.outcome(eject), 'GOOD')
  t.equal(await rig.outcome(prevent), 'GOOD')
  t.equal(await rig.outcome(load), '05/53/02', 'nor is it put in')
  t.equal(await refusal(rig, '1e 00 00 00 02 00'), '05/24/00 cdb 4.1')
  const back: Nexus = { ...other }
  rig.server.nexusGained(back)
  t.equal(await rig.outcome('a0 00 00 000000 00000100 00 00', { nexus: back }), 'GOOD')
  t.equal(await rig.outcome(testUnitReady, { nexus: back }), '06/29/07', 'what it had set is gone')
})

t.test('resets revert what initiators set, and each nexus is told once', async (t) => {
  for (const [scope, told] of [
    [{ kind: 'unit', lun: 0 }, '06/29/03'],
    [{ kind: 'target' }, '06/29/02'],
  ] as const) {
    const { rig, other, settings } = rigOf({ removable: true })
    await modeSelect(rig, select(controlPage(true, true)))
    t.equal(await rig.outcome(prevent), 'GOOD')
    const { state } = settings
    const reservations = { ...state.reservations, reserved: rig.nexus.initiatorPort, generation: 7 }
    await settings.change(state, { ...state, reservations }, { takesAway: true })
    rig.server.reset(rig.nexus, scope)
    t.equal(await rig.outcome(testUnitReady), told, 'the one that asked as well')
    t.equal(await rig.outcome(testUnitReady, { nexus: other }), told, 'before what is less')
    t.equal(await rig.outcome(testUnitReady, { nexus: other }), '06/2a/01')
    t.equal(await rig.outcome(testUnitReady, { nexus: other }), 'GOOD')
    const { descriptorSense, softwareWriteProtect, reservations: after } = settings.state
    t.strictSame([descriptorSense, softwareWriteProtect, after.reserved], [false, false, undefined])
    t.equal(after.generation, 7, 'persistent reservations stay')
    t.equal(await rig.outcome(eject), 'GOOD', 'nobody prevents it')
    rig.server.reset(rig.nexus, scope)
    t.equal(settings.state.mediumLoaded, false, 'a reset loads nothing')
  }
})

t.test(
  'a reset of one unit leaves the others alone; tasks cleared are told to their owners',
  async (t) => {
    const units = new Map([0, 1].map((lun) => [lun, new MemoryUnit({}, new MemoryUnitSettings())]))
    const rig = new ScsiRig(units)
    const other = testNexus('iqn.2026-11.test:other')
    rig.server.nexusGained(other)
    rig.server.reset(rig.nexus, { kind: 'unit', lun: 1 })
    t.equal(await rig.outcome(testUnitReady, { lun: 0 }), 'GOOD')
    t.equal(await rig.outcome(testUnitReady, { lun: 1 }), '06/29/03')
    rig.server.tasksCleared([other], 0)
    t.equal(await rig.outcome(testUnitReady, { lun: 0 }), 'GOOD')
    t.equal(await rig.outcome(testUnitReady, { lun: 0, nexus: other }), '06/2f/00')
    rig.server.reset(rig.nexus, { kind: 'unit', lun: 9 })
    t.equal(await rig.outcome(testUnitReady, { lun: 9 }), '05/25/00')
  },
)

t.test('a RESERVE ends with the session of its holder, who is told when it is back', async (t) => {
  const { rig, settings } = rigOf()
  const { state } = settings
  const reservations = { ...state.reservations, reserved: rig.nexus.initiatorPort }
  await settings.change(state, { ...state, reservations }, { takesAway: true })
  rig.server.nexusLost(testNexus('iqn.2026-11.test:third'))
  t.equal(settings.state.reservations.reserved, rig.nexus.initiatorPort)
  rig.server.nexusLost(rig.nexus)
  t.equal(settings.state.reservations.reserved, undefined)
  rig.server.nexusGained(rig.nexus)
  t.equal(await rig.outcome(testUnitReady), '06/29/07')
  rig.server.nexusLost(rig.nexus)
  rig.server.nexusGained(rig.nexus)
  t.equal(await rig.outcome(testUnitReady), 'GOOD', 'a plain new login finds none')
})

t.test('only so many lost sessions are remembered', async (t) => {
  const { rig } = rigOf({ removable: true })
  const nexuses = Array.from({ length: 1025 }, (_, i) => testNexus(`iqn.2026-11.test:n${i}`))
  for (const nexus of nexuses) {
    rig.server.nexusGained(nexus)
    await rig.send(prevent, { nexus })
    rig.server.nexusLost(nexus)
  }
  const [first] = nexuses
  const last = nexuses.at(-1)
  for (const nexus of [first!, last!]) rig.server.nexusGained(nexus)
  t.equal(await rig.outcome(testUnitReady, { nexus: first! }), 'GOOD', 'the oldest is forgotten')
  t.equal(await rig.outcome(testUnitReady, { nexus: last! }), '06/29/07')
})

t.test(
  'the soft threshold is told once to each nexus, and again after there was more',
  async (t) => {
    const { rig, other } = rigOf()
    let available = 1000
    const used = 0
    rig.unit.space = { usedBlocks: () => used, availableBlocks: () => available }
    t.equal(await rig.outcome(testUnitReady), 'GOOD')
    available = 204
    t.equal(await rig.outcome(testUnitReady), '06/38/07', 'less than a tenth of 2048')
    t.equal(await rig.outcome(testUnitReady), 'GOOD')
    t.equal(await rig.outcome(testUnitReady, { nexus: other }), '06/38/07')
    available = 205
    t.equal(await rig.outcome(testUnitReady), 'GOOD')
    available = 0
    t.equal(await rig.outcome(testUnitReady), '06/38/07')
  },
)

t.test('LOG SENSE: fields that ask for what is not there', async (t) => {
  const { rig } = rigOf()
  const wrong = [
    ['4d 01 40 00 00 0000 00ff 00', '05/24/00 cdb 1.0'],
    ['4d 00 4c 00 00 0000 00ff 00', '05/24/00 cdb 2.5'],
    ['4d 00 6f 01 00 0000 00ff 00', '05/24/00 cdb 3.5'],
    ['4d 00 2f 00 00 0000 00ff 00', '05/24/00 cdb 2.7'],
    ['4d 00 6f 00 00 0001 00ff 00', '05/24/00 cdb 5'],
    ['4d 00 40 00 00 0001 00ff 00', '05/24/00 cdb 5'],
  ] as const
  for (const [cdb, wanted] of wrong) t.equal(await refusal(rig, cdb), wanted, cdb)
  t.equal((await rig.dataOf('4d 00 6f 00 00 0000 0002 00')).toString('hex'), '2f00', 'cut')
  t.equal(await refusal(rig, 'a3 4a 00000000 000000ff 00 00'), '05/24/00 cdb 1.7')
})

t.test('LOG SELECT: a reset finds nothing to do, and nothing can be set', async (t) => {
  const { rig } = rigOf()
  const good = [
    '4c 02 40 00 000000 0000 00',
    '4c 00 c0 00 000000 0000 00',
    '4c 02 6f 00 000000 0000 00',
  ]
  for (const cdb of good) t.equal(await rig.outcome(cdb), 'GOOD', cdb)
  const wrong = [
    ['4c 03 40 00 000000 0000 00', '05/24/00 cdb 1.0'],
    ['4c 02 40 00 000000 0004 00', '05/24/00 cdb 1.1'],
    ['4c 00 6f 00 000000 0004 00', '05/24/00 cdb 2.5'],
    ['4c 02 4c 00 000000 0000 00', '05/24/00 cdb 2.5'],
    ['4c 02 6f 01 000000 0000 00', '05/24/00 cdb 2.5'],
  ] as const
  for (const [cdb, wanted] of wrong) t.equal(await refusal(rig, cdb), wanted, cdb)
  const lists = [
    ['2f000000', 'GOOD'],
    ['2f000008 00000304 00000000', '05/26/00'],
    ['2f000000 0c000000', '05/26/00'],
    ['6f010000', '05/26/00'],
    ['2f000008', '05/1a/00'],
    ['2f000000 2f00', '05/1a/00'],
  ] as const
  for (const [text, wanted] of lists) {
    const list = hex(text)
    const cdb = Buffer.concat([hex('4c 00 40 00 000000 00'), Buffer.from([list.length, 0])])
    t.equal(await rig.outcome(cdb, { data: [list] }), wanted, text)
  }
  t.equal(await rig.outcome('4c 00 40 00 000000 0008 00', { data: [hex('2f00')] }), '05/1a/00')
  t.equal(await new ScsiRig().outcome('4c 02 40 00 000000 0000 00'), '05/20/00')
})

t.test('settings in memory: one change after the other, durable ones first', async (t) => {
  let written: ((done: boolean) => void) | undefined
  const settings = new MemoryUnitSettings({
    persist: (_former, next) =>
      next.descriptorSense ? new Promise((resolve) => (written = resolve)) : undefined,
  })
  const { state } = settings
  const first = settings.change(state, { ...state, descriptorSense: true })
  const second = settings.change(state, { ...state, mediumLoaded: false })
  t.equal(settings.state, state, 'not before it is durable')
  written?.(true)
  t.equal(await first, 'done')
  t.equal(await second, 'changed', 'somebody was faster')
  t.equal(settings.state.descriptorSense, true)
  t.equal(await settings.change(state, state), 'changed')
  const third = settings.change(settings.state, { ...settings.state, mediumLoaded: false })
  written?.(false)
  t.equal(await third, 'unavailable')
  t.equal(settings.state.mediumLoaded, true)
})
