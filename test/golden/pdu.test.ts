/**
 * The bytes of every PDU. Each row is drawn by hand from the figure of its section in RFC 7143
 * (named in the row), independent of the layouts, and run as decode, encode, mirror, and through the
 * framer split at every byte position, with AHS and both digests.
 */
import t from 'tap'
import { encodeFrame } from '../../src/iscsi/encode-frame.ts'
import { Framer } from '../../src/iscsi/framer.ts'
import { asyncMessage } from '../../src/iscsi/pdu/async-message.ts'
import { basicHeader } from '../../src/iscsi/pdu/basic-header.ts'
import { dataIn } from '../../src/iscsi/pdu/data-in.ts'
import { dataOut } from '../../src/iscsi/pdu/data-out.ts'
import { describeHeader, pdus } from '../../src/iscsi/pdu/directory.ts'
import { loginRequest } from '../../src/iscsi/pdu/login-request.ts'
import { loginResponse } from '../../src/iscsi/pdu/login-response.ts'
import { logoutRequest } from '../../src/iscsi/pdu/logout-request.ts'
import { logoutResponse } from '../../src/iscsi/pdu/logout-response.ts'
import { nopIn } from '../../src/iscsi/pdu/nop-in.ts'
import { nopOut } from '../../src/iscsi/pdu/nop-out.ts'
import { readyToTransfer } from '../../src/iscsi/pdu/ready-to-transfer.ts'
import { reject } from '../../src/iscsi/pdu/reject.ts'
import { scsiCommand } from '../../src/iscsi/pdu/scsi-command.ts'
import { scsiResponse } from '../../src/iscsi/pdu/scsi-response.ts'
import { snackRequest } from '../../src/iscsi/pdu/snack-request.ts'
import { taskManagementRequest } from '../../src/iscsi/pdu/task-management-request.ts'
import { taskManagementResponse } from '../../src/iscsi/pdu/task-management-response.ts'
import { textRequest } from '../../src/iscsi/pdu/text-request.ts'
import { textResponse } from '../../src/iscsi/pdu/text-response.ts'
import type { Fields, Layout, Value } from '../../src/wire/layout.ts'
import { hex, padded, slowCrc32c } from '../support/bytes.ts'

interface Row {
  readonly name: string
  readonly opcode: number
  readonly wire: Buffer
  readonly decode: () => unknown
  readonly build: () => Buffer
  readonly value: unknown
}

const rows: Row[] = []

function row<F extends Fields>(
  table: Layout<F> & { opcode: number },
  value: Value<Layout<F>>,
  bytes: string,
): void {
  const wire = hex(bytes)
  rows.push({
    name: table.name,
    opcode: table.opcode,
    wire,
    value,
    decode: () => table.decode(wire),
    build: () => table.build(value),
  })
}

const lun5 = hex('0005000000000000')
const lun0 = hex('0000000000000000')

// RFC 7143 A.4: the READ (10) whose digest the standard gives.
row(
  scsiCommand,
  {
    final: true,
    read: true,
    write: false,
    attribute: 0,
    lun: lun0,
    initiatorTaskTag: 0x14000000,
    expectedDataTransferLength: 0x400,
    cmdSn: 0x14,
    expStatSn: 0x18,
    cdb: hex('28000000 00000000 02000000 00000000'),
  },
  `01 c0 0000        // opcode, F R . . . . ATTR=untagged
   00 000000         // TotalAHSLength, DataSegmentLength
   0000000000000000  // LUN
   14000000          // Initiator Task Tag
   00000400          // Expected Data Transfer Length
   00000014 00000018 // CmdSN, ExpStatSN
   2800000000000000 0200000000000000`,
)
// RFC 7143 11.3: a simple write.
row(
  scsiCommand,
  {
    final: false,
    read: false,
    write: true,
    attribute: 1,
    lun: lun5,
    initiatorTaskTag: 0xdeadbeef,
    expectedDataTransferLength: 0x10000,
    cmdSn: 0xffffffff,
    expStatSn: 1,
    cdb: hex('2a000000 00100000 80000000 00000000'),
  },
  `01 21 0000 00 000000 0005000000000000 deadbeef 00010000 ffffffff 00000001
   2a000000 00100000 80000000 00000000`,
)
// RFC 7143 11.4.
row(
  scsiResponse,
  {
    bidirectionalOverflow: false,
    bidirectionalUnderflow: false,
    overflow: false,
    underflow: true,
    response: 0,
    status: 2,
    initiatorTaskTag: 0x01020304,
    snackTag: 0,
    statSn: 0x11,
    expCmdSn: 0x22,
    maxCmdSn: 0x33,
    expDataSn: 0x44,
    bidirectionalReadResidualCount: 0,
    residualCount: 0x200,
  },
  `21 82 00 02       // 1 . . o u O U .: U; response, status CHECK CONDITION
   00 000000 0000000000000000 01020304
   00000000          // SNACK Tag
   00000011 00000022 00000033 00000044
   00000000 00000200 // bidirectional, residual count`,
)
// RFC 7143 11.5: ABORT TASK.
row(
  taskManagementRequest,
  {
    function: 1,
    lun: lun5,
    initiatorTaskTag: 7,
    referencedTaskTag: 6,
    cmdSn: 0x55,
    expStatSn: 0x66,
    refCmdSn: 0x54,
    expDataSn: 0,
  },
  `02 81 0000 00 000000 0005000000000000 00000007 00000006 00000055 00000066 00000054 00000000
   0000000000000000`,
)
// RFC 7143 11.6: rejected.
row(
  taskManagementResponse,
  { response: 255, initiatorTaskTag: 7, statSn: 0x67, expCmdSn: 0x55, maxCmdSn: 0x75 },
  `22 80 ff 00 00 000000 0000000000000000 00000007 00000000 00000067 00000055 00000075
   000000000000000000000000`,
)
// RFC 7143 11.7: solicited data.
row(
  dataOut,
  {
    final: true,
    lun: lun5,
    initiatorTaskTag: 0xdeadbeef,
    targetTransferTag: 9,
    expStatSn: 0x12,
    dataSn: 3,
    bufferOffset: 0x6000,
  },
  `05 80 0000 00 000000 0005000000000000 deadbeef 00000009
   00000000 00000012 00000000   // reserved, ExpStatSN, reserved
   00000003 00006000 00000000`,
)
// RFC 7143 11.7: last Data-In with status GOOD and an overflow.
row(
  dataIn,
  {
    final: true,
    acknowledge: false,
    overflow: true,
    underflow: false,
    hasStatus: true,
    status: 0,
    lun: lun0,
    initiatorTaskTag: 0xdeadbeef,
    targetTransferTag: 0xffffffff,
    statSn: 0x31,
    expCmdSn: 0x32,
    maxCmdSn: 0x33,
    dataSn: 2,
    bufferOffset: 0x4000,
    residualCount: 0x100,
  },
  `25 85 00 00       // F A 0 0 0 O U S
   00 000000 0000000000000000 deadbeef ffffffff 00000031 00000032 00000033 00000002 00004000
   00000100`,
)
// RFC 7143 11.8.
row(
  readyToTransfer,
  {
    lun: lun5,
    initiatorTaskTag: 0xdeadbeef,
    targetTransferTag: 9,
    statSn: 0x31,
    expCmdSn: 0x32,
    maxCmdSn: 0x33,
    r2tSn: 1,
    bufferOffset: 0x10000,
    desiredDataTransferLength: 0x40000,
  },
  `31 80 0000 00 000000 0005000000000000 deadbeef 00000009 00000031 00000032 00000033 00000001
   00010000 00040000`,
)
// RFC 7143 11.9: logout requested, Parameter3 is the time in seconds.
row(
  asyncMessage,
  {
    lun: lun0,
    statSn: 1,
    expCmdSn: 2,
    maxCmdSn: 3,
    asyncEvent: 1,
    asyncVCode: 0,
    parameter1: 0,
    parameter2: 0,
    parameter3: 10,
  },
  `32 80 0000 00 000000 0000000000000000 ffffffff 00000000 00000001 00000002 00000003
   01 00 0000 0000 000a 00000000`,
)
// RFC 7143 11.10.
row(
  textRequest,
  {
    final: true,
    continues: false,
    lun: lun0,
    initiatorTaskTag: 4,
    targetTransferTag: 0xffffffff,
    cmdSn: 8,
    expStatSn: 9,
  },
  `04 80 0000 00 000000 0000000000000000 00000004 ffffffff 00000008 00000009
   00000000000000000000000000000000`,
)
// RFC 7143 11.11: goes on with C.
row(
  textResponse,
  {
    final: false,
    continues: true,
    lun: lun0,
    initiatorTaskTag: 4,
    targetTransferTag: 0x77,
    statSn: 9,
    expCmdSn: 9,
    maxCmdSn: 0x29,
  },
  `24 40 0000 00 000000 0000000000000000 00000004 00000077 00000009 00000009 00000029
   000000000000000000000000`,
)
// RFC 7143 11.12: operational stage, transit to full feature. The I bit is the framer's.
row(
  loginRequest,
  {
    transit: true,
    continues: false,
    currentStage: 1,
    nextStage: 3,
    versionMax: 0,
    versionMin: 0,
    isid: hex('00023d000001'),
    tsih: 0,
    initiatorTaskTag: 1,
    cid: 2,
    cmdSn: 5,
    expStatSn: 0,
  },
  `03 87 00 00       // T C . . CSG NSG, Version-max, Version-min
   00 000000 00023d000001 0000 00000001
   0002 0000         // CID, reserved
   00000005 00000000 00000000000000000000000000000000`,
)
// RFC 7143 11.13: refused, target not found.
row(
  loginResponse,
  {
    transit: false,
    continues: false,
    currentStage: 1,
    nextStage: 0,
    versionMax: 0,
    versionActive: 0,
    isid: hex('00023d000001'),
    tsih: 0x1234,
    initiatorTaskTag: 1,
    statSn: 0xa,
    expCmdSn: 5,
    maxCmdSn: 0x25,
    statusClass: 2,
    statusDetail: 3,
  },
  `23 04 00 00 00 000000 00023d000001 1234 00000001 00000000 0000000a 00000005 00000025
   02 03 0000 0000000000000000`,
)
// RFC 7143 11.14: close the connection 2.
row(
  logoutRequest,
  { reason: 1, initiatorTaskTag: 3, cid: 2, cmdSn: 6, expStatSn: 7 },
  `06 81 0000 00 000000 0000000000000000 00000003 0002 0000 00000006 00000007
   00000000000000000000000000000000`,
)
// RFC 7143 11.15.
row(
  logoutResponse,
  {
    response: 0,
    initiatorTaskTag: 3,
    statSn: 7,
    expCmdSn: 7,
    maxCmdSn: 0x26,
    time2Wait: 2,
    time2Retain: 20,
  },
  `26 80 00 00 00 000000 0000000000000000 00000003 00000000 00000007 00000007 00000026 00000000
   0002 0014 00000000`,
)
// RFC 7143 11.16: Data/R2T SNACK.
row(
  snackRequest,
  {
    type: 0,
    lun: lun5,
    initiatorTaskTag: 3,
    targetTransferTag: 0xffffffff,
    expStatSn: 7,
    begRun: 1,
    runLength: 2,
  },
  `10 80 0000 00 000000 0005000000000000 00000003 ffffffff 00000000 00000007 0000000000000000
   00000001 00000002`,
)
// RFC 7143 11.17: protocol error.
row(
  reject,
  { reason: 4, statSn: 7, expCmdSn: 8, maxCmdSn: 0x28, dataSn: 0 },
  `3f 80 04 00 00 000000 0000000000000000 ffffffff 00000000 00000007 00000008 00000028 00000000
   0000000000000000`,
)
// RFC 7143 11.18: a ping.
row(
  nopOut,
  { lun: lun0, initiatorTaskTag: 5, targetTransferTag: 0xffffffff, cmdSn: 6, expStatSn: 7 },
  `00 80 0000 00 000000 0000000000000000 00000005 ffffffff 00000006 00000007
   00000000000000000000000000000000`,
)
// RFC 7143 11.19: its answer.
row(
  nopIn,
  {
    lun: lun0,
    initiatorTaskTag: 5,
    targetTransferTag: 0xffffffff,
    statSn: 7,
    expCmdSn: 6,
    maxCmdSn: 0x26,
  },
  `20 80 0000 00 000000 0000000000000000 00000005 ffffffff 00000007 00000006 00000026
   000000000000000000000000`,
)

t.test('decode, encode and mirror', async (t) => {
  for (const { name, opcode, wire, value, decode, build } of rows) {
    t.equal(wire.length, 48, `${name}: a whole header`)
    t.equal(wire[0], opcode, `${name}: opcode`)
    t.strictSame(decode(), value, `${name}: decode`)
    t.strictSame(build(), wire, `${name}: encode`)
    t.ok(describeHeader(wire).startsWith(name), `${name}: has a line for the log`)
  }
  const seen = new Set(rows.map(({ opcode }) => opcode))
  t.strictSame([...seen].sort(), pdus.map(({ opcode }) => opcode).sort(), 'no PDU without a row')
  t.match(describeHeader(hex(`1f${'00'.repeat(47)}`)), /unknown opcode 31/)
})

/** Header, AHS, digest, data, padding, digest: put together by hand. */
function frameBytes(header: Buffer, ahs: Buffer, data: Buffer): Buffer {
  const head = Buffer.from(header)
  head[0] = head[0]! | 0x40
  head[4] = ahs.length / 4
  head.writeUIntBE(data.length, 5, 3)
  const first = Buffer.concat([head, ahs])
  const parts = [first, slowCrc32c(first)]
  if (data.length > 0) parts.push(padded(data), slowCrc32c(padded(data)))
  return Buffer.concat(parts)
}

t.test('through the framer, split at every byte', async (t) => {
  const ahs = hex('0009 3f 00 0000000000000007')
  for (const [index, { name, opcode, wire }] of rows.entries()) {
    const data = Buffer.from(Array.from({ length: index % 6 }, (_, i) => i + 1))
    const bytes = frameBytes(wire, ahs, data)
    for (let cut = 0; cut <= bytes.length; cut++) {
      const framer = new Framer({ maxDataSegmentBytes: () => 8192, maxAhsBytes: 64 })
      framer.setDigests({ header: true, data: true })
      framer.push(bytes.subarray(0, cut))
      if (cut < bytes.length && framer.next() !== undefined) t.fail(`${name}: early at ${cut}`)
      framer.push(bytes.subarray(cut))
      const frame = framer.next()
      if (frame?.kind !== 'frame') {
        t.fail(`${name}: no frame at ${cut}`)
        continue
      }
      const { immediate, dataBytes } = frame
      const got = {
        opcode: frame.opcode,
        immediate,
        ahs: frame.ahs,
        data: Buffer.concat(frame.data),
        dataBytes,
      }
      const expected = { opcode, immediate: true, ahs, data, dataBytes: data.length }
      if (cut % 9 === 0 || cut > 46) t.strictSame(got, expected, `${name}: cut at ${cut}`)
      if (framer.next() !== undefined || framer.bufferedBytes !== 0) t.fail(`${name}: rest`)
    }
    const out = encodeFrame(Buffer.from(wire), {
      ahs,
      data: data.length === 0 ? [] : [data.subarray(0, 1), data.subarray(1)],
      immediate: true,
      digests: { header: true, data: true },
    })
    t.strictSame(Buffer.concat(out), bytes, `${name}: encodeFrame`)
    t.strictSame(
      basicHeader.decode(bytes),
      { immediate: true, opcode, totalAhsLengthBytes: 12, dataSegmentLength: data.length },
      `${name}: the header as RFC 7143 11.2.1 draws it`,
    )
  }
})
