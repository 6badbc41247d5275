/**
 * REPORT TARGET PORT GROUPS. SPC-4 6.37, 5.11. There is one group, always active and optimized, which
 * nobody can set. Of its ports the one that was asked through is named: a portal group is a port, and
 * what other groups there are is the portals' business.
 */
import { reportTargetPortGroups } from './cdb-primary.ts'
import { allocated, type Command, command, dataIn, invalidCdbField } from './command.ts'
import { relativePort, targetPortGroup } from './designators.ts'
import type { Nexus } from './logical-unit.ts'

const Format = { LENGTH_ONLY: 0, EXTENDED: 1 } as const
const activeOptimized = 0x00
const activeOptimizedSupported = 0x01

function groups(parameterDataFormat: number, nexus: Nexus): Buffer {
  const header = Buffer.alloc(parameterDataFormat === Format.EXTENDED ? 8 : 4)
  if (parameterDataFormat === Format.EXTENDED) header[4] = Format.EXTENDED << 4
  const group = Buffer.alloc(12)
  group[0] = activeOptimized
  group[1] = activeOptimizedSupported
  group.writeUInt16BE(targetPortGroup, 2)
  group[7] = 1
  group.writeUInt16BE(relativePort(nexus), 10)
  const data = Buffer.concat([header, group])
  data.writeUInt32BE(data.length - 4, 0)
  return data
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
      allocated(groups(parameterDataFormat, call.nexus), allocationLength),
  }),
]
