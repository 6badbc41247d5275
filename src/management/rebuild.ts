/**
 * A configuration store that was lost, made anew from what the storage servers keep: each has the
 * whole record of every volume that it holds something of. Of a volume the newest map is the one
 * that counts, and it is known to be the newest only when every server that it names has answered,
 * or an operator vouches that a server is lost for good. The counter starts at the next multiple of
 * 2^32 above everything seen, so no generation is ever used twice. Design, section 4.
 *
 * What no server keeps is gone: failure domains, settings of recovery, fences that were pending.
 */
import { StorageError } from '../base/errors.ts'
import { manager as limits } from '../base/limits.ts'
import type { RecordsReply, ServerFacts, ServerRecord } from '../control/messages/server.ts'
import { storageServerClient } from '../control/services.ts'
import type { KeyValue } from '../ports/key-value.ts'
import type { RpcNetwork } from '../ports/rpc.ts'
import type { VolumeMap } from '../volume/map.ts'
import { ConfigurationStore, type StoreContent } from './configuration-store.ts'

/** What one server answered. */
export interface ServerAnswer {
  readonly facts: ServerFacts
  readonly records: RecordsReply
}

export interface RebuildOptions {
  /** Where servers take a manager's calls. */
  readonly servers: readonly string[]
  /** Names of servers that an operator declares lost for good. */
  readonly lost: readonly string[]
}

const counterStep = 2 ** 32

/** Asks the servers and fills the store, which must be empty. It owns `keyValue` from now on. */
export async function rebuild(
  ports: { readonly keyValue: KeyValue; readonly rpc: RpcNetwork },
  { servers, lost }: RebuildOptions,
): Promise<StoreContent> {
  const { keyValue, rpc } = ports
  try {
    await ConfigurationStore.mustBeEmpty(keyValue)
    const answers = await Promise.all(servers.map((address) => ask(rpc, address)))
    const rebuilt = rebuiltFrom(answers, lost)
    await ConfigurationStore.fill(keyValue, rebuilt)
    return rebuilt
  } finally {
    await keyValue.close()
  }
}

async function ask(rpc: RpcNetwork, address: string): Promise<ServerAnswer> {
  const channel = rpc.channel(address)
  try {
    const client = storageServerClient(channel)
    const { server } = await client.describe({}, limits.rebuildDeadlineMs)
    return { facts: server, records: await client.records({}, limits.rebuildDeadlineMs) }
  } catch (error) {
    if (!(error instanceof StorageError)) throw error
    const why = `no storage server answers at ${address}: ${error.message}`
    throw new StorageError(error.code, `server: ${why}`, error)
  } finally {
    channel.close()
  }
}

/**
 * Throws where the newest map of some volume is not known. Pure. Every map will get a new generation,
 * so that clients which saw one that no server took go on as well.
 */
export function rebuiltFrom(
  answers: readonly ServerAnswer[],
  lost: readonly string[],
): StoreContent {
  const byId = new Map(answers.map((answer) => [answer.facts.serverId, answer]))
  const held = answers.flatMap(({ records }) => records.records)
  const maps = newestMaps(held.map(({ map }) => map))
  const named = maps.flatMap((map) => {
    const replicas = map.segments.flatMap((each) => each.replicas)
    return replicas.map(({ serverId, server }) => ({ serverId, server, map }))
  })
  const away = named.filter(({ serverId }) => !byId.has(serverId))
  mustBeLost(away, lost)
  for (const name of lost) {
    if (answers.some(({ facts }) => facts.name === name)) {
      throw new StorageError('conflict', `lost: server ${name} has answered, so it is not lost`)
    }
  }
  const terms = answers.flatMap(({ records }) => [
    records.term,
    ...records.records.map(({ order }) => order.term),
  ])
  const generations = held.map(({ map }) => map.generation)
  const highest = Math.max(0, ...generations)
  const gone = new Map(away.map(({ serverId, server }) => [serverId, server]))
  return {
    term: Math.max(0, ...terms),
    counter: (Math.floor(highest / counterStep) + 1) * counterStep,
    servers: [
      ...answers.map(({ facts }) => recordOf(facts)),
      ...[...gone].map(([serverId, name]) => lostRecord(serverId, name)),
    ],
    maps,
  }
}

function newestMaps(maps: readonly VolumeMap[]): VolumeMap[] {
  const newest = new Map<string, VolumeMap>()
  for (const map of maps) {
    const known = newest.get(map.volumeId)
    if (known === undefined || known.generation < map.generation) newest.set(map.volumeId, map)
  }
  return [...newest.values()].sort((a, b) => a.generation - b.generation)
}

interface Away {
  readonly serverId: string
  readonly server: string
  readonly map: VolumeMap
}

/** One of them could hold a newer map, under which another server is the primary. */
function mustBeLost(away: readonly Away[], lost: readonly string[]): void {
  const unknown = away.filter(({ server }) => !lost.includes(server))
  if (unknown.length === 0) return
  const servers = [...new Set(unknown.map(({ server }) => server))].join(', ')
  const volumes = [...new Set(unknown.map(({ map }) => map.name))].join(', ')
  const advice = 'start them and name them with --server, or vouch with --lost that they are gone'
  throw new StorageError(
    'conflict',
    `the newest state of ${volumes} may be on ${servers}, not asked: ${advice}`,
  )
}

function recordOf(facts: ServerFacts): ServerRecord {
  const { serverId, name, portals, control, capacityBytes, storeIncarnation } = facts
  const known = { serverId, name, portals, control, capacityBytes, storeIncarnation }
  return { ...known, declaredDead: false, domain: '' }
}

function lostRecord(serverId: string, name: string): ServerRecord {
  const nowhere = { portals: [], control: '', capacityBytes: 0, storeIncarnation: '' }
  return { serverId, name, ...nowhere, declaredDead: true, domain: '' }
}
