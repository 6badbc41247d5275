/** Routing to units, what is checked on arrival and in which order, unit attentions, inquiries. */
import t from 'tap'
import {
  CAPACITY_DATA_HAS_CHANGED,
  POWER_ON_OR_RESET_OCCURRED,
  REPORTED_LUNS_DATA_HAS_CHANGED,
} from '../../../src/scsi/sense.ts'
import { MemoryUnit, testNexus } from '../../support/memory-unit.ts'
import { describe, hex, ScsiRig } from '../../support/scsi-rig.ts'

const testUnitReady = '00 00 00 00 00 00'
const requestSense = '03 00 00 00 ff 00'
const requestDescriptors = '03 01 00 00 ff 00'
const inquiry = '12 00 00 00ff 00'
const reportLuns = 'a0 00 00 000000 00000400 00 00'
const read10 = '28 00 00000000 00 0001 00'
const write10 = '2a 00 00000000 00 0001 00'
const refused = {
  status: 0x02,
  sense: { key: 0xb, asc: 0x80, ascq: 1, descriptors: hex('8000') },
} as const

t.test('a LUN that is not there', async (t) => {
  const rig = new ScsiRig(new Map([[1, new MemoryUnit()]]))
  for (const cdb of [testUnitReady, read10, write10, '9e 10 0000000000000000 00000020 00 00']) {
    t.equal(describe(rig.arrive(cdb)), '05/25/00')
    t.equal(describe(await rig.server.execute(rig.task(cdb), [])), '05/25/00', 'gone meanwhile')
  }
  t.equal(describe(rig.arrive('7f 00 00 00 00 00')), '05/25/00')
  const data = await rig.dataOf(inquiry)
  t.equal(data[0], 0x7f, 'peripheral qualifier 3, device type 1Fh')
  t.equal(data.length, 96)
  t.equal(await rig.outcome('12 01 00 00ff 00'), '05/24/00')
  t.strictSame(
    (await rig.dataOf(requestSense)).subarray(0, 14),
    hex('70 00 05 00000000 0a 00000000 25 00'),
  )
  t.equal((await rig.dataOf(reportLuns)).toString('hex'), '00000008000000000001000000000000')
})

t.test('REPORT LUNS: formats, selections, allocation length', async (t) => {
  const rig = new ScsiRig(new Map([0, 7, 255, 256, 16_383].map((lun) => [lun, new MemoryUnit()])))
  const list = await rig.dataOf(reportLuns)
  const luns = ['0000', '0007', '00ff', '4100', '7fff'].map((lun) => lun.padEnd(16, '0'))
  t.equal(list.toString('hex'), `0000002800000000${luns.join('')}`)
  t.ok((await rig.dataOf('a0 00 02 000000 00000400 00 00')).equals(list))
  t.equal((await rig.dataOf('a0 00 01 000000 00000400 00 00')).toString('hex'), '0'.repeat(16))
  t.equal(await rig.outcome('a0 00 03 000000 00000400 00 00'), '05/24/00')
  t.ok((await rig.dataOf('a0 00 00 000000 0000000f 00 00')).equals(list.subarray(0, 15)))
  t.equal((await rig.dataOf('a0 00 00 000000 00000000 00 00')).length, 0)
  t.ok((await rig.dataOf('a0 00 00 000000 00000013 00 00')).equals(list.subarray(0, 19)))
})

t.test('allocation lengths cut data and are no error, 0 and 1 included', async (t) => {
  const rig = new ScsiRig()
  const whole = await rig.dataOf(inquiry)
  for (let length = 0; length <= 96; length++) {
    const cdb = hex(inquiry)
    cdb.writeUInt16BE(length, 3)
    t.ok((await rig.dataOf(cdb)).equals(whole.subarray(0, length)))
    t.strictSame(rig.server.transfer(cdb, 0), { direction: 'in', bytes: length })
  }
  t.equal((await rig.dataOf('12 00 00 ffff 00')).length, 96)
  t.equal((await rig.dataOf('1a 00 3f 00 04 00')).toString('hex'), '43001008')
  t.equal((await rig.dataOf('9e 10 0000000000000000 00000000 00 00')).length, 0)
  t.equal((await rig.dataOf('a3 0c 00 00 0000 00000004 00 00')).length, 4)
  t.equal((await rig.dataOf('03 00 00 00 01 00')).toString('hex'), '70')
})

t.test('fields that ask for what is not there', async (t) => {
  const rig = new ScsiRig()
  const invalid = [
    '12 00 80 00ff 00', // a page code without EVPD
    '12 01 82 00ff 00', // no such page
    '12 02 00 00ff 00', // CMDDT
    '1a 00 07 00 ff 00', // no such mode page
    '1a 00 08 01 ff 00', // no such subpage
    '1a 00 00 00 ff 00', // no page 0
    '25 00 00000001 0000 00 00', // an LBA without PMI
    '9e 10 0000000000000001 00000020 00 00',
    '1b 00 00 00 00 00', // stop
    '1b 00 00 00 03 00', // load
    '1b 00 00 00 11 00', // power condition ACTIVE
    '1b 00 00 01 01 00', // power condition modifier
    '28 00 00000000 00 0001 04', // NACA
    '28 01 00000000 00 0001 00', // relative addressing
  ]
  for (const cdb of invalid) t.equal(describe(rig.arrive(cdb)), '05/24/00', cdb)
  t.equal(describe(rig.arrive('1a 00 c8 00 ff 00')), '05/39/00', 'saved values')
  t.equal(describe(rig.arrive('5a 00 ff 00 000000 00ff 00')), '05/39/00')
  const good = [
    '25 00 00000001 0000 01 00',
    '1b 01 00 00 01 00',
    '1a 00 bf ff ff 00',
    testUnitReady,
  ]
  for (const cdb of good) t.equal(await rig.outcome(cdb), 'GOOD', cdb)
})

t.test('a unit that is not ready says so where it is asked, and only there', async (t) => {
  const rig = new ScsiRig()
  rig.unit.reason = { key: 2, asc: 4, ascq: 0 }
  t.equal(await rig.outcome(testUnitReady), '02/04/00')
  t.equal(await rig.outcome('1b 00 00 00 01 00'), '02/04/00')
  t.equal(
    (await rig.dataOf(requestSense)).subarray(0, 14).toString('hex'),
    hex('70 00 02 00000000 0a 00000000 04 00').toString('hex'),
  )
  t.equal(await rig.outcome(inquiry), 'GOOD')
})

t.test('the unit is asked first, and what it says goes before every other finding', async (t) => {
  const rig = new ScsiRig()
  rig.server.raise(CAPACITY_DATA_HAS_CHANGED)
  rig.unit.arriveWith = refused
  const beyond = '28 00 ffffffff 00 0001 00'
  for (const cdb of [read10, beyond, '28 e0 00000000 00 0001 00', write10, testUnitReady]) {
    t.equal(rig.arrive(cdb), refused)
  }
  const sense = rig.server.encodeSense(rig.task(read10), refused)
  t.equal(sense?.toString('hex'), '720b8001000000028000', 'descriptors force the format')
  rig.unit.arriveWith = 'drop'
  t.equal(rig.arrive(beyond), 'drop')
  t.equal(await rig.outcome(read10), 'drop')
  t.equal(describe(rig.arrive('7f 00 00 00 00 00')), '06/2a/09', 'not asked about no command')
  rig.unit.arriveWith = { status: 0x18 }
  t.strictSame(rig.arrive(read10), { status: 0x18 })
  t.equal(rig.server.encodeSense(rig.task(read10), { status: 0x18 }), undefined)
  rig.unit.arriveWith = undefined
  t.equal(describe(rig.arrive(beyond)), '05/21/00')
  t.equal(rig.arrive(write10), undefined)
  t.strictSame(rig.unit.calls, [], 'arrival touches nothing')
})

t.test('a command that passed is checked anew when it runs', async (t) => {
  const rig = new ScsiRig()
  const task = rig.task('2a 00 000007ff 00 0001 00')
  t.equal(rig.server.arrive(task), undefined)
  rig.unit.facts = { ...rig.unit.facts, blocks: 2047 }
  t.equal(describe(await rig.server.execute(task, [Buffer.alloc(512)])), '05/21/00')
  t.strictSame(rig.unit.calls, [])
})

t.test('a plain new session finds no unit attention', async (t) => {
  const rig = new ScsiRig()
  t.equal(await rig.outcome(testUnitReady), 'GOOD')
  t.equal((await rig.dataOf(requestSense)).toString('hex'), `700000000000000a${'00'.repeat(10)}`)
  t.equal((await rig.dataOf(requestDescriptors)).toString('hex'), '7200000000000000')
})

t.test('a unit attention is told once to each nexus but the one that caused it', async (t) => {
  const rig = new ScsiRig(
    new Map([
      [0, new MemoryUnit()],
      [1, new MemoryUnit()],
    ]),
  )
  const other = testNexus('iqn.2026-11.test:other')
  const late = testNexus('iqn.2026-11.test:late')
  rig.server.nexusGained(other)
  rig.server.raise(CAPACITY_DATA_HAS_CHANGED, { lun: 1, except: rig.nexus })
  rig.server.nexusGained(late)
  t.equal(await rig.outcome(read10, { lun: 1 }), 'GOOD')
  t.equal(await rig.outcome(read10, { lun: 0, nexus: other }), 'GOOD')
  t.equal(
    await rig.outcome(read10, { lun: 1, nexus: late }),
    'GOOD',
    'sessions that come later know',
  )
  t.equal(await rig.outcome(inquiry, { lun: 1, nexus: other }), 'GOOD', 'not told by INQUIRY')
  t.equal(await rig.outcome(reportLuns, { lun: 1, nexus: other }), 'GOOD')
  t.equal(await rig.outcome(read10, { lun: 1, nexus: other }), '06/2a/09')
  t.equal(await rig.outcome(read10, { lun: 1, nexus: other }), 'GOOD')
})

t.test('REQUEST SENSE returns a pending unit attention, and clears it', async (t) => {
  const rig = new ScsiRig()
  rig.server.raise(CAPACITY_DATA_HAS_CHANGED)
  t.equal((await rig.dataOf(requestDescriptors)).toString('hex'), '72062a0900000000')
  t.equal(await rig.outcome(testUnitReady), 'GOOD')
})

t.test('unit attentions: resets first, each once, gone with the session', async (t) => {
  const rig = new ScsiRig()
  for (let i = 0; i < 3; i++) rig.server.raise(CAPACITY_DATA_HAS_CHANGED)
  rig.server.raise(POWER_ON_OR_RESET_OCCURRED)
  const heard = [await rig.outcome(read10), await rig.outcome(read10), await rig.outcome(read10)]
  t.strictSame(heard, ['06/29/00', '06/2a/09', 'GOOD'])
  t.strictSame(rig.unit.calls, ['read 0+1'])
  rig.server.raise(POWER_ON_OR_RESET_OCCURRED)
  rig.server.nexusLost(rig.nexus)
  rig.server.raise(CAPACITY_DATA_HAS_CHANGED)
  t.equal(await rig.outcome(read10), 'GOOD')
  rig.server.nexusGained(rig.nexus)
  t.equal(await rig.outcome(read10), 'GOOD')
})

t.test('a session that replaces another keeps its own unit attentions', async (t) => {
  const rig = new ScsiRig()
  const again = { ...rig.nexus }
  rig.server.nexusGained(again)
  rig.server.raise(CAPACITY_DATA_HAS_CHANGED)
  rig.server.nexusLost(rig.nexus)
  t.equal(await rig.outcome(read10, { nexus: again }), '06/2a/09')
})

t.test('REPORTED LUNS DATA HAS CHANGED is told through one unit for all', async (t) => {
  const rig = new ScsiRig(
    new Map([
      [0, new MemoryUnit()],
      [1, new MemoryUnit()],
    ]),
  )
  rig.server.raise(CAPACITY_DATA_HAS_CHANGED, { lun: 1 })
  rig.server.raise(REPORTED_LUNS_DATA_HAS_CHANGED)
  t.equal(await rig.outcome(testUnitReady, { lun: 0 }), '06/3f/0e')
  t.equal(await rig.outcome(testUnitReady, { lun: 1 }), '06/2a/09')
  t.equal(await rig.outcome(testUnitReady, { lun: 1 }), 'GOOD')
  rig.server.raise(REPORTED_LUNS_DATA_HAS_CHANGED)
  t.equal(await rig.outcome(reportLuns), 'GOOD')
  t.equal(await rig.outcome(testUnitReady, { lun: 0 }), 'GOOD')
  t.equal(await rig.outcome(testUnitReady, { lun: 1 }), 'GOOD')
})
