/**
 * Dials several addresses of one server, a little apart, and takes the first that connects. The
 * later ones are closed: a connection on which nothing was sent leaves nothing behind.
 */
import { background } from '../../base/background.ts'
import { StorageError } from '../../base/errors.ts'
import { manager as limits } from '../../base/limits.ts'
import type { Clock } from '../../ports/clock.ts'
import type { ByteStream, Network } from '../../ports/network.ts'

export function dialFirst(
  { network, clock }: { readonly network: Network; readonly clock: Clock },
  addresses: readonly string[],
): Promise<ByteStream> {
  return new Promise((resolve, reject) => {
    let failed = 0
    let won = false
    const causes: string[] = []
    const fail = (error: StorageError): void => {
      causes.push(error.message)
      failed += 1
      if (failed === addresses.length) reject(new StorageError('unreachable', causes.join('; ')))
    }
    const dial = async (address: string): Promise<void> => {
      const stream = await network.dial(address, limits.relayDialMs)
      if (won) {
        stream.destroy()
        return
      }
      won = true
      resolve(stream)
    }
    if (addresses.length === 0) reject(new StorageError('unreachable', 'no address is known'))
    addresses.forEach((address, index) => {
      clock.after(index * limits.relayDialApartMs, () => {
        if (!won) background(dial(address), fail)
      })
    })
  })
}
