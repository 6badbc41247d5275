/**
 * Reservations: which commands they hold up (every row of the command table against every kind of
 * reservation), the rules of each service action, the bytes of PERSISTENT RESERVE IN and OUT, RESERVE
 * beside persistent reservations, and what initiators are told.
 */
import t from 'tap'
import { reservations as limits } from '../../../src/base/limits.ts'
import { commandTable } from '../../../src/scsi/command-table.ts'
import { MemoryUnitSettings } from '../../../src/scsi/memory-unit-settings.ts'
import {
  conflicts,
  type ReservationClass,
  ReservationType,
} from '../../../src/scsi/reservation-access.ts'
import { noReservations, type ReservationTable } from '../../../src/scsi/reservation-table.ts'
import { newNotices } from '../../../src/scsi/reservation-watch.ts'
import { decodeTransportId, encodeTransportId } from '../../../src/scsi/transport-id.ts'
import { MemoryUnit, testNexus } from '../../support/memory-unit.ts'
import {
  Action,
  inCdb,
  type OutSpec,
  outCdb,
  outList,
  parseKeys,
  parseReservation,
  release6,
  reserve6,
  Type,
} from '../../support/reservation-commands.ts'
import { describe, ScsiRig } from '../../support/scsi-rig.ts'

const conflict = '18'
const invalidInCdb = '05/24/00'
const invalidInList = '05/26/00'
const lengthError = '05/1a/00'
const a = testNexus('iqn.2026-11.test:a')
const b = testNexus('iqn.2026-11.test:b')
const c = testNexus('iqn.2026-11.test:c')
/** Looks on, and is never told anything. */
const observer = testNexus('iqn.2026-11.test:observer')

/** Three initiators at one unit. */
class Rig {
  readonly settings: MemoryUnitSettings
  readonly scsi: ScsiRig

  constructor(settings = new MemoryUnitSettings()) {
    this.settings = settings
    this.scsi = new ScsiRig(Object.assign(new MemoryUnit(), { settings }))
    for (const nexus of [a, b, c, observer]) this.scsi.server.nexusGained(nexus)
  }

  get table(): ReservationTable {
    return this.settings.state.reservations
  }

  send(nexus: typeof a, cdb: Buffer | string, data: readonly Buffer[] = []): Promise<string> {
    return this.scsi.outcome(cdb, { nexus, data })
  }

  out(nexus: typeof a, spec: OutSpec): Promise<string> {
    const list = outList(spec)
    return this.send(nexus, outCdb(spec, spec.announcedBytes ?? list.length), [list])
  }

  register(nexus: typeof a, serviceActionKey: number, key = 0, flags = 0): Promise<string> {
    return this.out(nexus, { action: Action.REGISTER, key, serviceActionKey, flags })
  }

  reserve(nexus: typeof a, type: number, key: number): Promise<string> {
    return this.out(nexus, { action: Action.RESERVE, type, key })
  }

  async in(action: number, allocationLength?: number): Promise<Buffer> {
    const task = { nexus: observer }
    const result = await this.scsi.send(inCdb(action, allocationLength), task)
    if (result === 'drop' || result.status !== 0) throw new Error(describe(result))
    return Buffer.concat(result.dataIn)
  }

  async keys(): Promise<number[]> {
    return parseKeys(await this.in(0)).keys
  }

  /** The pending conditions of a nexus. */
  async attentions(nexus: typeof a): Promise<string[]> {
    const told: string[] = []
    for (;;) {
      const outcome = await this.send(nexus, '000000000000')
      if (outcome === 'GOOD') return told
      told.push(outcome)
    }
  }
}

const read = '28000000000000000100'
const write = '2a000000000000000100'
const block = [Buffer.alloc(512)]

/** SPC-4 table 64, SBC-3 table 13: WE and EA of another; the same with registrants, unregistered. */
const expectations: Readonly<
  Record<ReservationClass, { we: boolean; ea: boolean; reserve: boolean }>
> = {
  never: { we: false, ea: false, reserve: false },
  reserve: { we: false, ea: false, reserve: true },
  persistent: { we: false, ea: false, reserve: true },
  read: { we: false, ea: true, reserve: true },
  write: { we: true, ea: true, reserve: true },
  own: { we: false, ea: false, reserve: false },
}

const classes: Readonly<Record<string, ReservationClass>> = {
  'TEST UNIT READY': 'reserve',
  'REQUEST SENSE': 'never',
  INQUIRY: 'never',
  'REPORT LUNS': 'never',
  'READ CAPACITY (10)': 'never',
  'READ CAPACITY (16)': 'never',
  'LOG SENSE': 'never',
  'LOG SELECT': 'write',
  'MODE SENSE (6)': 'read',
  'MODE SENSE (10)': 'read',
  'MODE SELECT (6)': 'write',
  'MODE SELECT (10)': 'write',
  'READ (6)': 'read',
  'READ (10)': 'read',
  'READ (12)': 'read',
  'READ (16)': 'read',
  'VERIFY (10)': 'read',
  'VERIFY (12)': 'read',
  'VERIFY (16)': 'read',
  'PRE-FETCH (10)': 'read',
  'PRE-FETCH (16)': 'read',
  'GET LBA STATUS': 'read',
  'READ DEFECT DATA (10)': 'read',
  'READ DEFECT DATA (12)': 'read',
  'REPORT SUPPORTED OPERATION CODES': 'read',
  'REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS': 'read',
  'REPORT TARGET PORT GROUPS': 'never',
  'POPULATE TOKEN': 'read',
  'SET TARGET PORT GROUPS': 'write',
  'WRITE (6)': 'write',
  'WRITE (10)': 'write',
  'WRITE (12)': 'write',
  'WRITE (16)': 'write',
  'WRITE AND VERIFY (10)': 'write',
  'WRITE AND VERIFY (12)': 'write',
  'WRITE AND VERIFY (16)': 'write',
  'WRITE ATOMIC (16)': 'write',
  'WRITE SAME (10)': 'write',
  'WRITE SAME (16)': 'write',
  'COMPARE AND WRITE': 'write',
  'ORWRITE (16)': 'write',
  UNMAP: 'write',
  'SYNCHRONIZE CACHE (10)': 'write',
  'SYNCHRONIZE CACHE (16)': 'write',
  'RESERVE (6)': 'own',
  'RESERVE (10)': 'own',
  'RELEASE (6)': 'own',
  'RELEASE (10)': 'own',
}

/** Names that stand for several rows. */
const families: readonly (readonly [RegExp, ReservationClass])[] = [
  [/^PERSISTENT RESERVE (IN|OUT)/, 'persistent'],
  [/^SANITIZE/, 'write'],
  [/^(EXTENDED COPY|WRITE USING TOKEN)/, 'write'],
  [/^RECEIVE /, 'read'],
  [/^COPY OPERATION ABORT/, 'write'],
]

t.test('every command has the class that its standard gives it', async (t) => {
  for (const row of commandTable) {
    const cdb = Buffer.from(row.usageData)
    const found = row.reservation(cdb)
    if (row.name === 'START STOP UNIT' || row.name.startsWith('PREVENT')) continue
    const expected = classes[row.name] ?? families.find(([name]) => name.test(row.name))?.[1]
    t.equal(found, expected, row.name)
  }
  const startStop = commandTable.find(({ operationCode }) => operationCode === 0x1b)!
  t.equal(startStop.reservation(Buffer.from('1b0000000100', 'hex')), 'never', 'START')
  t.equal(startStop.reservation(Buffer.from('1b0000000000', 'hex')), 'write', 'stop')
  t.equal(startStop.reservation(Buffer.from('1b0000002100', 'hex')), 'write', 'power condition')
  const prevent = commandTable.find(({ operationCode }) => operationCode === 0x1e)!
  t.equal(prevent.reservation(Buffer.from('1e0000000000', 'hex')), 'never', 'ALLOW')
  t.equal(prevent.reservation(Buffer.from('1e0000000100', 'hex')), 'write', 'PREVENT')
})

t.test('each class against each reservation, for holder, registrant and stranger', async (t) => {
  const registrations = ['holder', 'registrant'].map((initiatorPort, i) => {
    return { initiatorPort, key: `000000000000000${i + 1}` }
  })
  for (const [kind, expected] of Object.entries(expectations)) {
    const of = kind as ReservationClass
    for (const type of Object.values(ReservationType)) {
      const holder = type >= 7 ? undefined : 'holder'
      const table = { ...noReservations, registrations, persistent: { type, holder } }
      const name = `${kind} against type ${type}`
      const forOthers = [3, 6, 8].includes(type) ? expected.ea : expected.we
      t.equal(conflicts(table, 'holder', of), false, `${name}: holder`)
      t.equal(conflicts(table, 'registrant', of), type < 5 && forOthers, `${name}: registrant`)
      t.equal(conflicts(table, 'stranger', of), forOthers, `${name}: stranger`)
    }
    const reserved = { ...noReservations, registrations, reserved: 'holder' }
    t.equal(conflicts(reserved, 'stranger', of), expected.reserve, `${kind} against RESERVE`)
    t.equal(conflicts(reserved, 'holder', of), of === 'persistent', `${kind} with own RESERVE`)
    t.equal(conflicts(noReservations, 'stranger', of), false, `${kind} without any`)
  }
})

t.test('SPDK #3409: all registrants hold it, and nobody else reads or writes', async (t) => {
  for (const type of [Type.WEAR, Type.EAAR]) {
    const rig = new Rig()
    t.equal(await rig.register(a, 1), 'GOOD')
    t.equal(await rig.register(b, 2), 'GOOD')
    t.equal(await rig.reserve(a, type, 1), 'GOOD')
    t.equal(await rig.reserve(b, type, 2), 'GOOD', 'a registrant holds it already')
    t.equal(await rig.send(b, write, block), 'GOOD')
    t.equal(await rig.send(b, read), 'GOOD')
    t.equal(await rig.send(c, write, block), conflict)
    t.equal(await rig.send(c, read), type === Type.EAAR ? conflict : 'GOOD')
    t.strictSame(parseReservation(await rig.in(1)), { key: 0, type })
    t.equal(await rig.register(a, 0, 1), 'GOOD', 'the one that reserved it leaves')
    t.equal(await rig.send(c, write, block), conflict, 'it goes on')
    t.equal(await rig.register(b, 0, 2), 'GOOD', 'the last one leaves')
    t.equal(await rig.send(c, write, block), 'GOOD')
  }
})

t.test('a reservation that comes while data are under way holds the write up', async (t) => {
  const rig = new Rig()
  const task = rig.scsi.task(write, 0, b)
  t.equal(rig.scsi.server.arrive(task), undefined)
  t.equal(await rig.register(a, 1), 'GOOD')
  t.equal(await rig.reserve(a, Type.WE, 1), 'GOOD')
  t.equal(describe(await rig.scsi.server.execute(task, block)), conflict)
  t.notOk(rig.scsi.unit.calls.some((call) => call.startsWith('write')))
})

t.test('REGISTER and REGISTER AND IGNORE EXISTING KEY', async (t) => {
  const rig = new Rig()
  t.equal(await rig.register(a, 0), 'GOOD', 'nothing is registered')
  t.strictSame(parseKeys(await rig.in(0)), { generation: 0, keys: [] })
  t.equal(await rig.register(a, 1, 9), conflict, 'a key where there is none')
  t.equal(await rig.register(a, 1), 'GOOD')
  t.equal(await rig.register(a, 2), conflict, 'no key where there is one')
  t.equal(await rig.register(a, 2, 1), 'GOOD')
  const ignore = { action: Action.REGISTER_AND_IGNORE, key: 77, serviceActionKey: 3 }
  t.equal(await rig.out(a, ignore), 'GOOD')
  t.equal(await rig.out(b, ignore), 'GOOD')
  t.strictSame(parseKeys(await rig.in(0)), { generation: 4, keys: [3, 3] })
  t.equal(await rig.out(b, { ...ignore, serviceActionKey: 0 }), 'GOOD')
  t.strictSame(await rig.keys(), [3])
  t.equal(await rig.out(a, { ...ignore, flags: 0x08 }), invalidInList, 'SPEC_I_PT')
})

t.test('RESERVE and RELEASE', async (t) => {
  const rig = new Rig()
  t.equal(await rig.reserve(a, Type.WE, 0), conflict, 'not registered')
  await rig.register(a, 1)
  await rig.register(b, 2)
  t.equal(await rig.reserve(a, Type.WE, 2), conflict, 'not its key')
  t.equal(await rig.reserve(a, 2, 1), invalidInCdb, 'no such type')
  const scope = { action: Action.RESERVE, type: Type.WE, scope: 1, key: 1 }
  t.equal(await rig.out(a, scope), invalidInCdb)
  t.equal(await rig.reserve(a, Type.WERO, 1), 'GOOD')
  t.equal(await rig.reserve(a, Type.WERO, 1), 'GOOD', 'again')
  t.equal(await rig.reserve(a, Type.EARO, 1), conflict, 'another type')
  t.equal(await rig.reserve(b, Type.WERO, 2), conflict, 'another registrant')
  const releaseOf = (type: number, key: number) => ({ action: Action.RELEASE, type, key })
  t.equal(await rig.out(b, releaseOf(Type.WERO, 2)), 'GOOD', 'no holder: nothing happens')
  t.equal(await rig.out(a, releaseOf(Type.WE, 1)), '05/26/04')
  t.equal(await rig.out(a, releaseOf(Type.WERO, 9)), conflict)
  t.equal(await rig.out(c, releaseOf(Type.WERO, 0)), conflict)
  t.equal(parseKeys(await rig.in(0)).generation, 2, 'neither counts')
  t.equal(await rig.out(a, releaseOf(Type.WERO, 1)), 'GOOD')
  t.equal(parseReservation(await rig.in(1)), undefined)
  t.strictSame(await rig.attentions(b), ['06/2a/04'], 'those who shared it are told')
  t.strictSame([await rig.attentions(a), await rig.attentions(c)], [[], []])
  await rig.reserve(a, Type.EA, 1)
  t.equal(await rig.register(a, 0, 1), 'GOOD', 'a holder that unregisters releases')
  t.equal(parseReservation(await rig.in(1)), undefined)
  t.strictSame(await rig.attentions(b), [], 'nobody shared it')
})

t.test('CLEAR', async (t) => {
  const rig = new Rig()
  await rig.register(a, 1)
  await rig.register(b, 2)
  await rig.reserve(a, Type.EA, 1)
  t.equal(await rig.out(c, { action: Action.CLEAR }), conflict)
  t.equal(await rig.out(b, { action: Action.CLEAR, key: 2 }), 'GOOD')
  t.strictSame(parseKeys(await rig.in(0)), { generation: 3, keys: [] })
  t.strictSame(await rig.attentions(a), ['06/2a/03'])
  t.strictSame(await rig.attentions(b), [])
  t.equal(await rig.send(c, write, block), 'GOOD')
})

t.test('PREEMPT', async (t) => {
  const preempt = (type: number, key: number, serviceActionKey: number) => {
    return { action: Action.PREEMPT, type, key, serviceActionKey }
  }
  await t.test('of the holder', async (t) => {
    const rig = new Rig()
    await rig.register(a, 1)
    await rig.register(b, 2)
    await rig.register(c, 3)
    await rig.reserve(a, Type.WERO, 1)
    t.equal(await rig.out(b, preempt(Type.EARO, 2, 1)), 'GOOD')
    t.strictSame(parseKeys(await rig.in(0)), { generation: 4, keys: [2, 3] })
    t.strictSame(parseReservation(await rig.in(1)), { key: 2, type: Type.EARO })
    t.strictSame(await rig.attentions(a), ['06/2a/05'])
    t.strictSame(await rig.attentions(c), ['06/2a/04'], 'the type has changed')
    t.strictSame(await rig.attentions(b), [])
    t.equal(await rig.out(b, preempt(Type.WE, 2, 2)), 'GOOD', 'of itself: another type')
    t.strictSame(await rig.keys(), [2, 3])
    t.strictSame(parseReservation(await rig.in(1)), { key: 2, type: Type.WE })
  })
  await t.test('of registrations alone', async (t) => {
    const rig = new Rig()
    await rig.register(a, 1)
    await rig.register(b, 2)
    await rig.register(c, 2)
    t.equal(await rig.out(a, preempt(Type.WE, 1, 9)), conflict, 'nobody has that key')
    t.equal(await rig.out(a, preempt(Type.WE, 1, 0)), invalidInList)
    t.equal(await rig.out(a, preempt(Type.WE, 1, 2)), 'GOOD')
    t.strictSame(await rig.keys(), [1])
    t.equal(parseReservation(await rig.in(1)), undefined, 'none was held, none is made')
    t.strictSame([await rig.attentions(b), await rig.attentions(c)], [['06/2a/05'], ['06/2a/05']])
  })
  await t.test('of all registrants', async (t) => {
    const rig = new Rig()
    await rig.register(a, 1)
    await rig.register(b, 2)
    await rig.register(c, 3)
    await rig.reserve(a, Type.WEAR, 1)
    t.equal(await rig.out(b, preempt(Type.EA, 2, 3)), 'GOOD', 'only its registration')
    t.strictSame(parseReservation(await rig.in(1)), { key: 0, type: Type.WEAR })
    t.equal(await rig.out(b, preempt(Type.EA, 2, 0)), 'GOOD', 'the reservation')
    t.strictSame(parseReservation(await rig.in(1)), { key: 2, type: Type.EA })
    t.strictSame(await rig.keys(), [2])
  })
})

t.test('PREEMPT AND ABORT ends the tasks of the preempted before its answer', async (t) => {
  const rig = new Rig()
  await rig.register(a, 1)
  await rig.register(b, 2)
  await rig.register(c, 1)
  const spec = { action: Action.PREEMPT_AND_ABORT, type: Type.WE, key: 2, serviceActionKey: 1 }
  const list = outList(spec)
  const aborted: string[] = []
  const abortTasksOf = async (ports: readonly string[]): Promise<void> => {
    t.strictSame(await rig.keys(), [2], 'after the change')
    aborted.push(...ports)
  }
  const task = { ...rig.scsi.task(outCdb(spec, 24), 0, b), abortTasksOf }
  t.equal(rig.scsi.server.arrive(task), undefined)
  t.equal(describe(await rig.scsi.server.execute(task, [list])), 'GOOD')
  t.strictSame(aborted, [a.initiatorPort, c.initiatorPort])
})

t.test('REGISTER AND MOVE', async (t) => {
  const rig = new Rig()
  await rig.register(a, 1)
  const move = (
    key: number,
    serviceActionKey: number,
    change: (list: Buffer) => void = () => undefined,
  ) => {
    const id = encodeTransportId(b.initiatorPort)
    const list = outList({ action: Action.REGISTER_AND_MOVE, key, serviceActionKey, more: id })
    list.writeUInt16BE(1, 18)
    list.writeUInt32BE(id.length, 20)
    change(list)
    return rig.send(a, outCdb({ action: Action.REGISTER_AND_MOVE }, list.length), [list])
  }
  t.equal(await move(1, 2), invalidInCdb, 'nothing is held')
  await rig.reserve(a, Type.WE, 1)
  t.equal(await move(9, 2), conflict)
  t.equal(await move(1, 0), invalidInList)
  t.equal(await move(1, 2, (list) => list.writeUInt16BE(2, 18)), invalidInList, 'no such port')
  t.equal(await move(1, 2, (list) => list.writeUInt32BE(20, 20)), lengthError)
  t.equal(await move(1, 2, (list) => list.fill(0x45, 24, 25)), 'GOOD')
  t.strictSame(await rig.keys(), [1, 2])
  t.strictSame(parseReservation(await rig.in(1)), { key: 2, type: Type.WE })
  t.equal(await rig.send(a, write, block), conflict)
  t.equal(await rig.send(b, write, block), 'GOOD')
  t.equal(await move(1, 3), conflict, 'no holder any more')
  const rigTwo = new Rig()
  await rigTwo.register(a, 1)
  await rigTwo.reserve(a, Type.WEAR, 1)
  t.equal(rigTwo.table.persistent?.type, Type.WEAR)
})

t.test('SPEC_I_PT registers other initiator ports as well', async (t) => {
  const named = (ids: readonly Buffer[], length?: number): Buffer => {
    const head = Buffer.alloc(4)
    const all = Buffer.concat(ids)
    head.writeUInt32BE(length ?? all.length, 0)
    return Buffer.concat([head, all])
  }
  const deviceOf = (name: string): Buffer => {
    const id = encodeTransportId(name)
    id[0] = 0x05
    return id
  }
  const register = (rig: Rig, more: Buffer, announcedBytes?: number) => {
    const spec = { action: Action.REGISTER, serviceActionKey: 5, flags: 0x0c, more }
    return rig.out(a, announcedBytes === undefined ? spec : { ...spec, announcedBytes })
  }
  const elsewhere = 'iqn.2026-11.test:elsewhere,i,0x00023d000001'
  const rig = new Rig()
  const ids = [encodeTransportId(elsewhere), deviceOf(b.initiatorName)]
  t.equal(await register(rig, named(ids)), 'GOOD')
  const ports = rig.table.registrations.map(({ initiatorPort }) => initiatorPort)
  t.strictSame(ports, [a.initiatorPort, elsewhere, b.initiatorPort])
  t.strictSame(await rig.keys(), [5, 5, 5])
  t.equal(await register(rig, named(ids)), conflict, 'registered under a key')

  const other = new Rig()
  t.equal(await register(other, named([deviceOf('iqn.2026-11.test:unknown')])), invalidInList)
  t.equal(await register(other, named(ids, 4)), lengthError)
  t.equal(await register(other, Buffer.alloc(2)), lengthError)
  t.equal(await register(other, named([Buffer.alloc(24)])), invalidInList, 'no TransportID')
  t.equal(await register(other, named(ids), 4_000), lengthError, 'cut short')
  t.strictSame(await other.keys(), [], 'all or nothing')
  const many = Array.from({ length: 200 }, (_, i) => {
    return encodeTransportId(
      `iqn.2026-11.test:many-${i},i,0x80000000${i.toString(16).padStart(4, '0')}`,
    )
  })
  t.ok(named(many).length > 8_192)
  t.equal(await register(other, named(many)), 'GOOD', 'longer than 4 KiB')
  t.equal((await other.keys()).length, 201)
})

t.test('parameter lists of wrong lengths', async (t) => {
  const rig = new Rig()
  for (const bytes of [0, 8, 23]) {
    const cdb = outCdb({ action: Action.REGISTER }, bytes)
    t.equal(await rig.send(a, cdb, [Buffer.alloc(bytes)]), lengthError, `${bytes} bytes`)
  }
  const long = { action: Action.REGISTER, serviceActionKey: 1, more: Buffer.alloc(4) }
  t.equal(await rig.out(a, long), lengthError, 'more than 24')
  t.equal(await rig.out(a, { ...long, announcedBytes: 0xffff_ffff }), lengthError)
  t.equal(await rig.send(a, '5f 08 00 00 00 00 00 00 18 00'), invalidInCdb, 'no such action')
  t.equal(await rig.send(a, '5e 04 00 00 00 00 00 00 18 00'), invalidInCdb, 'no such action')
  t.strictSame(await rig.keys(), [])
})

t.test('there is a bound to registrations', async (t) => {
  const settings = new MemoryUnitSettings()
  const registrations = Array.from({ length: limits.registrations }, (_, i) => {
    return { initiatorPort: `iqn.2026-11.test:x,i,0x${i}`, key: '0000000000000001' }
  })
  const former = settings.state
  const full = { ...former, reservations: { ...former.reservations, registrations } }
  await settings.change(former, full)
  t.equal(await new Rig(settings).register(a, 1), '05/55/04')
})

t.test('PERSISTENT RESERVE IN: bytes', async (t) => {
  const rig = new Rig()
  t.equal((await rig.in(2)).toString('hex'), '00081db0ea010000', 'REPORT CAPABILITIES')
  await rig.register(a, 0x1234, 0, 0x01)
  t.equal((await rig.in(2)).toString('hex'), '00081db1ea010000', 'PTPL_A')
  await rig.register(b, 0x5678)
  t.equal((await rig.in(2)).toString('hex'), '00081db0ea010000', 'the newest REGISTER says it')
  await rig.reserve(a, Type.EA, 0x1234)
  t.equal(
    (await rig.in(1)).toString('hex'),
    '00000002 00000010 0000000000001234 00000000 00 03 0000'.replaceAll(' ', ''),
  )
  t.equal((await rig.in(0, 12)).toString('hex'), '000000020000001000000000', 'cut, length whole')
  const full = await rig.in(3)
  t.equal(full.readUInt32BE(4), full.length - 8)
  const first = full.subarray(8)
  t.equal(first.readBigUInt64BE(0), 0x1234n)
  t.strictSame([first[12], first[13], first.readUInt16BE(18)], [0x01, 0x03, 1])
  const idBytes = first.readUInt32BE(20)
  t.strictSame(decodeTransportId(first.subarray(24, 24 + idBytes))?.id, {
    initiatorPort: a.initiatorPort,
  })
  const second = first.subarray(24 + idBytes)
  t.strictSame([second[12], second[13]], [0, 0], 'no holder: no scope, no type')
})

t.test('TransportIDs of iSCSI', async (t) => {
  const port = 'iqn.2026-11.test:a,i,0x00023d000001'
  const id = encodeTransportId(port)
  t.equal(id[0], 0x45)
  t.equal(id.length % 4, 0)
  t.equal(id.readUInt16BE(2), id.length - 4)
  t.strictSame(decodeTransportId(Buffer.concat([id, id])), {
    id: { initiatorPort: port },
    bytes: id.length,
  })
  const upper = encodeTransportId('IQN.2026-11.test:A,i,0x23D000001')
  t.strictSame(decodeTransportId(upper)?.id, { initiatorPort: port }, 'one name, however written')
  const broken: readonly (readonly [string, (bytes: Buffer) => Buffer | undefined])[] = [
    ['another protocol', (bytes) => bytes.fill(0x46, 0, 1)],
    ['another format', (bytes) => bytes.fill(0x85, 0, 1)],
    ['no null', (bytes) => bytes.fill(0x61, 4)],
    ['text after the null', (bytes) => bytes.fill(0x61, bytes.length - 1)],
    ['longer than the list', (bytes) => bytes.subarray(0, bytes.length - 4)],
    ['a port without ISID', () => encodeTransportId('iqn.2026-11.test:a,i,0x')],
    ['no iSCSI name', () => encodeTransportId('a,i,0x00023d000001')],
    ['nothing', () => Buffer.alloc(0)],
  ]
  for (const [name, change] of broken) {
    const bytes = Buffer.from(id)
    t.equal(decodeTransportId(change(bytes) ?? bytes), undefined, name)
  }
})

t.test('RESERVE and RELEASE (6), (10)', async (t) => {
  const reserve10 = '56000000000000000000'
  const release10 = '57000000000000000000'
  const rig = new Rig()
  t.equal(await rig.send(a, reserve6), 'GOOD')
  t.equal(await rig.send(a, reserve10), 'GOOD', 'again')
  t.equal(await rig.send(b, reserve10), conflict)
  t.equal(await rig.send(b, release6), 'GOOD', 'not its own: nothing happens')
  t.equal(await rig.send(b, read), conflict)
  t.equal(await rig.send(b, '000000000000'), conflict)
  t.equal(await rig.send(b, '120000002400'), 'GOOD', 'INQUIRY')
  t.equal(await rig.send(a, write, block), 'GOOD')
  t.equal(await rig.send(a, inCdb(0)), conflict, 'even from its holder')
  t.equal(await rig.register(a, 1), conflict)
  t.equal(await rig.send(a, '160100000000'), invalidInCdb, 'extents are not offered')
  t.equal(await rig.send(a, release10), 'GOOD')
  t.equal(await rig.send(b, write, block), 'GOOD')
  t.equal(await rig.send(b, reserve6), 'GOOD')
  const otherPath = { ...b }
  rig.scsi.server.nexusGained(otherPath)
  rig.scsi.server.nexusLost(b)
  t.equal(await rig.send(a, write, block), conflict, 'its port has another session')
  rig.scsi.server.nexusLost(otherPath)
  t.equal(await rig.send(a, write, block), 'GOOD', 'it ended with its session')
})

t.test('RESERVE beside persistent reservations (CRH)', async (t) => {
  const rig = new Rig()
  await rig.register(a, 1)
  await rig.register(b, 2)
  t.equal(await rig.send(a, reserve6), conflict, 'registrations alone')
  await rig.reserve(a, Type.WE, 1)
  t.equal(await rig.send(a, reserve6), 'GOOD', 'the holder')
  t.equal(await rig.send(a, release6), 'GOOD')
  t.equal(rig.table.reserved, undefined)
  t.strictSame(parseReservation(await rig.in(1)), { key: 1, type: Type.WE }, 'untouched')
  t.equal(await rig.send(b, reserve6), conflict)
  t.equal(await rig.send(b, release6), conflict)
  await rig.out(a, { action: Action.RELEASE, type: Type.WE, key: 1 })
  await rig.reserve(a, Type.WERO, 1)
  t.equal(await rig.send(b, reserve6), 'GOOD', 'registrants only: a registrant')
  t.equal(await rig.send(c, reserve6), conflict)
})

t.test('what a front end has missed', async (t) => {
  const notice = (number: number) => {
    return { number, event: 'reservations-released', initiatorPorts: ['x'], abort: false } as const
  }
  const registrations = [{ initiatorPort: 'x', key: '0000000000000001' }]
  const former = { ...noReservations, registrations, notices: [notice(1)] }
  const next = { ...noReservations, notices: [notice(1), notice(2), notice(3)] }
  t.strictSame(newNotices(former, next), [notice(2), notice(3)])
  t.strictSame(newNotices(next, next), [])
  const later = { ...noReservations, notices: [notice(7)] }
  t.strictSame(newNotices(former, later), [
    { number: 2, event: 'registrations-preempted', initiatorPorts: ['x'], abort: false },
    notice(7),
  ])
})

t.test('a nexus that comes later is not told of what was before', async (t) => {
  const rig = new Rig()
  await rig.register(a, 1)
  await rig.register(b, 2)
  await rig.out(b, { action: Action.CLEAR, key: 2 })
  rig.scsi.server.nexusLost(a)
  rig.scsi.server.nexusGained(a)
  t.strictSame(await rig.attentions(a), [])
})

t.test('two changes at once: the second begins anew on the result of the first', async (t) => {
  const rig = new Rig(
    new MemoryUnitSettings({
      persist: () => new Promise((resolve) => setImmediate(resolve, true)),
    }),
  )
  const both = [rig.register(a, 1), rig.register(b, 2)]
  t.strictSame(await Promise.all(both), ['GOOD', 'GOOD'])
  t.strictSame((await rig.keys()).sort(), [1, 2])
  const failing = new Rig(new MemoryUnitSettings({ persist: async () => false }))
  t.equal(await failing.register(a, 1), '8', 'not durable: not made')
  t.strictSame(await failing.keys(), [])
})

t.test('SPDK #989: an initiator under a new ISID is another port, and can take over', async (t) => {
  const rig = new Rig()
  await rig.register(a, 1)
  await rig.reserve(a, Type.EA, 1)
  rig.scsi.server.nexusLost(a)
  const again = { ...a, initiatorPort: `${a.initiatorName},i,0x00023d000099` }
  rig.scsi.server.nexusGained(again)
  t.equal(await rig.send(again, write, block), conflict, 'its registration was of the former port')
  t.strictSame(await rig.keys(), [1], 'which nobody else can use, but everybody sees')
  t.equal(await rig.register(again, 1), 'GOOD')
  const preempt = { action: Action.PREEMPT, type: Type.EA, key: 1, serviceActionKey: 1 }
  t.equal(await rig.out(again, preempt), 'GOOD')
  t.strictSame(await rig.keys(), [1], 'the stranded registration is gone')
  t.equal(await rig.send(again, write, block), 'GOOD')
})
