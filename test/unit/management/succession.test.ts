/** An old copy of the configuration store that was put back: a server that knows better ends its use. */
import t from 'tap'
import { ConfigurationStore } from '../../../src/management/configuration-store.ts'
import { Succession } from '../../../src/management/succession.ts'
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
  const hears = async (volumeId: string, generation: number): Promise<string> => {
    const held = { ...heldByServer, volumeId, generation }
    new Succession({ store, log: quietLog }).heard([held])
    for (let turn = 0; turn < 10; turn++) await null
    return ended?.message ?? ''
  }
  return { hears, map: map! }
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
  const { hears, map } = await opened()
  t.equal(await hears(map.volumeId, map.generation), '', 'the same says nothing')
  t.equal(await hears(testUuid(99), map.generation + 5), '', 'nor does a volume of somebody else')
  t.match(await hears(map.volumeId, map.generation + 1), /an old copy.*manager rebuild/)
})
