/** The table as a whole: what is in it, what is not, and that it reports itself truly. */
import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import t from 'tap'
import type { Random } from '../../../src/ports/random.ts'
import { reservedBitInUse } from '../../../src/scsi/cdb-layout.ts'
import { commandTable, findCommand } from '../../../src/scsi/command-table.ts'
import { MemoryUnit } from '../../support/memory-unit.ts'
import { describe, ScsiRig } from '../../support/scsi-rig.ts'

const named: Readonly<Record<string, string>> = {
  '00': 'TEST UNIT READY',
  '03': 'REQUEST SENSE',
  '08': 'READ (6)',
  '0a': 'WRITE (6)',
  '12': 'INQUIRY',
  '1a': 'MODE SENSE (6)',
  '1b': 'START STOP UNIT',
  '25': 'READ CAPACITY (10)',
  '28': 'READ (10)',
  '2a': 'WRITE (10)',
  '2f': 'VERIFY (10)',
  '35': 'SYNCHRONIZE CACHE (10)',
  '41': 'WRITE SAME (10)',
  '42': 'UNMAP',
  '5a': 'MODE SENSE (10)',
  '88': 'READ (16)',
  '8a': 'WRITE (16)',
  '8f': 'VERIFY (16)',
  '91': 'SYNCHRONIZE CACHE (16)',
  '93': 'WRITE SAME (16)',
  '9e/10': 'READ CAPACITY (16)',
  a0: 'REPORT LUNS',
  'a3/0c': 'REPORT SUPPORTED OPERATION CODES',
  a8: 'READ (12)',
  aa: 'WRITE (12)',
}

const byte = (value: number) => value.toString(16).padStart(2, '0')

t.test('the table has the commands that it should have and no other', async (t) => {
  const rows = commandTable.map(({ operationCode, serviceAction, name }) => {
    const action = serviceAction === undefined ? '' : `/${byte(serviceAction)}`
    return [byte(operationCode) + action, name]
  })
  t.strictSame(Object.fromEntries(rows), named)
})

t.test('every operation code and service action that is not there is refused', async (t) => {
  const rig = new ScsiRig()
  for (let operationCode = 0; operationCode < 0x100; operationCode++) {
    for (let serviceAction = 0; serviceAction < 0x20; serviceAction++) {
      const code = byte(operationCode)
      if (named[code] ?? named[`${code}/${byte(serviceAction)}`]) continue
      const cdb = Buffer.alloc(16)
      cdb.set([operationCode, serviceAction])
      const outcome = describe(rig.arrive(cdb))
      if (outcome !== '05/20/00') t.fail(`${cdb.toString('hex')} answered ${outcome}`)
      const ran = await rig.server.execute(rig.task(cdb), [])
      if (describe(ran) !== '05/20/00') t.fail(`${cdb.toString('hex')} ran: ${describe(ran)}`)
      if (rig.server.transfer(cdb, 0).direction !== 'none')
        t.fail(`${cdb.toString('hex')} moves data`)
    }
  }
  t.strictSame(rig.unit.calls, [], 'the unit was not touched')
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
  for (const { cdb, name } of commandTable) {
    t.equal(cdb.usageData.length, cdb.sizeBytes)
    t.equal(cdb.usageData.at(-1), 0, `${name}: NACA and the rest of CONTROL are not supported`)
    const rig = new ScsiRig()
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
      if (!used) t.equal(describe(rig.arrive(block)), '05/24/00', `${name} byte ${index}`)
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
  for (const thin of [true, false]) {
    const rig = new ScsiRig(new MemoryUnit({ thin }))
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
  t.equal((await rig.dataOf(rsoc(2, 0x9e, 0x12)))[1], 0x01)
  t.equal((await rig.dataOf(rsoc(3, 0x28, 1)))[1], 0x01)
  t.equal(await rig.outcome(rsoc(4)), '05/24/00')
  t.equal(await rig.outcome('42 00 00000000 00 0018 00'), '05/20/00')
})
