/**
 * Vital product data pages, one row each. SPC-4 7.8, SBC-3 6.6. Contents after the four-byte header
 * that all of them share.
 */
import { assert } from '../base/assert.ts'
import { largestCommandBytes, pageBytes, scsi } from '../base/limits.ts'
import { bit, bits, layout, reserved, reservedBits, u8, u16, u32 } from '../wire/layout.ts'
import type { Call } from './call.ts'
import { whereSettable } from './command.ts'
import { thirdPartyCopyPage } from './copy/third-party-copy-page.ts'
import { designators } from './designators.ts'
import type { UnitDescription } from './logical-unit.ts'
import { largestSenseBytes } from './sense-format.ts'
import { softThreshold } from './soft-threshold.ts'
import { atomicGranularityBlocks } from './write-atomic.ts'

interface VpdPage {
  readonly code: number
  readonly cite: string
  /** Units that have the page; absent: all of them. */
  when?(unit: UnitDescription): boolean
  contents(unit: UnitDescription, call: Pick<Call, 'nexus' | 'commands'>): Buffer
}

const blockLimits = layout({
  name: 'Block Limits VPD page',
  cite: 'SBC-4 6.6.4',
  sizeBytes: 60,
  fields: {
    writeSameNonZero: bit(0, 0, 'WSNZ'),
    maximumCompareAndWriteBlocks: u8(1),
    optimalTransferGranularityBlocks: u16(2),
    maximumTransferBlocks: u32(4),
    optimalTransferBlocks: u32(8, '0: not reported'),
    maximumPrefetchBlocks: u32(12),
    maximumUnmapBlocks: u32(16),
    maximumUnmapDescriptors: u32(20),
    optimalUnmapGranularityBlocks: u32(24),
    unmapAlignmentValid: bit(28, 7, 'UGAVALID'),
    maximumWriteSameBlocksHigh: u32(32),
    maximumWriteSameBlocksLow: u32(36),
    maximumAtomicBlocks: u32(40),
    atomicAlignmentBlocks: u32(44),
    atomicGranularityBlocks: u32(48),
    maximumAtomicBlocksWithBoundary: u32(52),
    maximumAtomicBoundaryBlocks: u32(56, '0: no boundaries within an atomic write'),
  },
  reserved: [
    reservedBits(0, 7, 1),
    reservedBits(28, 6, 0), // UNMAP GRANULARITY ALIGNMENT is 0: pages start at block 0
    reserved(29, 3),
  ],
})

function blockLimitsOf({ facts }: UnitDescription): Buffer {
  const { thin, blockBytes, atomicBlocks } = facts
  return blockLimits.build({
    writeSameNonZero: false,
    maximumCompareAndWriteBlocks: scsi.maxCompareAndWriteBlocks,
    optimalTransferGranularityBlocks: facts.physicalBlockBytes / facts.blockBytes,
    maximumTransferBlocks: largestCommandBytes / blockBytes,
    // A value here would cap what Linux puts into one command.
    optimalTransferBlocks: 0,
    maximumPrefetchBlocks: 0,
    maximumUnmapBlocks: thin ? scsi.maxUnmapBlocks : 0,
    maximumUnmapDescriptors: thin ? scsi.maxUnmapDescriptors : 0,
    optimalUnmapGranularityBlocks: thin ? pageBytes / blockBytes : 0,
    unmapAlignmentValid: thin,
    maximumWriteSameBlocksHigh: 0,
    maximumWriteSameBlocksLow: scsi.maxWriteSameBlocks,
    maximumAtomicBlocks: atomicBlocks,
    atomicAlignmentBlocks: atomicGranularityBlocks(facts),
    atomicGranularityBlocks: atomicGranularityBlocks(facts),
    maximumAtomicBlocksWithBoundary: 0,
    maximumAtomicBoundaryBlocks: 0,
  })
}

const blockDeviceCharacteristics = layout({
  name: 'Block Device Characteristics VPD page',
  cite: 'SBC-3 6.6.2',
  sizeBytes: 60,
  fields: {
    mediumRotationRate: u16(0, '0001h: does not rotate'),
    writeAfterBlockErase: bits(3, 7, 6, 'WABEREQ, 01b: reads are carried out'),
    writeAfterCryptographicErase: bits(3, 5, 4, 'WACEREQ'),
  },
  reserved: [reserved(2), reservedBits(3, 3, 0), reserved(4, 56)],
})

function characteristicsOf(unit: UnitDescription): Buffer {
  const erasable = whereSettable(unit) ? 0b01 : 0b00
  return blockDeviceCharacteristics.build({
    mediumRotationRate: 0x0001,
    writeAfterBlockErase: erasable,
    writeAfterCryptographicErase: erasable,
  })
}

const logicalBlockProvisioning = layout({
  name: 'Logical Block Provisioning VPD page',
  cite: 'SBC-3 6.6.4',
  sizeBytes: 4,
  fields: {
    thresholdExponent: u8(0, 'blocks of a threshold set, as a power of two; 0: no thresholds'),
    unmap: bit(1, 7, 'LBPU'),
    writeSame16: bit(1, 6, 'LBPWS'),
    writeSame10: bit(1, 5, 'LBPWS10'),
    readsZeros: bit(1, 2, 'LBPRZ'),
    anchorSupported: bit(1, 1, 'ANC_SUP'),
    groupDescriptor: bit(1, 0, 'DP'),
    provisioningType: bits(2, 2, 0, '0: fully provisioned or not reported, 2: thin'),
  },
  reserved: [reservedBits(1, 4, 3), reservedBits(2, 7, 3), reserved(3)],
})

function provisioningOf({ facts, space }: UnitDescription): Buffer {
  const { thin } = facts
  return logicalBlockProvisioning.build({
    thresholdExponent: space === undefined ? 0 : softThreshold(facts).exponent,
    unmap: thin,
    writeSame16: thin,
    writeSame10: thin,
    readsZeros: thin,
    anchorSupported: false,
    groupDescriptor: false,
    provisioningType: thin ? 2 : 0,
  })
}

const extendedInquiry = layout({
  name: 'Extended INQUIRY Data VPD page',
  cite: 'SPC-4 7.8.7',
  sizeBytes: 60,
  fields: {
    simpleTasks: bit(1, 0, 'SIMPSUP'),
    volatileCache: bit(2, 0, 'V_SUP'),
    maximumSenseBytes: u8(9),
  },
  reserved: [
    reserved(0),
    reservedBits(1, 7, 1),
    reservedBits(2, 7, 1),
    reserved(3, 6),
    reserved(10, 50),
  ],
})

function extendedInquiryOf({ facts }: UnitDescription): Buffer {
  return extendedInquiry.build({
    simpleTasks: true,
    volatileCache: facts.writeCache,
    maximumSenseBytes: largestSenseBytes,
  })
}

const pages: readonly VpdPage[] = [
  {
    code: 0x00,
    cite: 'SPC-4 7.8.16',
    contents: (unit) => Buffer.from(pagesOf(unit).map((page) => page.code)),
  },
  {
    code: 0x80,
    cite: 'SPC-4 7.8.18',
    contents: ({ facts }) => Buffer.from(facts.serial, 'latin1'),
  },
  {
    code: 0x83,
    cite: 'SPC-4 7.8.6',
    contents: ({ facts, portGroups }, call) =>
      designators(facts, call.nexus, portGroups?.own(call.nexus)),
  },
  { code: 0x86, cite: extendedInquiry.cite, contents: extendedInquiryOf },
  {
    code: 0x87,
    cite: 'SPC-4 7.8.11',
    // All pages and subpages: one set of mode parameters for all nexuses.
    contents: () => Buffer.from([0x3f, 0xff, 0x00, 0x00]),
  },
  {
    code: 0x8f,
    cite: 'SPC-4 7.8.17',
    when: whereSettable,
    contents: ({ facts }, call) => thirdPartyCopyPage(call.commands, facts.blockBytes),
  },
  { code: 0xb0, cite: blockLimits.cite, contents: blockLimitsOf },
  {
    code: 0xb1,
    cite: blockDeviceCharacteristics.cite,
    contents: characteristicsOf,
  },
  { code: 0xb2, cite: logicalBlockProvisioning.cite, contents: provisioningOf },
]

function pagesOf(unit: UnitDescription): readonly VpdPage[] {
  return pages.filter((page) => page.when?.(unit) ?? true)
}

export function isVpdPage(code: number, unit: UnitDescription): boolean {
  return pagesOf(unit).some((page) => page.code === code)
}

export function vpdPage(code: number, call: Pick<Call, 'unit' | 'nexus' | 'commands'>): Buffer {
  const page = pages.find((row) => row.code === code)
  assert(page, 'the page was found when the command was checked')
  const contents = page.contents(call.unit, call)
  const header = Buffer.from([0x00, code, contents.length >> 8, contents.length & 0xff])
  return Buffer.concat([header, contents])
}
