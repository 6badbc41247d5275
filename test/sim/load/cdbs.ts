/** Command descriptor blocks that the simulated initiators send. */

export function read16(lba: number, blocks: number): Buffer {
  return range16(0x88, lba, blocks)
}

export function write16(lba: number, blocks: number, forced: boolean): Buffer {
  const cdb = range16(0x8a, lba, blocks)
  if (forced) cdb[1] = 0x08
  return cdb
}

export function writeSame16(lba: number, blocks: number, unmap: boolean): Buffer {
  const cdb = range16(0x93, lba, blocks)
  if (unmap) cdb[1] = 0x08
  return cdb
}

/** SBC-3 5.2: one block, compared and written. */
export function compareAndWrite(lba: number): Buffer {
  const cdb = Buffer.alloc(16)
  cdb[0] = 0x89
  cdb.writeBigUInt64BE(BigInt(lba), 2)
  cdb[13] = 1
  return cdb
}

export function synchronizeCache(): Buffer {
  return Buffer.from([0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0])
}

export function unmap(): Buffer {
  return Buffer.from([0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0])
}

/** SBC-3 5.28.2: a parameter list of one descriptor. */
export function unmapList(lba: number, blocks: number): Buffer {
  const list = Buffer.alloc(24)
  list.writeUInt16BE(22, 0)
  list.writeUInt16BE(16, 2)
  list.writeBigUInt64BE(BigInt(lba), 8)
  list.writeUInt32BE(blocks, 16)
  return list
}

export function testUnitReady(): Buffer {
  return Buffer.alloc(6)
}

/** SPC-4 6.46: the group is to become the active one. */
export function setTargetPortGroups(): Buffer {
  return Buffer.from([0xa4, 0x0a, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0])
}

export function targetPortGroupsList(group: number): Buffer {
  const list = Buffer.alloc(8)
  list.writeUInt16BE(group, 6)
  return list
}

function range16(operationCode: number, lba: number, blocks: number): Buffer {
  const cdb = Buffer.alloc(16)
  cdb[0] = operationCode
  cdb.writeBigUInt64BE(BigInt(lba), 2)
  cdb.writeUInt32BE(blocks, 10)
  return cdb
}
