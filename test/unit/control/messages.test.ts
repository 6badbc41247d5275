/** Messages survive the wire; numbers that a number cannot hold do not get in or out. */
import { deepStrictEqual } from 'node:assert/strict'
import fc from 'fast-check'
import protobuf from 'protobufjs/light.js'
import t from 'tap'
import {
  createVolumeRequestCodec,
  type RecoveryRequest,
  recoveryRequestCodec,
  statusReplyCodec,
} from '../../../src/control/messages/admin.ts'
import {
  askReplyCodec,
  changeSharedStateRequestCodec,
  watchEventCodec,
} from '../../../src/control/messages/client.ts'
import { volumeMapCodec } from '../../../src/control/messages/map.ts'
import {
  activateRequestCodec,
  closeReplyCodec,
  compareOrders,
  volumeRecordCodec,
} from '../../../src/control/messages/server.ts'
import { reservationTableCodec } from '../../../src/control/messages/shared-state.ts'
import type { ReservationTable } from '../../../src/scsi/reservation-table.ts'
import type { SanitizeRecord } from '../../../src/scsi/sanitize-record.ts'
import type { SharedState } from '../../../src/scsi/unit-settings.ts'
import type { Replica, Segment, VolumeMap } from '../../../src/volume/map.ts'

const uint64 = fc.oneof(
  fc.maxSafeNat(),
  fc.constantFrom(0, 1, 2 ** 31, 2 ** 32, 2 ** 32 + 1, 2 ** 53 - 1),
)
const uint32 = fc.oneof(fc.nat(2 ** 31 - 1), fc.constantFrom(2 ** 31, 2 ** 32 - 1))
const text = fc.string({ unit: 'grapheme' })

const record: typeof fc.record = (model: object, options?: object) =>
  fc.record(model as never, { noNullPrototype: true, ...options } as never) as never

const replica: fc.Arbitrary<Replica> = record({
  serverId: text,
  server: text,
  iqn: text,
  lun: uint32,
  startBlock: uint64,
  portals: fc.array(text),
  state: fc.constantFrom('in-sync', 'syncing', 'behind', 'gone'),
  incarnation: text,
  number: uint32,
})
const segment: fc.Arbitrary<Segment> = record(
  {
    segmentId: text,
    start: uint64,
    blocks: uint64,
    stripe: record({ index: uint32, count: uint32, unitBlocks: uint64 }),
    epoch: uint64,
    replicas: fc.array(replica, { maxLength: 3 }),
  },
  { requiredKeys: ['segmentId', 'start', 'blocks', 'epoch', 'replicas'] },
)
const port = fc.string({ minLength: 1 })
const reservationTable: fc.Arbitrary<ReservationTable> = record({
  generation: uint32,
  registrations: fc.array(record({ initiatorPort: port, key: text })),
  persistent: fc.option(
    record({
      type: fc.integer({ min: 1, max: 8 }),
      holder: fc.option(port, { nil: undefined }),
    }),
    { nil: undefined },
  ),
  reserved: fc.option(port, { nil: undefined }),
  reservedThrough: port,
  persistThroughPowerLoss: fc.boolean(),
  notices: fc.array(
    record({
      number: uint64,
      event: fc.constantFrom(
        'reservations-preempted',
        'reservations-released',
        'registrations-preempted',
      ),
      initiatorPorts: fc.array(port),
      abort: fc.boolean(),
    }),
  ),
})
const sanitize: fc.Arbitrary<SanitizeRecord | undefined> = fc.oneof(
  fc.constant(undefined),
  fc.boolean().map((mayExit) => ({ kind: 'failed', mayExit }) as const),
  record({
    kind: fc.constant('running' as const),
    owner: text,
    overwriting: fc.option(
      record({
        passes: fc.integer({ min: 1, max: 31 }),
        inverts: fc.boolean(),
        pattern: fc.uint8Array({ minLength: 1, maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
      }),
      { nil: undefined },
    ),
    allowUnrestrictedExit: fc.boolean(),
    passesDone: uint32,
    nextLba: uint64,
  }),
)
const sharedState: fc.Arbitrary<SharedState> = record({
  descriptorSense: fc.boolean(),
  softwareWriteProtect: fc.boolean(),
  mediumLoaded: fc.boolean(),
  reservations: reservationTable,
  sanitize,
})
const volumeMap: fc.Arbitrary<VolumeMap> = record({
  volumeId: text,
  name: text,
  iqn: text,
  generation: uint64,
  blockBytes: uint32,
  blocks: uint64,
  segments: fc.array(segment, { maxLength: 4 }),
  admissions: fc.array(record({ client: text, admission: uint64, fenced: fc.boolean() })),
  stalePolicy: fc.constantFrom('reject', 'ignore'),
  holdMs: uint32,
  leaseMs: uint32,
  removable: fc.boolean(),
  readOnly: fc.boolean(),
  activeFrontEnds: fc.array(record({ initiator: text, client: text, number: uint64 })),
  copies: fc.integer({ min: 1, max: 4 }),
  deleted: fc.boolean(),
})
const versioned = record({ version: uint64, changes: fc.array(text), state: sharedState })
const order = record({ term: uint64, number: uint64 })

await t.test('maps, and messages with maps, come back as they were', async (t) => {
  fc.assert(
    fc.property(volumeMap, order, (map, order) => {
      const activate = { order, map }
      const { generation } = map
      const inSync = [{ segmentId: 's', generation }]
      const record = { map, order, closed: order, confirmedGeneration: generation, inSync }
      deepStrictEqual(volumeMapCodec.decode(volumeMapCodec.encode(map)), map)
      deepStrictEqual(activateRequestCodec.decode(activateRequestCodec.encode(activate)), activate)
      deepStrictEqual(volumeRecordCodec.decode(volumeRecordCodec.encode(record)), record)
      deepStrictEqual(askReplyCodec.decode(askReplyCodec.encode({ activate })), { activate })
      deepStrictEqual(watchEventCodec.decode(watchEventCodec.encode({ map })), { map })
    }),
    { numRuns: 60 },
  )
  t.pass('no counterexample')
})

await t.test('what initiators have set comes back as it was', async (t) => {
  fc.assert(
    fc.property(volumeMap, versioned, (map, shared) => {
      const withShared = { ...map, shared }
      deepStrictEqual(volumeMapCodec.decode(volumeMapCodec.encode(withShared)), withShared)
      const { reservations } = shared.state
      const alone = reservationTableCodec.decode(reservationTableCodec.encode(reservations))
      deepStrictEqual(alone, reservations)
      const request = {
        client: 'iqn.x',
        volumeId: map.volumeId,
        change: 'c.1',
        formerVersion: shared.version,
        state: shared.state,
        takesAway: true,
      }
      const bytes = changeSharedStateRequestCodec.encode(request)
      deepStrictEqual(changeSharedStateRequestCodec.decode(bytes), request)
    }),
    { numRuns: 60 },
  )
  t.pass('no counterexample')
})

await t.test('absent is absent, and default values are there', async (t) => {
  t.strictSame(askReplyCodec.decode(askReplyCodec.encode({ wait: true })), { wait: true })
  t.strictSame(askReplyCodec.decode(Buffer.alloc(0)), {})
  t.strictSame(watchEventCodec.decode(watchEventCodec.encode({ gone: 'x' })), { gone: 'x' })
  t.strictSame(closeReplyCodec.decode(Buffer.alloc(0)), {
    generation: 0,
    leaseLeftMs: 0,
    drainedMs: 0,
    sessions: 0,
    segments: [],
    incarnations: [],
  })
  const create = {
    name: 'vm1',
    sizeBytes: 2 ** 50,
    stripe: 3,
    partitions: [{ server: 's1', sizeBytes: 5, others: ['s2'] }],
    stalePolicy: 'ignore',
    holdMs: 0,
    leaseMs: 2000,
    blockBytes: 4096,
    stripeUnitBytes: 65536,
    removable: true,
    readOnly: false,
    mirror: 2,
  } as const
  t.strictSame(createVolumeRequestCodec.decode(createVolumeRequestCodec.encode(create)), create)
  t.equal(volumeMapCodec.decode(Buffer.alloc(0)).copies, 1, 'a map from before there were copies')
  const asked = (request: RecoveryRequest) =>
    recoveryRequestCodec.decode(recoveryRequestCodec.encode(request))
  t.strictSame(asked({}), {}, 'nothing is set')
  t.strictSame(asked({ bytesPerSecond: 0 }), { bytesPerSecond: 0 }, 'the limit is lifted')
  const status = statusReplyCodec.decode(Buffer.alloc(0))
  t.strictSame(status.servers, [])
  t.equal(status.shutOut, undefined, 'a sub-message that was not sent')
})

await t.test('numbers', async (t) => {
  const reply = (generation: number) => ({
    generation,
    leaseLeftMs: 0,
    drainedMs: 0,
    sessions: 0,
    segments: [],
    incarnations: [],
  })
  t.equal(
    closeReplyCodec.decode(closeReplyCodec.encode(reply(2 ** 53 - 1))).generation,
    2 ** 53 - 1,
  )
  t.throws(() => closeReplyCodec.encode(reply(2 ** 53)), { name: 'InvariantError' })
  t.throws(() => closeReplyCodec.encode(reply(1n as unknown as number)), /bigint/)
  for (const value of [2n ** 53n, 2n ** 53n + 1n, 2n ** 63n, 2n ** 64n - 1n]) {
    const bytes = protobuf.Writer.create().uint32(8).uint64(value.toString()).finish()
    t.throws(() => closeReplyCodec.decode(bytes), { code: 'invalid', message: /generation/ })
  }
})

await t.test('bytes that are no message', async (t) => {
  const map = volumeMapCodec.encode({
    volumeId: 'v',
    name: 'n',
    iqn: 'i',
    generation: 1,
    blockBytes: 512,
    blocks: 8,
    segments: [],
    admissions: [],
    activeFrontEnds: [],
    copies: 1,
    stalePolicy: 'reject',
    holdMs: 0,
    leaseMs: 0,
    removable: false,
    readOnly: false,
    deleted: false,
  })
  t.throws(() => volumeMapCodec.decode(map.subarray(0, map.length - 1)), { code: 'invalid' })
  t.throws(() => volumeMapCodec.decode(Buffer.from([0xff, 0xff])), { code: 'invalid' })
  const unknownPolicy = Buffer.concat([map, Buffer.from([9 << 3, 77])])
  t.throws(() => volumeMapCodec.decode(unknownPolicy), /not known/, 'an enum of a later version')
})

await t.test('orders', async (t) => {
  t.ok(compareOrders({ term: 1, number: 9 }, { term: 2, number: 1 }) < 0)
  t.ok(compareOrders({ term: 2, number: 2 }, { term: 2, number: 1 }) > 0)
  t.equal(compareOrders({ term: 2, number: 2 }, { term: 2, number: 2 }), 0)
})
