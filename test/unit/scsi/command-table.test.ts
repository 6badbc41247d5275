/** The table as a whole: what is in it, what is not, and that it reports itself truly. */
import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import t from 'tap'
import type { Random } from '../../../src/ports/random.ts'
import { reservedBitInUse } from '../../../src/scsi/cdb-layout.ts'
import { commandTable, findCommand } from '../../../src/scsi/command-table.ts'
import type { UnitFacts } from '../../../src/scsi/logical-unit.ts'
import { MemoryUnitSettings } from '../../../src/scsi/memory-unit-settings.ts'
import { MemoryUnit } from '../../support/memory-unit.ts'
import { describe, ScsiRig } from '../../support/scsi-rig.ts'

const named: Readonly<Record<string, string>> = {
  '00': 'TEST UNIT READY',
  '03': 'REQUEST SENSE',
  '08': 'READ (6)',
  '0a': 'WRITE (6)',
  '12': 'INQUIRY',
  '15': 'MODE SELECT (6)',
  '16': 'RESERVE (6)',
  '17': 'RELEASE (6)',
  '1a': 'MODE SENSE (6)',
  '1b': 'START STOP UNIT',
  '1e': 'PREVENT ALLOW MEDIUM REMOVAL',
  '25': 'READ CAPACITY (10)',
  '28': 'READ (10)',
  '2a': 'WRITE (10)',
  '2e': 'WRITE AND VERIFY (10)',
  '2f': 'VERIFY (10)',
  '34': 'PRE-FETCH (10)',
  '35': 'SYNCHRONIZE CACHE (10)',
  '37': 'READ DEFECT DATA (10)',
  '41': 'WRITE SAME (10)',
  '42': 'UNMAP',
  '48/01': 'SANITIZE, OVERWRITE',
  '48/02': 'SANITIZE, BLOCK ERASE',
  '48/03': 'SANITIZE, CRYPTOGRAPHIC ERASE',
  '48/1f': 'SANITIZE, EXIT FAILURE MODE',
  '4c': 'LOG SELECT',
  '4d': 'LOG SENSE',
  '55': 'MODE SELECT (10)',
  '56': 'RESERVE (10)',
  '57': 'RELEASE (10)',
  '5a': 'MODE SENSE (10)',
  '5e/00': 'PERSISTENT RESERVE IN (READ KEYS)',
  '5e/01': 'PERSISTENT RESERVE IN (READ RESERVATION)',
  '5e/02': 'PERSISTENT RESERVE IN (REPORT CAPABILITIES)',
  '5e/03': 'PERSISTENT RESERVE IN (READ FULL STATUS)',
  '5f/00': 'PERSISTENT RESERVE OUT (REGISTER)',
  '5f/01': 'PERSISTENT RESERVE OUT (RESERVE)',
  '5f/02': 'PERSISTENT RESERVE OUT (RELEASE)',
  '5f/03': 'PERSISTENT RESERVE OUT (CLEAR)',
  '5f/04': 'PERSISTENT RESERVE OUT (PREEMPT)',
  '5f/05': 'PERSISTENT RESERVE OUT (PREEMPT AND ABORT)',
  '5f/06': 'PERSISTENT RESERVE OUT (REGISTER AND IGNORE EXISTING KEY)',
  '5f/07': 'PERSISTENT RESERVE OUT (REGISTER AND MOVE)',
  '83/00': 'EXTENDED COPY (LID1)',
  '83/10': 'POPULATE TOKEN',
  '83/11': 'WRITE USING TOKEN',
  '84/00': 'RECEIVE COPY STATUS (LID1)',
  '84/03': 'RECEIVE COPY OPERATING PARAMETERS',
  '84/04': 'RECEIVE COPY FAILURE DETAILS (LID1)',
  '84/07': 'RECEIVE ROD TOKEN INFORMATION',
  '88': 'READ (16)',
  '89': 'COMPARE AND WRITE',
  '8a': 'WRITE (16)',
  '8b': 'ORWRITE (16)',
  '8e': 'WRITE AND VERIFY (16)',
  '8f': 'VERIFY (16)',
  '90': 'PRE-FETCH (16)',
  '91': 'SYNCHRONIZE CACHE (16)',
  '93': 'WRITE SAME (16)',
  '9c': 'WRITE ATOMIC (16)',
  '9e/10': 'READ CAPACITY (16)',
  '9e/12': 'GET LBA STATUS',
  a0: 'REPORT LUNS',
  'a3/0a': 'REPORT TARGET PORT GROUPS',
  'a3/0c': 'REPORT SUPPORTED OPERATION CODES',
  'a3/0d': 'REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS',
  'a4/0a': 'SET TARGET PORT GROUPS',
  a8: 'READ (12)',
  aa: 'WRITE (12)',
  ae: 'WRITE AND VERIFY (12)',
  af: 'VERIFY (12)',
  b7: 'READ DEFECT DATA (12)',
}

const byte = (value: number) => value.toString(16).padStart(2, '0')

/** Where initiators can set something, and eject. */
function settable(facts: Partial<UnitFacts> = {}): MemoryUnit {
  return new MemoryUnit({ removable: true, ...facts }, new MemoryUnitSettings())
}

t.test('the table has the commands that it should have and no other', async (t) => {
  const rows = commandTable.map(({ operationCode, serviceAction, name }) => {
    const action = serviceAction === undefined ? '' : `/${byte(serviceAction)}`
    return [byte(operationCode) + action, name]
  })
  t.strictSame(Object.fromEntries(rows), named)
})

t.test('every operation code and service action that is not there is refused', async (t) => {
  for (const unit of [new MemoryUnit(), settable(), settable({ thin: false, removable: false })]) {
    const rig = new ScsiRig(unit)
    for (let operationCode = 0; operationCode < 0x100; operationCode++) {
      const others = commandTable.some(
        (row) =>
          row.operationCode === operationCode && row.serviceAction !== undefined && row.isOf(unit),
      )
      for (let serviceAction = 0; serviceAction < 0x20; serviceAction++) {
        const cdb = Buffer.alloc(16)
        cdb.set([operationCode, serviceAction])
        if (findCommand(cdb)?.isOf(unit)) continue
        const outcome = describe(rig.arrive(cdb))
        const wanted = others ? '05/24/00' : '05/20/00'
        if (outcome !== wanted) t.fail(`${cdb.toString('hex')} answered ${outcome}`)
        const ran = await rig.server.execute(rig.task(cdb), [])
        if (describe(ran) !== '05/20/00') t.fail(`${cdb.toString('hex')} ran: ${describe(ran)}`)
      }
    }
    t.strictSame(rig.unit.calls, [], 'the unit was not touched')
  }
})

/** Numbers from a seed, so that a failure can be repeated. */
function seeded(seed: number): Random {
  let state = seed >>> 0
  const below = (limit: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * limit)
  }
  return {
    below,
    bytes: (count) => Buffer.from(Array.from({ length: count }, () => below(256))),
    uuid: () => '00000000-0000-4000-8000-000000000000',
  }
}

t.test('layouts: what is encoded is decoded, and uses no reserved bit', async (t) => {
  for (const { cdb, name } of commandTable) {
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const fields = cdb.generate(seeded(seed))
        const block = cdb.build(fields)
        const valid = cdb.operationCode === block[0] && reservedBitInUse(cdb, block) === undefined
        return (
          valid && findCommand(block)?.cdb === cdb && isDeepStrictEqual(cdb.decode(block), fields)
        )
      }),
      { numRuns: 50 },
    )
    t.pass(name)
  }
})

t.test('each single reserved bit is refused, each other bit is not taken for one', async (t) => {
  for (const { cdb, name, isOf } of commandTable) {
    t.equal(cdb.usageData.length, cdb.sizeBytes)
    t.equal(cdb.usageData.at(-1), 0, `${name}: NACA and the rest of CONTROL are not supported`)
    const rig = new ScsiRig(settable())
    for (let bit = 8; bit < cdb.sizeBytes * 8; bit++) {
      const index = bit >> 3
      const mask = 0x80 >> (bit & 7)
      const ofAction = cdb.serviceAction !== undefined && index === 1 && mask < 0x20
      if (ofAction) continue
      const block = Buffer.alloc(16)
      block[0] = cdb.operationCode
      block[1] = cdb.serviceAction ?? 0
      block[index] = block[index]! | mask
      const used = (cdb.usageData[index]! & mask) !== 0
      t.equal(
        reservedBitInUse(cdb, block) !== undefined,
        !used,
        `${name} byte ${index} bit ${7 - (bit & 7)}`,
      )
      if (used || !isOf(rig.unit)) continue
      const result = rig.arrive(block)
      t.equal(describe(result), '05/24/00', `${name} byte ${index}`)
      if (result === 'drop' || result?.status !== 0x02) continue
      const byteAndBit = { inCdb: true, byte: index, bit: 7 - (bit & 7) }
      t.strictSame(result.sense.fieldPointer, byteAndBit, `${name}: and where it is`)
    }
  }
})

function rsoc(option: number, operationCode = 0, serviceAction = 0, timeouts = false): Buffer {
  const cdb = Buffer.alloc(12)
  cdb.set([0xa3, 0x0c, (timeouts ? 0x80 : 0) | option, operationCode])
  cdb.writeUInt16BE(serviceAction, 4)
  cdb.writeUInt32BE(0xffff, 6)
  return cdb
}

interface Reported {
  readonly operationCode: number
  readonly serviceAction: number
  readonly hasAction: boolean
  readonly cdbBytes: number
}

async function reported(rig: ScsiRig, timeouts: boolean): Promise<Reported[]> {
  const data = await rig.dataOf(rsoc(0, 0, 0, timeouts))
  const rowBytes = timeouts ? 20 : 8
  const rows: Reported[] = []
  for (let at = 4; at < 4 + data.readUInt32BE(0); at += rowBytes) {
    if (((data[at + 5]! & 2) !== 0) !== timeouts) throw new Error('CTDP is not as asked')
    rows.push({
      operationCode: data[at]!,
      serviceAction: data.readUInt16BE(at + 2),
      hasAction: (data[at + 5]! & 1) !== 0,
      cdbBytes: data.readUInt16BE(at + 6),
    })
  }
  return rows
}

t.test('REPORT SUPPORTED OPERATION CODES agrees with the table', async (t) => {
  for (const unit of [new MemoryUnit(), new MemoryUnit({ thin: false }), settable()]) {
    const rig = new ScsiRig(unit)
    const rows = await reported(rig, false)
    t.strictSame(await reported(rig, true), rows, 'timeouts change nothing else')
    const wanted = commandTable.filter((row) => row.isOf(rig.unit))
    t.equal(rows.length, wanted.length)
    for (const row of rows) {
      const { operationCode, serviceAction, hasAction } = row
      const one = await rig.dataOf(rsoc(hasAction ? 2 : 1, operationCode, serviceAction))
      t.equal(one[1], 0x03, 'supported')
      t.equal(one.readUInt16BE(2), row.cdbBytes)
      t.equal(one[4], operationCode)
      t.strictSame(await rig.dataOf(rsoc(3, operationCode, serviceAction)), one)
      const wrongForm = rsoc(hasAction ? 1 : 2, operationCode, serviceAction)
      t.equal(await rig.outcome(wrongForm), '05/24/00', 'the other form is an error')
    }
  }
})

t.test('REPORT SUPPORTED OPERATION CODES: what is not there, and no such option', async (t) => {
  const rig = new ScsiRig(new MemoryUnit({ thin: false }))
  t.equal((await rig.dataOf(rsoc(1, 0x42)))[1], 0x01, 'no UNMAP on a thick unit')
  t.equal((await rig.dataOf(rsoc(2, 0x9e, 0x13)))[1], 0x01)
  t.equal((await rig.dataOf(rsoc(1, 0x15)))[1], 0x01, 'no MODE SELECT where nothing can be set')
  t.equal((await rig.dataOf(rsoc(3, 0x28, 1)))[1], 0x01)
  t.equal(await rig.outcome(rsoc(4)), '05/24/00')
  t.equal(await rig.outcome('42 00 00000000 00 0018 00'), '05/20/00')
})
