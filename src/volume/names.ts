/** Names and iSCSI qualified names (RFC 7143 4.2.7) of volumes, servers and clients. */

const authority = 'iqn.2026-11.io.palisade'
const namePattern = /^[a-z0-9][a-z0-9-]{0,62}$/

export const namePatternText = '1 to 63 of a-z, 0-9 and -, not beginning with -'

export function isName(text: string): boolean {
  return namePattern.test(text)
}

/** Target name of a volume at a front end. */
export function volumeIqn(volume: string): string {
  return `${authority}:${volume}`
}

/** Target name of one server's share of a volume. */
export function serverVolumeIqn(server: string, volume: string): string {
  return `${authority}:${server}:${volume}`
}

/** Target name under which a server takes what other servers replicate to it. */
export function replicationIqn(server: string): string {
  // A dot is in no name, so it is no volume's and no server's share of one.
  return `${authority}:${server}.replication`
}

/** InitiatorName of one of our own programs; its identity until clients authenticate. */
export function clientIqn(uuid: string): string {
  return `${authority}:client:${uuid}`
}
