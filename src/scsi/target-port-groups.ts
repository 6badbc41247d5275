/**
 * REPORT and SET TARGET PORT GROUPS. SPC-4 6.37, 6.45, 5.15. Where a unit tells of no groups there is
 * one, always active and optimized, which nobody can set; of its ports the one that was asked through
 * is named: a portal group is a port. Where it does, each front end is a group with one port, and an
 * initiator may make active the one that it asks through.
 */
import type { Call, Outcome } from './call.ts'
import { reportTargetPortGroups, setTargetPortGroups } from './cdb-primary.ts'
import {
  allocated,
  type Command,
  command,
  dataIn,
  invalidCdbField,
  invalidParameterField,
} from './command.ts'
import { prefix, totalBytes } from './data-out.ts'
import { relativePort, targetPortGroup } from './designators.ts'
import type { Nexus, PortGroup, PortGroups } from './logical-unit.ts'
import { checkCondition, good, type ScsiResult } from './result.ts'
import { PARAMETER_LIST_LENGTH_ERROR } from './sense.ts'

const Format = { LENGTH_ONLY: 0, EXTENDED: 1 } as const
const AccessState = { OPTIMIZED: 0x0, STANDBY: 0x2 } as const
const optimizedSupported = 0x01
const standbySupported = 0x04
/** Header and one descriptor of SET TARGET PORT GROUPS. */
const setHeaderBytes = 4
const setDescriptorBytes = 4
const listLengthError = checkCondition(PARAMETER_LIST_LENGTH_ERROR)

function groups(
  parameterDataFormat: number,
  nexus: Nexus,
  portGroups: PortGroups | undefined,
): Buffer {
  const header = Buffer.alloc(parameterDataFormat === Format.EXTENDED ? 8 : 4)
  if (parameterDataFormat === Format.EXTENDED) header[4] = Format.EXTENDED << 4
  const alone: PortGroup = {
    group: targetPortGroup,
    ports: [relativePort(nexus)],
    state: 'optimized',
  }
  const supported = optimizedSupported | (portGroups === undefined ? 0 : standbySupported)
  const all = portGroups?.groups(nexus) ?? [alone]
  const data = Buffer.concat([header, ...all.map((one) => descriptor(one, supported))])
  data.writeUInt32BE(data.length - 4, 0)
  return data
}

function descriptor({ group, ports, state }: PortGroup, supported: number): Buffer {
  const data = Buffer.alloc(8 + 4 * ports.length)
  data[0] = state === 'optimized' ? AccessState.OPTIMIZED : AccessState.STANDBY
  data[1] = supported
  data.writeUInt16BE(group, 2)
  data[7] = ports.length
  for (const [index, port] of ports.entries()) data.writeUInt16BE(port, 8 + 4 * index + 2)
  return data
}

/** The others may be named as what they become by it. Nothing else can be asked for. */
function setGroups(call: Call, parameterListLength: number): Promise<Outcome> | ScsiResult {
  if (parameterListLength === 0) return good()
  const bytes = Math.min(parameterListLength, totalBytes(call.dataOut))
  const list = prefix(call.dataOut, bytes) ?? Buffer.alloc(0)
  const isWhole = list.length >= setHeaderBytes + setDescriptorBytes
  if (!isWhole || (list.length - setHeaderBytes) % setDescriptorBytes !== 0) return listLengthError
  const { portGroups } = call.unit
  const known = new Set(portGroups?.groups(call.nexus).map(({ group }) => group))
  let activates = false
  for (let at = setHeaderBytes; at < list.length; at += setDescriptorBytes) {
    const group = list.readUInt16BE(at + 2)
    const isOwn = group === portGroups?.own(call.nexus)
    if (!known.has(group)) return invalidParameterField(at + 2)
    const state = list[at]! & 0x0f
    if (state !== (isOwn ? AccessState.OPTIMIZED : AccessState.STANDBY)) {
      return invalidParameterField(at, 3)
    }
    activates ||= isOwn
  }
  return activates ? call.activatePortGroup() : invalidParameterField(setHeaderBytes)
}

export const targetPortGroupCommands: readonly Command[] = [
  command(reportTargetPortGroups, {
    medium: 'none',
    reservation: 'never',
    inAnyState: true,
    transfer: dataIn,
    check: (_call, { parameterDataFormat }) =>
      parameterDataFormat > Format.EXTENDED ? invalidCdbField(1, 7) : undefined,
    run: (call, { parameterDataFormat, allocationLength }) =>
      allocated(groups(parameterDataFormat, call.nexus, call.unit.portGroups), allocationLength),
  }),
  command(setTargetPortGroups, {
    medium: 'none',
    reservation: 'write',
    when: ({ portGroups }) => portGroups?.settable ?? false,
    transfer: ({ parameterListLength }) => ({ direction: 'out', bytes: parameterListLength }),
    run: (call, { parameterListLength }) => setGroups(call, parameterListLength),
  }),
]
