/** Every PDU by its opcode: for logs, for tests, and to see at load that no opcode is used twice. */
import { assert } from '../../base/assert.ts'
import type { Fields, Layout } from '../../wire/layout.ts'
import { asyncMessage } from './async-message.ts'
import { dataIn } from './data-in.ts'
import { dataOut } from './data-out.ts'
import { loginRequest } from './login-request.ts'
import { loginResponse } from './login-response.ts'
import { logoutRequest } from './logout-request.ts'
import { logoutResponse } from './logout-response.ts'
import { nopIn } from './nop-in.ts'
import { nopOut } from './nop-out.ts'
import { readyToTransfer } from './ready-to-transfer.ts'
import { reject } from './reject.ts'
import { scsiCommand } from './scsi-command.ts'
import { scsiResponse } from './scsi-response.ts'
import { snackRequest } from './snack-request.ts'
import { taskManagementRequest } from './task-management-request.ts'
import { taskManagementResponse } from './task-management-response.ts'
import { textRequest } from './text-request.ts'
import { textResponse } from './text-response.ts'

export const pdus = [
  nopOut,
  scsiCommand,
  taskManagementRequest,
  loginRequest,
  textRequest,
  dataOut,
  logoutRequest,
  snackRequest,
  nopIn,
  scsiResponse,
  taskManagementResponse,
  loginResponse,
  textResponse,
  dataIn,
  logoutResponse,
  readyToTransfer,
  asyncMessage,
  reject,
] as const

const describers = new Map<number, (header: Buffer) => string>()

function register<F extends Fields>(opcode: number, table: Layout<F>): void {
  assert(!describers.has(opcode), `${table.name}: opcode ${opcode} is used twice`)
  describers.set(opcode, (header) => table.describe(table.decode(header)))
}

for (const table of pdus) register<Fields>(table.opcode, table as unknown as Layout<Fields>)

/** One line about a header of 48 bytes, for logs. */
export function describeHeader(header: Buffer): string {
  const opcode = header[0]! & 0x3f
  return describers.get(opcode)?.(header) ?? `PDU with unknown opcode ${opcode}`
}
