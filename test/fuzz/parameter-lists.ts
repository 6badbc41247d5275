/** Parameter lists that commands know, right in their structure and random in their contents. */
import type { Random } from '../../src/ports/random.ts'
import { copyList, cscd, populateList, segment, writeList } from '../support/copy-lists.ts'

interface ListKind {
  fits(cdb: Buffer): boolean
  make(random: Random): Buffer
}

const naa = Buffer.from('6a11ce00000000000000000000000001', 'hex')
const action = (cdb: Buffer): number => cdb[1]! & 0x1f
const small = (random: Random): bigint =>
  random.below(6) === 0 ? random.bytes(8).readBigUInt64BE() : BigInt(random.below(9000))
const times = <T>(random: Random, most: number, make: () => T): T[] =>
  Array.from({ length: random.below(most + 1) }, make)

function unmapList(random: Random): Buffer {
  const rows = times(random, 5, () => {
    const row = Buffer.alloc(16)
    row.writeBigUInt64BE(small(random), 0)
    row.writeUInt32BE(random.below(random.below(4) === 0 ? 2 ** 32 : 100), 8)
    return row
  })
  const list = Buffer.concat([Buffer.alloc(8), ...rows])
  list.writeUInt16BE(list.length - 2, 0)
  list.writeUInt16BE(list.length - 8, 2)
  return list
}

/** SPC-4 6.16.3, with TransportIDs of iSCSI names where SPEC_I_PT is set. */
function reservationList(random: Random): Buffer {
  const list = Buffer.alloc(24)
  list[7] = random.below(3)
  list[15] = random.below(3)
  list[20] = random.below(16)
  if ((list[20] & 0x08) === 0) return list
  const name = Buffer.alloc(4 * (1 + random.below(60)), 'iqn.2026-11.example:fuzzer,i,0x1')
  const id = Buffer.concat([
    Buffer.from([random.below(2) === 0 ? 0x05 : 0x45, 0, 0, name.length]),
    name,
  ])
  const length = Buffer.alloc(4)
  length.writeUInt32BE(id.length)
  return Buffer.concat([list, length, id])
}

/** REGISTER AND MOVE. SPC-4 6.16.4. */
function moveList(random: Random): Buffer {
  const name = Buffer.alloc(4 * random.below(1200), 'iqn.2026-11.example:other,i,0x400001370000')
  const list = Buffer.alloc(24 + 4 + name.length)
  list[7] = random.below(3)
  list[15] = random.below(3)
  list[17] = random.below(4)
  list[19] = 1
  list.writeUInt32BE(4 + name.length, 20)
  list[24] = random.below(2) === 0 ? 0x05 : 0x45
  list.writeUInt16BE(name.length, 26)
  name.copy(list, 28)
  return list
}

function modeList(random: Random, headerBytes: number): Buffer {
  const page = Buffer.alloc(12)
  page[0] = [0x0a, 0x08, 0x1c, 0x01, 0x3f][random.below(5)]!
  page[1] = 10
  page[2] = random.below(2) * 4
  page[4] = random.below(2) * 8
  return Buffer.concat([Buffer.alloc(headerBytes), page])
}

function extendedCopyList(random: Random): Buffer {
  const names = times(random, 9, () => cscd(naa))
  const segments = times(random, 5, () =>
    segment({
      source: random.below(4) === 0 ? 0xffff : random.below(3),
      destination: random.below(4) === 0 ? 0xffff : random.below(3),
      blocks: random.below(300),
      from: small(random),
      to: small(random),
    }),
  )
  return copyList(names, segments, { listIdentifier: random.below(4), usage: random.below(4) })
}

const ranges = (random: Random) =>
  times(random, 4, () => ({ lba: small(random), blocks: random.below(3000) }))

/** A token of zeros, or one that nobody made. */
function someToken(random: Random): Buffer {
  const token = random.below(2) === 0 ? Buffer.alloc(512) : random.bytes(512)
  token.writeUInt32BE(random.below(2) === 0 ? 0xffff_0001 : 0x0080_0000, 0)
  token.writeUInt16BE(504, 6)
  return token
}

export const parameterLists: readonly ListKind[] = [
  { fits: (cdb) => cdb[0] === 0x42, make: unmapList },
  { fits: (cdb) => cdb[0] === 0x5f && action(cdb) === 7, make: moveList },
  { fits: (cdb) => cdb[0] === 0x5f, make: reservationList },
  { fits: (cdb) => cdb[0] === 0x15, make: (random) => modeList(random, 4) },
  { fits: (cdb) => cdb[0] === 0x55, make: (random) => modeList(random, 8) },
  { fits: (cdb) => cdb[0] === 0x83 && action(cdb) === 0x00, make: extendedCopyList },
  {
    fits: (cdb) => cdb[0] === 0x83 && action(cdb) === 0x10,
    make: (random) => populateList(ranges(random), { seconds: random.below(400) }),
  },
  {
    fits: (cdb) => cdb[0] === 0x83 && action(cdb) === 0x11,
    make: (random) => writeList(someToken(random), ranges(random), { offset: small(random) }),
  },
  {
    fits: (cdb) => cdb[0] === 0x48,
    make: (random) => Buffer.from([1 + random.below(2), 0, 0, 4, ...random.bytes(4)]),
  },
]
