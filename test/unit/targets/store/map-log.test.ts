/** The mapping log: its bytes, what of a damaged one counts, and the order of its records. */
import t from 'tap'
import { StorageError } from '../../../../src/base/errors.ts'
import { logHeaderBytes, MapLog } from '../../../../targets/store/map-log.ts'
import { readLogs } from '../../../../targets/store/map-log-reader.ts'
import {
  decodeRecord,
  encodeRecord,
  type MapRecord,
  type Sequenced,
} from '../../../../targets/store/map-record.ts'
import { GatedBlockFiles } from '../../../support/gated-block-files.ts'
import { MemoryBlockFiles } from '../../../support/memory-block-files.ts'

const map = (page: number): MapRecord => ({ kind: 'map', replica: 1, page, physical: page + 100 })

t.test('records are these bytes', (t) => {
  // Layout: header of map-record.ts. The checksums were computed bit by bit, apart from the product.
  const rows: [MapRecord, number, string][] = [
    [
      { kind: 'map', replica: 7, page: 0x01020304, physical: 0xfffffffd },
      0x1_0000_0002,
      '00000024CCCCCCCC000000010000000201000000000000000000000701020304fffffffd',
    ],
    [
      { kind: 'map', replica: 1, page: 2, physical: 3, replaces: true, joined: true },
      5,
      '00000024CCCCCCCC00000000000000050103000000000000000000010000000200000003',
    ],
    [
      { kind: 'free', replica: 1, page: 2, count: 3 },
      5,
      '00000024CCCCCCCC00000000000000050200000000000000000000010000000200000003',
    ],
    [
      { kind: 'flush', covers: 0x2_0000_0001 },
      6,
      '00000020CCCCCCCC0000000000000006040000000000000000000002'.concat('00000001'),
    ],
  ]
  for (const [record, sequence, pattern] of rows) {
    const body = Buffer.from(pattern.replace('CCCCCCCC', '00000000'), 'hex').subarray(8)
    const hex = pattern.replace('CCCCCCCC', bitwiseCrc32c(body).toString(16).padStart(8, '0'))
    const bytes = encodeRecord(record, sequence)
    t.equal(bytes.toString('hex'), hex)
    t.same(decodeRecord(bytes, 0), { record, sequence, lengthBytes: bytes.length })
    for (let at = 0; at < bytes.length; at++) {
      t.equal(decodeRecord(bytes.subarray(0, at), 0), undefined, `cut at ${at}`)
      const flipped = Buffer.from(bytes)
      flipped[at]! ^= 0x10
      t.equal(decodeRecord(flipped, 0), undefined, `byte ${at} is wrong`)
    }
  }
  t.end()
})

async function written(files: MemoryBlockFiles): Promise<MapLog> {
  const log = await MapLog.create({ files, number: 3, firstSequence: 11, apply: () => undefined })
  await log.append([map(1), map(2)])
  await log.append([{ kind: 'flush', covers: 12 }])
  t.equal(await log.rotate(), 13)
  await log.append([map(3)])
  return log
}

const sequences = (entries: readonly Sequenced<MapRecord>[]): number[] =>
  entries.map(({ sequence }) => sequence)

t.test('what of a log counts', async (t) => {
  const from = { number: 3, sequence: 10 }
  const whole = new MemoryBlockFiles()
  await written(whole)
  const content = await readLogs(whole, from)
  t.same(sequences(content.entries), [11, 12, 13, 14])
  t.equal(content.coveredSequence, 12)
  t.same(content.numbers, [3, 4])
  t.same(await readLogs(whole, { number: 5, sequence: 14 }), {
    entries: [],
    coveredSequence: 14,
    numbers: [],
    endsBytes: [],
  })

  const torn = new MemoryBlockFiles()
  await written(torn)
  const tail = await torn.open('map.log.3')
  await tail.write([Buffer.from([0xff])], logHeaderBytes + 36 + 20)
  const before = await readLogs(torn, from)
  t.same(sequences(before.entries), [11], 'nothing after a torn record, nor of the next file')
  t.equal(before.coveredSequence, 10)

  const headless = new MemoryBlockFiles()
  await written(headless)
  const other = await headless.open('map.log.3')
  await other.write([Buffer.from('x')], 0)
  t.same(sequences((await readLogs(headless, from)).entries), [])
})

t.test('joined records count together or not at all', async (t) => {
  const joined = (page: number): MapRecord => ({ ...map(page), joined: true }) as MapRecord
  const from = { number: 1, sequence: 0 }
  for (const [torn, counted] of [
    [undefined, [1, 2, 3, 4]],
    [3, [1]],
    [2, [1]],
    [1, [1]],
    [0, []],
  ] as const) {
    const files = new MemoryBlockFiles()
    const log = await MapLog.create({ files, number: 1, firstSequence: 1, apply: () => undefined })
    await log.append([map(1)])
    await log.append([joined(2), joined(3), map(4)])
    await log.close()
    const file = await files.open('map.log.1')
    if (torn !== undefined) await file.write([Buffer.from('x')], logHeaderBytes + torn * 36 + 30)
    const { entries } = await readLogs(files, from)
    t.same(sequences(entries), counted, `record ${torn} is torn`)
  }
})

t.test(
  'one write at a time, applied in order, in the turn in which they are in the file',
  async (t) => {
    const backing = new MemoryBlockFiles()
    const files = new GatedBlockFiles(backing)
    const applied: number[] = []
    const log = await MapLog.create({
      files,
      number: 1,
      firstSequence: 1,
      apply: ({ sequence }) => applied.push(sequence),
    })
    const release = files.hold('map.log.1', 'write')
    const appends = [log.append([map(1)]), log.append([map(2)])]
    const rotated = log.rotate()
    appends.push(log.append([map(3)]), log.append([map(4), map(5)]))
    await new Promise((resolve) => setImmediate(resolve))
    t.same(applied, [])
    release()
    await Promise.all(appends)
    t.same(applied, [1, 2, 3, 4, 5])
    t.ok((await rotated) >= 2, 'the boundary is the last record of the old file')
    t.equal(log.lastSequence, 5)
    await log.sync()
    t.ok(files.begun.includes('map.log.1 flush'), 'the old file is synced too')
    t.ok(files.begun.includes('map.log.2 flush'))
    const { entries } = await readLogs(backing, { number: 1, sequence: 0 })
    t.same(sequences(entries), [1, 2, 3, 4, 5])
    await log.discardRetired()
    t.same(backing.names(), ['map.log.2'])
    await log.close()
  },
)

t.test('a failure is final', async (t) => {
  const backing = new MemoryBlockFiles()
  const log = await MapLog.create({
    files: {
      open: async (name, options) => {
        const file = await backing.open(name, options)
        let writes = 0
        return Object.assign(Object.create(file), {
          write: async (buffers: readonly Uint8Array[], at: number) => {
            if (++writes === 2) throw new StorageError('io-error', 'the test lets it fail')
            return file.write(buffers, at)
          },
        })
      },
      exists: (name) => backing.exists(name),
      remove: (name) => backing.remove(name),
    },
    number: 1,
    firstSequence: 1,
    apply: () => t.fail('nothing is applied'),
  })
  const both = await Promise.allSettled([log.append([map(1)]), log.append([map(2)])])
  t.same(
    both.map(({ status }) => status),
    ['rejected', 'rejected'],
  )
  await t.rejects(log.append([map(3)]), { code: 'io-error' })
})

/** CRC32C from its definition (RFC 3385 2), one bit at a time. */
function bitwiseCrc32c(data: Uint8Array): number {
  let crc = 0xffff_ffff
  for (const byte of data) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0)
  }
  return ~crc >>> 0
}
