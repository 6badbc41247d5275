/** `HOST:PORT` on the command line: the rule of base/address.ts with the option named in the error. */
import { formatAddress, parseAddress } from '../base/address.ts'
import { StorageError, toError } from '../base/errors.ts'

/** The address in its one form, or StorageError `invalid` naming `field`. */
export function parseAddressOption(text: string, field: string): string {
  try {
    const { host, port } = parseAddress(text)
    return formatAddress(host, port)
  } catch (thrown) {
    throw new StorageError('invalid', `${field}: ${toError(thrown).message}`)
  }
}
