/**
 * Network addresses as people write them: `HOST:PORT`, with an IPv6 host in brackets. Host names
 * are not resolved here.
 */
import { StorageError } from './errors.ts'

export interface Address {
  /** Without brackets. */
  readonly host: string
  readonly port: number
}

export function parseAddress(text: string): Address {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):([0-9]{1,5})$/.exec(text)
  const host = match?.[1] ?? match?.[2]
  const port = Number(match?.[3])
  if (host === undefined || port > 65535) {
    throw new StorageError('invalid', `"${text}" is not HOST:PORT (port 0 to 65535, [IPv6]:PORT)`)
  }
  return { host, port }
}

export function formatAddress(host: string, port: number): string {
  const plain = host.startsWith('::ffff:') && host.includes('.') ? host.slice(7) : host
  return plain.includes(':') ? `[${plain}]:${port}` : `${plain}:${port}`
}
