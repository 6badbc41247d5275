/** PERSISTENT RESERVE and RESERVE as bytes, for tests at any level. SPC-4 6.15, 6.16. */

export const Action = {
  REGISTER: 0,
  RESERVE: 1,
  RELEASE: 2,
  CLEAR: 3,
  PREEMPT: 4,
  PREEMPT_AND_ABORT: 5,
  REGISTER_AND_IGNORE: 6,
  REGISTER_AND_MOVE: 7,
} as const

export const Type = { WE: 1, EA: 3, WERO: 5, EARO: 6, WEAR: 7, EAAR: 8 } as const

export const reserve6 = Buffer.from('160000000000', 'hex')
export const release6 = Buffer.from('170000000000', 'hex')

export interface OutSpec {
  readonly action: number
  readonly type?: number
  readonly scope?: number
  readonly key?: number
  readonly serviceActionKey?: number
  /** Byte 20: SPEC_I_PT 08h, ALL_TG_PT 04h, APTPL 01h. */
  readonly flags?: number
  /** After the 24 bytes. */
  readonly more?: Buffer
  /** PARAMETER LIST LENGTH, where it is not that of the list. */
  readonly announcedBytes?: number
}

/** The parameter list of all actions but REGISTER AND MOVE. SPC-4 6.16.3. */
export function outList({ key = 0, serviceActionKey = 0, flags = 0, more }: OutSpec): Buffer {
  const list = Buffer.alloc(24)
  list.writeBigUInt64BE(BigInt(key), 0)
  list.writeBigUInt64BE(BigInt(serviceActionKey), 8)
  list[20] = flags
  return more === undefined ? list : Buffer.concat([list, more])
}

export function outCdb({ action, type = 0, scope = 0 }: OutSpec, listBytes: number): Buffer {
  const cdb = Buffer.alloc(10)
  cdb[0] = 0x5f
  cdb[1] = action
  cdb[2] = (scope << 4) | type
  cdb.writeUInt32BE(listBytes, 5)
  return cdb
}

export function inCdb(action: number, allocationLength = 8192): Buffer {
  const cdb = Buffer.alloc(10)
  cdb[0] = 0x5e
  cdb[1] = action
  cdb.writeUInt16BE(allocationLength, 7)
  return cdb
}

/** READ KEYS: PRGENERATION and the keys. */
export function parseKeys(data: Buffer): { generation: number; keys: number[] } {
  const bytes = data.readUInt32BE(4)
  const keys = Array.from({ length: bytes / 8 }, (_, i) => Number(data.readBigUInt64BE(8 + 8 * i)))
  return { generation: data.readUInt32BE(0), keys }
}

/** READ RESERVATION: key and type, or undefined. */
export function parseReservation(data: Buffer): { key: number; type: number } | undefined {
  if (data.readUInt32BE(4) === 0) return undefined
  return { key: Number(data.readBigUInt64BE(8)), type: data[21]! }
}
