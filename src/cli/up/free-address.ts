/**
 * Addresses on loopback for the processes of one machine. They are kept over restarts, so they are
 * drawn below the range from which the kernel takes ports for outgoing connections: otherwise
 * somebody's connection could sit on a port that a restarted process needs.
 */
import { randomInt } from 'node:crypto'
import { createServer } from 'node:net'
import { formatAddress, parseAddress } from '../../base/address.ts'
import { StorageError } from '../../base/errors.ts'

const portRange = [15_000, 32_700] as const
const mostTries = 200

/** A source of free addresses that never answers the same one twice. */
export function freeAddresses(taken: readonly string[]): () => Promise<string> {
  const used = new Set(taken)
  return async () => {
    for (let tries = 0; tries < mostTries; tries++) {
      const address = formatAddress('127.0.0.1', randomInt(...portRange))
      if (used.has(address) || (await whyNotFree(address)) !== undefined) continue
      used.add(address)
      return address
    }
    throw new StorageError('address-in-use', `no free port among ${portRange.join(' to ')}`)
  }
}

/** Why nothing can listen there now, as the system says it; undefined where it can. */
export function whyNotFree(address: string): Promise<string | undefined> {
  const { host, port } = parseAddress(address)
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(undefined)))
  })
}
