/**
 * Vital product data pages, one row each. SPC-4 7.8, SBC-3 6.6. Contents after the four-byte header
 * that all of them share.
 */
import { assert } from '../base/assert.ts'
import { blockBytes, largestCommandBytes, pageBytes, scsi } from '../base/limits.ts'
import { bit, bits, layout, reserved, reservedBits, u8, u16, u32 } from '../wire/layout.ts'
import type { Call } from './call.ts'
import { designators } from './designators.ts'
import type { UnitFacts } from './logical-unit.ts'

interface VpdPage {
  readonly code: number
  readonly cite: string
  contents(facts: UnitFacts, call: Pick<Call, 'nexus'>): Buffer
}

const blockLimits = layout({
  name: 'Block Limits VPD page',
  cite: 'SBC-3 6.6.3',
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
  },
  reserved: [
    reservedBits(0, 7, 1),
    reservedBits(28, 6, 0), // UNMAP GRANULARITY ALIGNMENT is 0: pages start at block 0
    reserved(29, 3),
    reserved(40, 20),
  ],
})

function blockLimitsOf(facts: UnitFacts): Buffer {
  const { thin } = facts
  return blockLimits.build({
    writeSameNonZero: false,
    maximumCompareAndWriteBlocks: 0,
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
  })
}

const blockDeviceCharacteristics = layout({
  name: 'Block Device Characteristics VPD page',
  cite: 'SBC-3 6.6.2',
  sizeBytes: 60,
  fields: { mediumRotationRate: u16(0, '0001h: does not rotate') },
  reserved: [reserved(2, 58)],
})

const logicalBlockProvisioning = layout({
  name: 'Logical Block Provisioning VPD page',
  cite: 'SBC-3 6.6.4',
  sizeBytes: 4,
  fields: {
    thresholdExponent: u8(0),
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

function provisioningOf({ thin }: UnitFacts): Buffer {
  return logicalBlockProvisioning.build({
    thresholdExponent: 0,
    unmap: thin,
    writeSame16: thin,
    writeSame10: thin,
    readsZeros: thin,
    anchorSupported: false,
    groupDescriptor: false,
    provisioningType: thin ? 2 : 0,
  })
}

const pages: readonly VpdPage[] = [
  {
    code: 0x00,
    cite: 'SPC-4 7.8.16',
    contents: () => Buffer.from(pages.map((page) => page.code)),
  },
  {
    code: 0x80,
    cite: 'SPC-4 7.8.18',
    contents: (facts) => Buffer.from(facts.serial, 'latin1'),
  },
  {
    code: 0x83,
    cite: 'SPC-4 7.8.6',
    contents: (facts, call) => designators(facts, call.nexus.targetName),
  },
  { code: 0xb0, cite: blockLimits.cite, contents: blockLimitsOf },
  {
    code: 0xb1,
    cite: blockDeviceCharacteristics.cite,
    contents: () => blockDeviceCharacteristics.build({ mediumRotationRate: 0x0001 }),
  },
  { code: 0xb2, cite: logicalBlockProvisioning.cite, contents: provisioningOf },
]

export function isVpdPage(code: number): boolean {
  return pages.some((page) => page.code === code)
}

export function vpdPage(code: number, call: Pick<Call, 'facts' | 'nexus'>): Buffer {
  const page = pages.find((row) => row.code === code)
  assert(page, 'the page was found when the command was checked')
  const contents = page.contents(call.facts, call)
  const header = Buffer.from([0x00, code, contents.length >> 8, contents.length & 0xff])
  return Buffer.concat([header, contents])
}
