/** Keys of the configuration store. The only place that builds one. */

export const termKey = 'term'
export const counterKey = 'counter'
/** Why the store is never to be used again. */
export const condemnedKey = 'condemned'

export const recoveryKey = 'recovery'

export const volumePrefix = 'volume/'
export const deletedPrefix = 'deleted/'
export const serverPrefix = 'server/'
export const fencePrefix = 'fence/'

export function volumeKey(volumeId: string): string {
  return volumePrefix + volumeId
}

/** What stays of a volume whose servers have all freed it. */
export function deletedKey(volumeId: string): string {
  return deletedPrefix + volumeId
}

export function deletedFromKey(key: string): string {
  return key.slice(deletedPrefix.length)
}

export function serverKey(serverId: string): string {
  return serverPrefix + serverId
}

/** One pending fence per volume: its change holds back the others of that volume. */
export function fenceKey(volumeId: string): string {
  return fencePrefix + volumeId
}
