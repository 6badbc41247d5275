/** CDBs and parameter lists of third-party copies, built apart from the layouts that they test. */

export interface SegmentFields {
  readonly source?: number
  readonly destination?: number
  readonly blocks?: number
  readonly from?: bigint
  readonly to?: bigint
  readonly destinationCount?: boolean
}

export interface ListFields {
  readonly listIdentifier?: number
  readonly usage?: number
  readonly inlineBytes?: number
}

export interface RangeFields {
  readonly lba: bigint
  readonly blocks: number
}

/** SPC-4 6.4.6.3. */
export function cscd(designator: Buffer, fields: { type?: number; blockBytes?: number } = {}) {
  const row = Buffer.alloc(32)
  row[0] = 0xe4
  row[4] = fields.type === 1 ? 2 : 1
  row[5] = fields.type ?? 3
  row[7] = designator.length
  designator.copy(row, 8)
  row.writeUIntBE(fields.blockBytes ?? 512, 29, 3)
  return row
}

/** SPC-4 6.4.7.5. */
export function segment(fields: SegmentFields = {}): Buffer {
  const row = Buffer.alloc(28)
  row[0] = 0x02
  row[1] = fields.destinationCount ? 0x02 : 0
  row[3] = 0x18
  row.writeUInt16BE(fields.source ?? 0, 4)
  row.writeUInt16BE(fields.destination ?? 0, 6)
  row.writeUInt16BE(fields.blocks ?? 1, 10)
  row.writeBigUInt64BE(fields.from ?? 0n, 12)
  row.writeBigUInt64BE(fields.to ?? 0n, 20)
  return row
}

/** SPC-4 6.4.3.1. */
export function copyList(
  cscds: readonly Buffer[],
  segments: readonly Buffer[],
  fields: ListFields = {},
): Buffer {
  const [names, rows] = [Buffer.concat(cscds), Buffer.concat(segments)]
  const head = Buffer.alloc(16)
  head[0] = fields.listIdentifier ?? 1
  head[1] = (fields.usage ?? 0) << 3
  head.writeUInt16BE(names.length, 2)
  head.writeUInt32BE(rows.length, 8)
  head.writeUInt32BE(fields.inlineBytes ?? 0, 12)
  return Buffer.concat([head, names, rows])
}

/** EXTENDED COPY and the token commands: their lists' lengths are at the same place. */
export function copyOut(serviceAction: number, listBytes: number, listIdentifier = 1): Buffer {
  const cdb = Buffer.alloc(16)
  cdb.set([0x83, serviceAction])
  if (serviceAction !== 0) cdb.writeUInt32BE(listIdentifier, 6)
  cdb.writeUInt32BE(listBytes, 10)
  return cdb
}

export function copyIn(serviceAction: number, listIdentifier = 1, allocationLength = 1024): Buffer {
  const cdb = Buffer.alloc(16)
  cdb.set([0x84, serviceAction])
  if (serviceAction === 0x07) cdb.writeUInt32BE(listIdentifier, 2)
  else cdb[2] = listIdentifier
  cdb.writeUInt32BE(allocationLength, 10)
  return cdb
}

/** SBC-3 5.7.2. */
export function populateList(
  ranges: readonly RangeFields[],
  fields: { seconds?: number; rodType?: number } = {},
): Buffer {
  const head = Buffer.alloc(16)
  head.writeUInt32BE(fields.seconds ?? 0, 4)
  if (fields.rodType !== undefined) {
    head[2] = 0x02
    head.writeUInt32BE(fields.rodType, 8)
  }
  return withRanges(head, ranges)
}

/** SBC-3 5.46.2. */
export function writeList(
  token: Buffer,
  ranges: readonly RangeFields[],
  fields: { offset?: bigint; deleteToken?: boolean } = {},
): Buffer {
  const head = Buffer.alloc(536)
  head[2] = fields.deleteToken ? 0x02 : 0
  head.writeBigUInt64BE(fields.offset ?? 0n, 8)
  token.copy(head, 16)
  return withRanges(head, ranges)
}

function withRanges(head: Buffer, ranges: readonly RangeFields[]): Buffer {
  const rows = ranges.map(({ lba, blocks }) => {
    const row = Buffer.alloc(16)
    row.writeBigUInt64BE(lba, 0)
    row.writeUInt32BE(blocks, 8)
    return row
  })
  const list = Buffer.concat([head, ...rows])
  list.writeUInt16BE(list.length - 2, 0)
  list.writeUInt16BE(16 * rows.length, head.length - 2)
  return list
}
