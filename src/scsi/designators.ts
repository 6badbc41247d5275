/**
 * The designators of VPD page 83h: which unit this is, whatever the path, and which port and device
 * it was reached through. SPC-4 7.8.6, names of iSCSI ports RFC 7143 4.4.2.
 */
import { assert } from '../base/assert.ts'
import type { Nexus, UnitFacts } from './logical-unit.ts'

const CodeSet = { BINARY: 1, ASCII: 2, UTF8: 3 } as const
const Association = { LOGICAL_UNIT: 0, TARGET_PORT: 1, TARGET_DEVICE: 2 } as const
const Type = { T10_VENDOR: 1, NAA: 3, RELATIVE_PORT: 4, PORT_GROUP: 5, SCSI_NAME: 8 } as const
const iscsiProtocol = 5
/** T10 vendor identification, eight characters. SPC-4 6.6.2. */
export const vendorIdentification = 'PALISADE'

/** Where a unit tells of no others, all target ports are in one group: through each it is the same. */
export const targetPortGroup = 1

/** A portal group is a target port (RFC 7143 4.4.2). SPC-4 4.2.13 reserves the number 0. */
export function relativePort({ portalGroupTag = 1 }: Nexus): number {
  return Math.max(1, portalGroupTag)
}

export interface Designator {
  readonly codeSet: number
  readonly association: number
  readonly type: number
  readonly value: Buffer
}

/** Those of the unit itself, by which copies name it too. */
export function unitDesignators(facts: UnitFacts): readonly Designator[] {
  assert(facts.naa.length === 16 && facts.naa[0]! >> 4 === 6, 'an NAA 6 identifier has 16 bytes')
  const name = Buffer.from(vendorIdentification + facts.serial, 'latin1')
  return [
    unitRow(CodeSet.BINARY, Type.NAA, facts.naa),
    unitRow(CodeSet.ASCII, Type.T10_VENDOR, name),
  ]
}

export function designators(
  facts: UnitFacts,
  nexus: Nexus,
  portGroup: number = targetPortGroup,
): Buffer {
  const { targetName, portalGroupTag = 1 } = nexus
  const port = relativePort(nexus)
  const tag = portalGroupTag.toString(16).padStart(4, '0')
  const rows: readonly Designator[] = [
    ...unitDesignators(facts),
    {
      codeSet: CodeSet.BINARY,
      association: Association.TARGET_PORT,
      type: Type.RELATIVE_PORT,
      value: Buffer.from([0, 0, port >> 8, port & 0xff]),
    },
    {
      codeSet: CodeSet.BINARY,
      association: Association.TARGET_PORT,
      type: Type.PORT_GROUP,
      value: Buffer.from([0, 0, portGroup >> 8, portGroup & 0xff]),
    },
    nameRow(Association.TARGET_PORT, `${targetName},t,0x${tag}`),
    nameRow(Association.TARGET_DEVICE, targetName),
  ]
  return Buffer.concat(rows.map(encode))
}

function unitRow(codeSet: number, type: number, value: Buffer): Designator {
  return { codeSet, association: Association.LOGICAL_UNIT, type, value }
}

/** A SCSI name string ends in a zero byte and fills whole words. SPC-4 7.8.6.11. */
function nameRow(association: number, name: string): Designator {
  const text = Buffer.from(name, 'utf8')
  const value = Buffer.alloc(Math.ceil((text.length + 1) / 4) * 4)
  text.copy(value)
  return { codeSet: CodeSet.UTF8, association, type: Type.SCSI_NAME, value }
}

/** PIV is 1, and the protocol given, where the designator is of a port or of the device. */
function encode({ codeSet, association, type, value }: Designator): Buffer {
  const ofUnit = association === Association.LOGICAL_UNIT
  const first = (ofUnit ? 0 : iscsiProtocol << 4) | codeSet
  const second = (ofUnit ? 0 : 0x80) | (association << 4) | type
  return Buffer.concat([Buffer.from([first, second, 0, value.length]), value])
}
