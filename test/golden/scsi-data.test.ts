/**
 * The bytes that SCSI commands return, written out by hand from the tables of the standards and
 * annotated field by field. Provenance: the section named on each row.
 */
import t from 'tap'
import { MemoryUnitSettings } from '../../src/scsi/memory-unit-settings.ts'
import { encodeDescriptors, encodeFixed, encodeSense } from '../../src/scsi/sense-format.ts'
import { MemoryUnit } from '../support/memory-unit.ts'
import { hex, ScsiRig } from '../support/scsi-rig.ts'

const thick = { thin: false, writeCache: false }

t.test('sense data, SPC-4 4.5', async (t) => {
  const rows = [
    {
      name: 'fixed format, 4.5.3, no information',
      bytes: encodeSense({ key: 5, asc: 0x24, ascq: 0 }),
      // code 70h, segment, key, information, additional length 10, command specific, asc, ascq
      want: '70 00 05 00000000 0a 00000000 24 00 00 000000',
    },
    {
      name: 'fixed format with VALID and INFORMATION',
      bytes: encodeSense({ key: 0xe, asc: 0x1d, ascq: 0, information: 0x01020304 }),
      want: 'f0 00 0e 01020304 0a 00000000 1d 00 00 000000',
    },
    {
      name: 'fixed format: more than 32 bits of information do not fit',
      bytes: encodeFixed({ key: 3, asc: 0x11, ascq: 0, information: 2 ** 32 }),
      want: '70 00 03 00000000 0a 00000000 11 00 00 000000',
    },
    {
      name: 'descriptor format, 4.5.2, information descriptor 4.5.2.2',
      bytes: encodeDescriptors({ key: 3, asc: 0x11, ascq: 0, information: 2 ** 32 + 5 }),
      want: '72 03 11 00 000000 0c  00 0a 80 00 0000000100000005',
    },
    {
      name: 'descriptors force descriptor format',
      bytes: encodeSense({ key: 0xb, asc: 0x80, ascq: 1, descriptors: hex('80 02 0102') }),
      want: '72 0b 80 01 000000 04  80 02 0102',
    },
    {
      name: 'fixed format: a field of the CDB, 4.5.2.4.2',
      bytes: encodeSense({
        key: 5,
        asc: 0x24,
        ascq: 0,
        fieldPointer: { inCdb: true, byte: 2, bit: 5 },
      }),
      // SKSV, C/D, BPV, bit 5; byte 2
      want: '70 00 05 00000000 0a 00000000 24 00 00 cd0002',
    },
    {
      name: 'descriptor format: a byte of the parameter list',
      bytes: encodeSense(
        { key: 5, asc: 0x26, ascq: 0, fieldPointer: { inCdb: false, byte: 300 } },
        true,
      ),
      want: '72 05 26 00 000000 08  02 06 0000 80 012c 00',
    },
    {
      name: 'a progress, 4.5.2.4.4',
      bytes: encodeSense({ key: 2, asc: 4, ascq: 0x1b, progress: 0x8000 }),
      want: '70 00 02 00000000 0a 00000000 04 1b 00 808000',
    },
    {
      name: 'descriptor format without descriptors',
      bytes: encodeDescriptors({ key: 0, asc: 0, ascq: 0 }),
      want: '72 00 00 00 000000 00',
    },
  ]
  for (const { name, bytes, want } of rows)
    t.equal(bytes.toString('hex'), hex(want).toString('hex'), name)
})

/** Sends the CDB to a fresh unit and compares the data in. */
function golden(name: string, cdb: string, want: string, facts = {}): void {
  t.test(name, async (t) => {
    const rig = new ScsiRig(new MemoryUnit(facts))
    t.equal((await rig.dataOf(cdb)).toString('hex'), hex(want).toString('hex'))
  })
}

golden(
  'standard INQUIRY data, SPC-4 6.6.2',
  '12 00 00 0100 00',
  `00 00 06 12 5b 10 00 02
   50414c4953414445 5649525455414c2d4449534b20202020 30303031
   ${'00'.repeat(20)} 0000
   00a0 0960 0460 04c0 ${'0000'.repeat(4)}
   ${'00'.repeat(22)}`,
)
golden('VPD 00h Supported VPD Pages', '12 01 00 00ff 00', '00 00 0008 00 80 83 86 87 b0 b1 b2')
golden('VPD 80h Unit Serial Number', '12 01 80 00ff 00', '00 80 0007 4d454d30303031')
const targetName = Buffer.from('iqn.2026-11.test:target').toString('hex')
golden(
  'VPD 83h Device Identification, SPC-4 7.8.6',
  '12 01 83 00ff 00',
  // NAA 6 of the unit; T10 vendor identification; relative target port 1; target port group 1; SCSI
  // names of the target port (32 bytes and its zero byte fill 36) and of the device (23 fill 24)
  `00 83 007b
   01 03 00 10 6a11ce00000000000000000000000001
   02 01 00 0f 50414c4953414445 4d454d30303031
   51 94 00 04 00000001
   51 95 00 04 00000001
   53 98 00 24 ${targetName} 2c742c307830303031 00000000
   53 a8 00 18 ${targetName} 00`,
)
golden(
  'VPD B0h Block Limits of a thin unit, SBC-3 6.6.3',
  '12 01 b0 00ff 00',
  // WSNZ 0, one block compared and written, granularity 8, 8 MiB; UNMAP 1 Mi blocks, 256, 64 KiB,
  // UGAVALID; WRITE SAME; atomic writes of 256 blocks in physical ones, without boundaries
  `00 b0 003c 00 01 0008 00004000 00000000 00000000 00100000 00000100 00000080 80000000
   0000000000008000 00000100 00000008 00000008 00000000 00000000`,
)
golden(
  'VPD B0h Block Limits of a thick unit has no UNMAP limits',
  '12 01 b0 00ff 00',
  `00 b0 003c 00 01 0008 00004000 00000000 00000000 00000000 00000000 00000000 00000000
   0000000000008000 00000100 00000008 00000008 00000000 00000000`,
  thick,
)
golden(
  'VPD B1h Block Device Characteristics: does not rotate, SBC-3 6.6.2',
  '12 01 b1 00ff 00',
  `00 b1 003c 0001 ${'00'.repeat(58)}`,
)
golden(
  'VPD B2h Logical Block Provisioning of a thin unit, SBC-3 6.6.4',
  '12 01 b2 00ff 00',
  // LBPU, LBPWS, LBPWS10, LBPRZ; thin
  '00 b2 0004 00 e4 02 00',
)
golden('VPD B2h of a thick unit', '12 01 b2 00ff 00', '00 b2 0004 00 00 00 00', thick)

const recovery = '01 0a 00 00 00 00 00 00 00 00 0000'
const caching = '08 12 04 00 0000 0000 0000 0000 00 00 00 00 00000000'
const control = '0a 0a 02 10 00 00 0000 ffff 0000'
const exceptions = '1c 0a 08 00 00000000 00000000'

golden(
  'MODE SENSE (6), all pages with a block descriptor, SPC-4 7.5',
  '1a 00 3f 00 ff 00',
  // length 67, medium type 0, DPOFUA, descriptor 8: 2048 blocks of 512; pages in order
  `43 00 10 08  00000800 00 000200 ${recovery} ${caching} ${control} ${exceptions}`,
)
golden(
  'MODE SENSE (6), DBD, caching page of a unit without a volatile cache, write protected',
  '1a 08 08 00 ff 00',
  `17 00 90 00 ${caching.replace('08 12 04', '08 12 00')}`,
  { writeCache: false, readOnly: true },
)
golden(
  'MODE SENSE (6), changeable where nothing can be set: nothing',
  '1a 08 4a 00 ff 00',
  `0f 00 10 00 0a 0a ${'00'.repeat(10)}`,
)
golden(
  'MODE SENSE (10) with LLBAA: long LBA block descriptor, SBC-3 6.5',
  '5a 10 0a 00 000000 00ff 00',
  `0022 00 10 01 00 0010  0000000000000800 00000000 00000200 ${control}`,
)
golden(
  'MODE SENSE (10) without LLBAA, subpages FFh',
  '5a 00 3f ff 000000 00ff 00',
  `0046 00 10 00 00 0008  00000800 00 000200 ${recovery} ${caching} ${control} ${exceptions}`,
)
golden('READ CAPACITY (10), SBC-3 5.15', '25 00 00000000 0000 00 00', '000007ff 00000200')
golden(
  'READ CAPACITY (16) of a thin unit, SBC-3 5.16: LBPPBE 3, LBPME, LBPRZ',
  '9e 10 0000000000000000 00000020 00 00',
  `00000000000007ff 00000200 00 03 c000 ${'00'.repeat(16)}`,
)
golden(
  'READ CAPACITY (16) of a thick unit, cut to its allocation length',
  '9e 10 0000000000000000 00000010 00 00',
  '00000000000007ff 00000200 00 03 0000',
  thick,
)
golden(
  'REPORT LUNS, SPC-4 6.33',
  'a0 00 00 000000 00000100 00 00',
  '00000008 00000000  0000000000000000',
)
golden(
  'REPORT SUPPORTED OPERATION CODES, one command with timeouts, SPC-4 6.35.3',
  'a3 0c 81 28 0000 00000100 00 00',
  // CTDP and SUPPORT 011b, ten bytes: RDPROTECT, DPO, FUA, FUA_NV; LBA; group; length; CONTROL
  `00 83 000a 28 fa ffffffff 1f ffff 00  000a 00 00 00000001 0000003c`,
)
golden(
  'REPORT SUPPORTED OPERATION CODES, one service action',
  'a3 0c 02 9e 0010 00000100 00 00',
  `00 03 0010 9e 10 ffffffffffffffff ffffffff 01 00`,
)
golden(
  'REPORT SUPPORTED OPERATION CODES, an operation code that is not there',
  'a3 0c 01 a2 0000 00000100 00 00',
  '00 01 0000',
)

const settings = () => new MemoryUnitSettings()

/** The same for a unit of which initiators may set something. */
function settable(name: string, cdb: string, want: string, facts = {}): void {
  t.test(name, async (t) => {
    const rig = new ScsiRig(new MemoryUnit(facts, settings()))
    t.equal((await rig.dataOf(cdb)).toString('hex'), hex(want).toString('hex'))
  })
}

settable(
  'standard INQUIRY data of a removable unit: RMB, TPGS 01b',
  '12 00 00 0008 00',
  '00 80 06 12 5b 18 00 02',
  { removable: true },
)
golden(
  'VPD 86h Extended INQUIRY Data, SPC-4 7.8.7',
  '12 01 86 00ff 00',
  // SIMPSUP, V_SUP, sense data of up to 252 bytes
  `00 86 003c 00 01 01 00 00 00 0000 00 fc ${'00'.repeat(50)}`,
)
golden(
  'VPD 87h Mode Page Policy: shared, SPC-4 7.8.11',
  '12 01 87 00ff 00',
  '00 87 0004 3f ff 00 00',
)
settable(
  'VPD B1h of a unit that can be erased: WABEREQ and WACEREQ 01b',
  '12 01 b1 00ff 00',
  `00 b1 003c 0001 00 50 ${'00'.repeat(56)}`,
)
golden(
  'REPORT TARGET PORT GROUPS, length only, SPC-4 6.37',
  'a3 0a 00000000 000000ff 00 00',
  // one group, active and optimized, which alone is supported; one port
  '0000000c 00 01 0001 00 00 00 01 0000 0001',
)
golden(
  'REPORT TARGET PORT GROUPS, extended header',
  'a3 2a 00000000 000000ff 00 00',
  '00000010 10 00 0000 00 01 0001 00 00 00 01 0000 0001',
)
golden(
  'REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS, SPC-4 6.36',
  'a3 0d 00 000000 000000ff 00 00',
  // ABORT TASK, ABORT TASK SET, CLEAR TASK SET, LOGICAL UNIT RESET, TARGET RESET
  'da 00 00 00',
)
golden(
  'REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS, extended: within 10 s',
  'a3 0d 80 000000 000000ff 00 00',
  'da 00 00 0c 01 00 da 00 00000064 00000064',
)
settable(
  'MODE SENSE (6), changeable: D_SENSE and SWP',
  '1a 08 4a 00 ff 00',
  '0f 00 10 00 0a 0a 04 00 08 00 0000 0000 0000',
)
settable(
  'MODE SENSE (10), default values of the control page',
  '5a 08 8a 00 000000 00ff 00',
  `0012 00 10 00 00 0000 ${control}`,
)
settable(
  'MODE SENSE (6), blocks of 4096 bytes',
  '1a 00 0a 00 ff 00',
  `17 00 10 08 00000100 00 001000 ${control}`,
  { blocks: 256, blockBytes: 4096 },
)
settable(
  'LOG SENSE, supported pages, SPC-4 7.3.16',
  '4d 00 40 00 00 0000 00ff 00',
  '00 00 0002 00 2f',
)
settable(
  'LOG SENSE, supported pages and subpages, SPC-4 7.3.17',
  '4d 00 40 ff 00 0000 00ff 00',
  '40 ff 0006 00 00 00 ff 2f 00',
)
settable(
  'LOG SENSE, informational exceptions: none, no temperature, SPC-4 7.3.9',
  '4d 00 6f 00 00 0000 00ff 00',
  '2f 00 0008 0000 03 04 00 00 ff 00',
)
settable(
  'READ DEFECT DATA (10): empty lists, SBC-3 5.17',
  '37 00 18 00000000 00ff 00',
  '00 18 0000',
)
settable(
  'READ DEFECT DATA (12): empty lists, SBC-3 5.18',
  'b7 0d 00000000 000000ff 00 00',
  '00 0d 0000 00000000',
)

t.test('thin provisioning with a pool: threshold, space, what is reported', async (t) => {
  const unit = new MemoryUnit({ blocks: 128 * 100 }, settings())
  unit.space = { usedBlocks: () => 128 * 7, availableBlocks: () => 128 * 50 + 1 }
  const rig = new ScsiRig(unit)
  const rows = [
    // THRESHOLD EXPONENT 7: sets of 128 blocks
    ['12 01 b2 00ff 00', '00 b2 0004 07 e4 02 00'],
    // LBPERE in the read-write error recovery page
    ['1a 08 01 00 ff 00', '0f 00 10 00 01 0a 00 00 00 00 00 80 00 00 0000'],
    // ENABLED, soft, decreasing; available space; a tenth of 100 sets
    ['1a 08 1c 02 ff 00', `1b 00 10 00 5c 02 0014 00 ${'00'.repeat(11)} 80 01 0000 0000000a`],
    ['4d 00 40 00 00 0000 00ff 00', '00 00 0003 00 0c 2f'],
    // available 50 sets, used 7 sets, both of this unit alone. SBC-3 6.4.4
    [
      '4d 00 4c 00 00 0000 00ff 00',
      '0c 00 0018 0001 03 08 00000032 01 000000 0002 03 08 00000007 01 000000',
    ],
    ['4d 00 4c 00 00 0002 00ff 00', '0c 00 000c 0002 03 08 00000007 01 000000'],
  ] as const
  for (const [cdb, want] of rows) {
    t.equal((await rig.dataOf(cdb)).toString('hex'), hex(want).toString('hex'), cdb)
  }
})

t.test('another portal group is another target port', async (t) => {
  const rig = new ScsiRig()
  const nexus = { ...rig.nexus, portalGroupTag: 0x102 }
  rig.server.nexusGained(nexus)
  const read = async (cdb: string): Promise<Buffer> => {
    const result = await rig.send(cdb, { nexus })
    return result !== 'drop' && result.status === 0x00
      ? Buffer.concat(result.dataIn)
      : Buffer.alloc(0)
  }
  const page = await read('12 01 83 00ff 00')
  t.ok(page.includes(hex('51 94 00 04 00000102')), 'relative target port')
  t.ok(page.includes(hex('51 95 00 04 00000001')), 'in the same target port group')
  t.ok(page.includes(',t,0x0102'))
  t.equal((await read('a3 0a 00000000 000000ff 00 00')).readUInt16BE(14), 0x102)
})
