/**
 * READ CAPACITY (10) and (16). SBC-3 5.15, 5.16. PMI is obsolete: there are no delays between
 * blocks here, so the answer is the same with it; an LBA without it was always an error.
 */
import { assert } from '../base/assert.ts'
import { bits, layout, reserved, reservedBits, u16, u32 } from '../wire/layout.ts'
import { readCapacity10, readCapacity16 } from './cdb-block.ts'
import { lba64 } from './cdb-layout.ts'
import { allocated, type Command, command, invalidCdbField } from './command.ts'
import type { UnitFacts } from './logical-unit.ts'

const parameterData10 = layout({
  name: 'READ CAPACITY (10) parameter data',
  cite: 'SBC-3 5.15.2',
  sizeBytes: 8,
  fields: { lastLba: u32(0, 'FFFFFFFFh: ask with READ CAPACITY (16)'), blockBytes: u32(4) },
})

const parameterData16 = layout({
  name: 'READ CAPACITY (16) parameter data',
  cite: 'SBC-3 5.16.2',
  sizeBytes: 32,
  fields: {
    lastLbaHigh: u32(0),
    lastLbaLow: u32(4),
    blockBytes: u32(8),
    physicalBlockExponent: bits(13, 3, 0, 'LOGICAL BLOCKS PER PHYSICAL BLOCK EXPONENT'),
    provisioned: u16(14, 'LBPME, LBPRZ, LOWEST ALIGNED LOGICAL BLOCK ADDRESS'),
  },
  reserved: [reserved(12), reservedBits(13, 7, 4), reserved(16, 16)],
})

const lbpme = 0x8000
const lbprz = 0x4000

function capacity10(facts: UnitFacts): Buffer {
  const { blocks, blockBytes } = facts
  return parameterData10.build({ lastLba: Math.min(blocks - 1, 0xffff_ffff), blockBytes })
}

function capacity16(facts: UnitFacts): Buffer {
  const { blocks, blockBytes, physicalBlockBytes, thin } = facts
  assert(blocks > 0, 'a logical unit has at least one block')
  const lastLba = blocks - 1
  return parameterData16.build({
    lastLbaHigh: Math.floor(lastLba / 0x1_0000_0000),
    lastLbaLow: lastLba % 0x1_0000_0000,
    blockBytes,
    physicalBlockExponent: Math.log2(physicalBlockBytes / blockBytes),
    provisioned: thin ? lbpme | lbprz : 0,
  })
}

export const readCapacityCommands: readonly Command[] = [
  command(readCapacity10, {
    medium: 'read',
    reservation: 'never',
    transfer: () => ({ direction: 'in', bytes: parameterData10.sizeBytes }),
    check: (_call, { lba, partialMediumIndicator }) =>
      lba !== 0 && !partialMediumIndicator ? invalidCdbField(2) : undefined,
    run: (call) => allocated(capacity10(call.facts), parameterData10.sizeBytes),
  }),
  command(readCapacity16, {
    medium: 'read',
    reservation: 'never',
    transfer: ({ allocationLength }) => ({ direction: 'in', bytes: allocationLength }),
    check: (_call, fields) =>
      lba64(fields) !== 0 && !fields.partialMediumIndicator ? invalidCdbField(2) : undefined,
    run: (call, { allocationLength }) => allocated(capacity16(call.facts), allocationLength),
  }),
]
