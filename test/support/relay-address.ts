/** Where, on the same machine and port, the relay to an address of a storage server listens. */
export function relayAddress(address: string): string {
  return address.replace(/^127\.0\.0\.1:/, '127.0.0.2:')
}
