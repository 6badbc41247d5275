/**
 * Copy source and copy destination (CSCD) descriptors, of which one kind is known: the one that
 * names a unit by a designator of VPD page 83h. SPC-4 6.4.6. Who is named is find-device.ts's matter.
 */
import {
  bit,
  bits,
  bytes,
  layout,
  reserved,
  reservedBits,
  u8,
  u16,
  u24,
} from '../../wire/layout.ts'
import type { UnitFacts } from '../logical-unit.ts'

/** DESCRIPTOR TYPE CODE: identification descriptor. */
export const identificationDescriptor = 0xe4
export const cscdDescriptorBytes = 32
/** CSCD DESCRIPTOR ID: the unit that got the command. SPC-4 6.4.5.1. */
export const thisUnit = 0xffff

const descriptor = layout({
  name: 'Identification descriptor CSCD descriptor',
  cite: 'SPC-4 6.4.6.3',
  sizeBytes: cscdDescriptorBytes,
  fields: {
    typeCode: u8(0),
    unitIdentifierType: bits(1, 7, 6, 'LU ID TYPE, ignored'),
    nul: bit(1, 5, 'NUL, obsolete'),
    peripheralDeviceType: bits(1, 4, 0),
    relativeInitiatorPort: u16(2, 'ignored: there is one way to each unit'),
    codeSet: bits(4, 3, 0),
    association: bits(5, 5, 4),
    designatorType: bits(5, 3, 0),
    designatorLength: u8(7),
    designator: bytes(8, 20),
    pad: bit(28, 2, 'PAD'),
    diskBlockBytes: u24(29),
  },
  reserved: [
    reservedBits(4, 7, 4),
    reservedBits(5, 7, 6),
    reserved(6),
    reservedBits(28, 7, 3),
    reservedBits(28, 1, 0),
  ],
})

export type CscdDescriptor = ReturnType<typeof descriptor.decode>

export function decodeCscd(list: Buffer, offset: number): CscdDescriptor {
  return descriptor.decode(list, offset)
}

/** Names a unit by its NAA identifier; ROD tokens carry that of their creator. */
export function cscdOf(facts: UnitFacts): Buffer {
  return descriptor.build({
    typeCode: identificationDescriptor,
    unitIdentifierType: 0,
    nul: false,
    peripheralDeviceType: 0,
    relativeInitiatorPort: 0,
    codeSet: 1,
    association: 0,
    designatorType: 3,
    designatorLength: facts.naa.length,
    designator: Buffer.concat([facts.naa, Buffer.alloc(20 - facts.naa.length)]),
    pad: false,
    diskBlockBytes: facts.blockBytes,
  })
}
