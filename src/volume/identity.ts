/**
 * What a SCSI initiator may tell volumes apart by, drawn from the volume's UUID, so that it is the
 * same at every front end and server and for good.
 *
 * Deviation: SPC-4 7.8.6.5 has an assigned OUI after the NAA nibble. No organisation has given us
 * one: the 124 bits there are the UUID's own random ones, without its constant version digit.
 */
import { assert } from '../base/assert.ts'

const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/** The 32 digits of a UUID. */
function digits(uuid: string): string {
  assert(uuidPattern.test(uuid), `"${uuid}" is no UUID`)
  return uuid.replaceAll('-', '')
}

/** NAA IEEE Registered Extended, 16 bytes. SPC-4 7.8.6.6.5. */
export function naaDesignator(uuid: string): Buffer {
  const all = digits(uuid)
  return Buffer.from(`6${all.slice(0, 12)}${all.slice(13)}`, 'hex')
}

/** 20 characters for VPD page 80h: what fits of the UUID. SPC-4 7.8.18. */
export function unitSerial(uuid: string): string {
  return digits(uuid).slice(-20)
}
