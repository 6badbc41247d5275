/**
 * An old copy of the configuration store that was put back: a server that knows better ends its use
 * for good, and no map is changed before the servers of it had their say.
 */
import t from 'tap'
import { manager as limits } from '../../../src/base/limits.ts'
import { ConfigurationStore } from '../../../src/management/configuration-store.ts'
import { RollCall } from '../../../src/management/roll-call.ts'
import { Succession } from '../../../src/management/succession.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { MemoryKeyValue } from '../../support/memory-key-value.ts'
import { quietLog } from '../../support/quiet-log.ts'
import { testMap, testSegment, testUuid } from '../../support/volume-maps.ts'

const server = { serverId: testUuid(1), name: 's1', incarnation: 'i1' }
const order = { term: 1, number: 1 }

async function opened() {
  const keyValue = new MemoryKeyValue()
  const maps = [testMap({ generation: 1, segments: [testSegment(1, 0, 8, [server])] })]
  await ConfigurationStore.fill(keyValue, { term: 3, counter: 7, servers: [], maps })
  const store = await ConfigurationStore.open(keyValue)
  const [map] = store.volumes
  let ended: Error | undefined
  void store.failed.then((error) => {
    ended = error
  })
  const rolled: string[] = []
  const rollCall = { heard: (serverId: string) => rolled.push(serverId) }
  const succession = new Succession({ store, rollCall, log: quietLog })
  const hears = async (volumeId: string, generation: number): Promise<string> => {
    succession.heard(server, [{ ...heldByServer, volumeId, generation }])
    for (let turn = 0; turn < 10; turn++) await null
    return ended?.message ?? ''
  }
  return { hears, map: map!, keyValue, rolled }
}

const heldByServer = {
  name: 'vol',
  incarnations: [],
  serving: true,
  order,
  sessions: 0,
  segments: [],
}

await t.test('a server holds a generation that this store never gave out', async (t) => {
  const { hears, map, keyValue, rolled } = await opened()
  t.equal(await hears(map.volumeId, map.generation), '', 'the same says nothing')
  t.equal(await hears(testUuid(99), map.generation + 5), '', 'nor does a volume of somebody else')
  t.same(rolled, [server.serverId, server.serverId])
  t.match(await hears(map.volumeId, map.generation + 1), /an old copy.*manager rebuild/)
  t.equal(rolled.length, 2, 'nobody who waits for the server goes on')
  await t.rejects(ConfigurationStore.open(keyValue), /an old copy.*manager rebuild/, 'for good')
})

await t.test('those who wait for servers', async (t) => {
  const clock = new ManualClock()
  const rollCall = new RollCall({ clock, isDead: (serverId) => serverId === 'dead' })
  const taken: string[] = []
  const wait = async (...servers: string[]): Promise<void> => {
    await rollCall.taken(servers)
    taken.push(servers.join())
  }
  const waiting = [wait('a', 'b'), wait('dead'), wait('b', 'c')]
  await waiting[1]
  t.same(taken, ['dead'], 'one that is off is not waited for')
  rollCall.heard('a')
  rollCall.heard('b')
  await waiting[0]
  t.same(taken, ['dead', 'a,b'])
  await clock.advance(limits.rollCallMs - 1)
  t.equal(taken.length, 2)
  await clock.advance(1)
  await waiting[2]
  await wait('d')
  t.same(taken, ['dead', 'a,b', 'b,c', 'd'], 'nobody waits for long')
})
