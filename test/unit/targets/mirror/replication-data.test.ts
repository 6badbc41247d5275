/** What servers send one another beside SCSI's own: it goes over whole, and lies are found out. */
import t, { type Test } from 'tap'
import { mirror as limits } from '../../../../src/base/limits.ts'
import type { MaskSet } from '../../../../targets/mirror/mask-set.ts'
import {
  clearBytes,
  decodeClearing,
  decodeHeartbeat,
  decodeMasks,
  encodeClearing,
  encodeHeartbeat,
  encodeMasks,
  heartbeatBytes,
  maskBytes,
  masksBytes,
} from '../../../../targets/mirror/replication-data.ts'
import { seededRandom } from '../../../support/seeded-random.ts'
import { testUuid } from '../../../support/volume-maps.ts'

const largest = Number.MAX_SAFE_INTEGER
const ids = [testUuid(1), testUuid(2), testUuid(3)]

/** No cut, no addition and no flipped bit makes it anything but well formed or refused. */
function hostile(t: Test, good: Buffer, decode: (bytes: Buffer) => unknown): void {
  for (let length = 0; length < good.length; length++) {
    t.equal(decode(good.subarray(0, length)), undefined, `cut to ${length}`)
  }
  t.equal(decode(Buffer.concat([good, Buffer.alloc(1)])), undefined, 'longer')
  for (let bit = 0; bit < good.length * 8; bit++) {
    const bytes = Buffer.from(good)
    bytes[bit >> 3]! ^= 1 << (bit & 7)
    t.doesNotThrow(() => decode(bytes))
  }
  const random = seededRandom(5)
  for (let round = 0; round < 500; round++) {
    const bytes = random.bytes(random.below(200))
    t.doesNotThrow(() => decode(bytes))
  }
}

t.test('heartbeats', async (t) => {
  const confirmed = [
    { number: 0, generation: 1 },
    { number: 7, generation: largest },
    { number: limits.replicasOnServer, generation: 0 },
  ]
  const beat = { incarnation: testUuid(9), confirmed, more: true }
  t.strictSame(decodeHeartbeat(encodeHeartbeat(beat)), beat)
  const none = { incarnation: '', confirmed: [], more: false }
  t.strictSame(decodeHeartbeat(encodeHeartbeat(none)), none)
  t.equal(decodeHeartbeat(encodeHeartbeat({ ...none, more: true })), undefined, 'more of nothing')
  const falling = { ...beat, confirmed: [...confirmed].reverse() }
  t.equal(decodeHeartbeat(encodeHeartbeat(falling)), undefined, 'numbers that do not grow')
  const beyond = { ...beat, confirmed: [{ number: limits.replicasOnServer + 1, generation: 1 }] }
  t.equal(decodeHeartbeat(encodeHeartbeat(beyond)), undefined)
  const wide = encodeHeartbeat(beat)
  wide.writeBigUInt64BE(2n ** 53n, 72 + 4)
  t.equal(decodeHeartbeat(wide), undefined, 'no generation is so large')
  const many = Array.from({ length: limits.heartbeatEntries }, (_, number) => {
    return { number, generation: largest }
  })
  t.equal(encodeHeartbeat({ ...beat, confirmed: many }).length, heartbeatBytes)
  hostile(t, encodeHeartbeat(beat), decodeHeartbeat)
})

t.test('masks', async (t) => {
  const blocks = 41 * 1024
  const bytes = maskBytes(blocks, 4096)
  t.equal(bytes, 6, '41 regions')
  const random = seededRandom(6)
  const lacks = ids.map((serverId, i) => {
    return { serverId, label: i === 0 ? largest : i, regions: random.bytes(bytes) }
  })
  const masks: MaskSet = { inSync: random.bytes(bytes), lacks, inSyncGeneration: 77 }
  const encoded = encodeMasks(masks)
  t.strictSame(decodeMasks(encoded, bytes), masks)
  t.equal(decodeMasks(encoded, bytes - 1), undefined, 'longer masks than the replica has regions')
  t.ok(encoded.length <= masksBytes(blocks, 4096))
  const empty = { inSync: Buffer.alloc(0), lacks: [], inSyncGeneration: 0 }
  t.strictSame(decodeMasks(encodeMasks(empty), bytes), empty)
  const upper = { ...masks, lacks: [{ ...lacks[0]!, serverId: 'X'.repeat(36) }] }
  t.equal(decodeMasks(encodeMasks(upper), bytes), undefined)
  const crowd = Array.from({ length: limits.lackingReplicas + 1 }, () => lacks[0]!)
  t.equal(decodeMasks(encodeMasks({ ...masks, lacks: crowd }), bytes), undefined)
  hostile(t, encoded, (given) => decodeMasks(given, bytes))
})

t.test('clearings', async (t) => {
  const clearing = { regions: [0, 5, 99], of: { inSync: true, lacks: ids } }
  const encoded = encodeClearing(clearing)
  t.strictSame(decodeClearing(encoded, 100), clearing)
  t.equal(decodeClearing(encoded, 99), undefined, 'a region beyond the replica')
  const regions = Array.from({ length: limits.clearedRegions }, (_, i) => i)
  const lacks = Array.from({ length: limits.lackingReplicas }, () => ids[0]!)
  const full = encodeClearing({ regions, of: { inSync: false, lacks } })
  t.equal(full.length, clearBytes)
  t.ok(decodeClearing(full, 1e6))
  const more = encodeClearing({ regions: [...regions, 0], of: { inSync: false, lacks: [] } })
  t.equal(decodeClearing(more, 1e6), undefined)
  hostile(t, encoded, (given) => decodeClearing(given, 100))
})
