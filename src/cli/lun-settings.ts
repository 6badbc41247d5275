/**
 * What initiators set on a standalone LUN: in memory, and its persistent reservations with APTPL in a
 * small file beside the data, from where they come back at the next start. SPC-4 5.12.5.
 */
import { join } from 'node:path'
import { SmallFile } from '../adapters/small-file.ts'
import { StorageError, toError } from '../base/errors.ts'
import { reservationTableCodec } from '../control/messages/shared-state.ts'
import type { Log } from '../ports/log.ts'
import { defaultSharedState, MemoryUnitSettings } from '../scsi/memory-unit-settings.ts'
import { type ReservationTable, survivingPowerLoss } from '../scsi/reservation-table.ts'
import type { LunSpec } from './lun-option.ts'

export async function openLunSettings(spec: LunSpec, log: Log): Promise<MemoryUnitSettings> {
  const { path, thin } = spec
  const name = thin ? join(path, 'reservations') : `${path}.palisade-reservations`
  const file = new SmallFile(name)
  const reservations = await read(file)
  return new MemoryUnitSettings({
    initial: { ...defaultSharedState, ...(reservations === undefined ? {} : { reservations }) },
    persist: (former, next) => persist(file, former.reservations, next.reservations, log),
  })
}

/** What cannot be read is not passed over: who is shut out by it could come in. */
async function read(file: SmallFile): Promise<ReservationTable | undefined> {
  const content = await file.read()
  if (content === undefined) return undefined
  try {
    return survivingPowerLoss(reservationTableCodec.decode(content))
  } catch (error) {
    const advice = 'remove the file to give up the reservations that it holds'
    throw new StorageError('not-a-store', `${file.path} is damaged: ${advice}`, error)
  }
}

/** Undefined where nothing has to be made durable. */
function persist(
  file: SmallFile,
  former: ReservationTable,
  next: ReservationTable,
  log: Log,
): Promise<boolean> | undefined {
  const before = encode(former)
  const after = encode(next)
  if (before === undefined ? after === undefined : after?.equals(before)) return undefined
  const done = after === undefined ? file.remove() : file.replace(after)
  return done.then(
    () => true,
    (thrown: unknown) => {
      log.error('reservations could not be kept', { file: file.path, error: toError(thrown) })
      return false
    },
  )
}

function encode(table: ReservationTable): Buffer | undefined {
  const surviving = survivingPowerLoss(table)
  return surviving && reservationTableCodec.encode(surviving)
}
