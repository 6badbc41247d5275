/**
 * The management path over a network in memory: discovery answered here, normal logins relayed to
 * the storage server that holds the target, byte for byte.
 */
import t, { type Test } from 'tap'
import { ManagementPath } from '../../../src/management/management-path/management-path.ts'
import { addressesOf } from '../../../src/management/management-path/targets.ts'
import type { ByteStream } from '../../../src/ports/network.ts'
import { ManualClock, settle } from '../../support/manual-clock.ts'
import { MemoryNetwork } from '../../support/memory-network.ts'
import { quietLog } from '../../support/quiet-log.ts'

const target = 'iqn.2026-11.io.palisade:s1:v'

/** A Login Request by hand: BHS of RFC 7143 11.12, then the text, padded. */
function login(keys: Record<string, string>, flags = 0x87): Buffer {
  const text = Object.entries(keys).map(([key, value]) => `${key}=${value}\0`)
  const data = Buffer.from(text.join(''))
  const header = Buffer.alloc(48)
  header[0] = 0x43
  header[1] = flags
  header.writeUIntBE(data.length, 5, 3)
  header.writeUInt32BE(0x11223344, 16)
  header.writeUInt32BE(7, 24)
  return Buffer.concat([header, data, Buffer.alloc(-data.length & 3)])
}

interface End {
  readonly stream: ByteStream
  received: Buffer
  ended: { cause: Error | undefined } | undefined
}

function collect(stream: ByteStream): End {
  const end: End = { stream, received: Buffer.alloc(0), ended: undefined }
  stream.receive({
    data: (chunk) => {
      end.received = Buffer.concat([end.received, chunk])
    },
    ended: (cause) => {
      end.ended = { cause }
    },
  })
  return end
}

async function rig(t: Test, options: { chunkBytes?: number; addresses?: string[] } = {}) {
  const network = new MemoryNetwork(options)
  const clock = new ManualClock()
  const servers: ByteStream[] = []
  await network.listen('server:1', (stream) => servers.push(stream))
  const path = new ManagementPath({
    network,
    clock,
    log: quietLog,
    targetNames: () => [target, 'iqn.2026-11.io.palisade:s2:v'],
    addressesOf: (name) => (name === target ? (options.addresses ?? ['server:1']) : undefined),
  })
  const address = await path.listen('manager:0')
  t.teardown(async () => {
    const closed = path.close()
    await clock.advance(1)
    await closed
  })
  const dial = async (): Promise<End> => collect(await network.dial(address))
  return { network, clock, servers, path, dial }
}

/** Lets the streams carry what they hold. */
async function flow(): Promise<void> {
  for (let i = 0; i < 50; i += 1) await settle()
}

await t.test('a normal login is relayed as it came, also in crumbs', async (t) => {
  for (const chunkBytes of [1, 7, 48, 100_000]) {
    const { clock, servers, path, dial } = await rig(t, { chunkBytes })
    const near = await dial()
    const first = login({ InitiatorName: 'iqn.x', TargetName: target, SessionType: 'Normal' })
    near.stream.write([first, Buffer.from('and what follows at once')])
    while (servers.length === 0) await clock.advance(1)
    const far = collect(servers[0]!)
    await flow()
    const all = first.length + 24
    while (far.received.length < all) await settle()
    t.ok(far.received.subarray(0, first.length).equals(first), `in pieces of ${chunkBytes}`)
    t.equal(far.received.subarray(first.length).toString(), 'and what follows at once')
    far.stream.write([Buffer.from('answer')])
    while (near.received.length < 6) await settle()
    t.equal(near.received.toString(), 'answer')
    t.strictSame(path.relayed, { now: 1, total: 1 })
    near.stream.close()
    while (far.ended === undefined || near.ended === undefined) await settle()
    t.equal(far.ended.cause, undefined, 'an orderly end on both sides')
    t.strictSame(path.relayed, { now: 0, total: 1 })
  }
})

await t.test('what breaks on one side breaks the other', async (t) => {
  const { clock, servers, path, dial } = await rig(t)
  const near = await dial()
  near.stream.write([login({ TargetName: target })])
  while (servers.length === 0) await clock.advance(1)
  const far = collect(servers[0]!)
  await flow()
  far.stream.destroy()
  while (near.ended === undefined) await settle()
  await flow()
  t.strictSame(path.relayed, { now: 0, total: 1 })
  t.ok(far.ended)
})

await t.test('a side that does not read holds the other back', async (t) => {
  const { clock, servers, dial } = await rig(t)
  const near = await dial()
  near.stream.write([login({ TargetName: target })])
  while (servers.length === 0) await clock.advance(1)
  const far = collect(servers[0]!)
  await flow()
  far.stream.pause()
  const piece = Buffer.alloc(256 * 1024, 5)
  let sent = 0
  let isFull = false
  for (let i = 0; i < 400 && !isFull; i += 1) {
    sent += piece.length
    isFull = !near.stream.write([piece])
    await settle()
  }
  t.ok(isFull, 'the sender is made to wait')
  t.ok(sent < 8 * 1024 * 1024, `after ${sent} bytes`)
  const before = login({ TargetName: target }).length
  far.stream.resume()
  while (far.received.length < before + sent) await settle()
  t.equal(far.received.length, before + sent, 'and nothing is lost')
})

await t.test('refusals', async (t) => {
  const status = (end: End) => end.received.readUInt16BE(36)
  const { dial } = await rig(t)
  const unknown = await dial()
  unknown.stream.write([login({ TargetName: 'iqn.2026-11.io.palisade:s1:other' })])
  while (unknown.ended === undefined) await settle()
  t.equal(unknown.received.length, 48)
  t.equal(unknown.received[0], 0x23, 'a Login Response')
  t.equal(status(unknown), 0x0203)
  t.equal(unknown.received.readUInt32BE(16), 0x11223344, 'of this login')

  const lost = await rig(t, { addresses: ['nobody:1', 'nobody:2'] })
  const unreachable = await lost.dial()
  unreachable.stream.write([login({ TargetName: target })])
  await lost.clock.advance(500)
  while (unreachable.ended === undefined) await settle()
  t.equal(status(unreachable), 0x0301)

  for (const bytes of [Buffer.alloc(48, 0x01), login({ TargetName: 'x'.repeat(9000) })]) {
    const hostile = await dial()
    hostile.stream.write([bytes])
    while (hostile.ended === undefined) await settle()
    t.equal(hostile.received.length, 0, 'no login: no answer')
  }
})

await t.test('a connection that says nothing is not kept', async (t) => {
  const { clock, dial } = await rig(t)
  const silent = await dial()
  silent.stream.write([login({ TargetName: target }).subarray(0, 30)])
  await clock.advance(4_900)
  t.equal(silent.ended, undefined)
  await clock.advance(200)
  await flow()
  t.ok(silent.ended)
})

await t.test('another address of the server is tried', async (t) => {
  const { clock, servers, dial } = await rig(t, { addresses: ['nobody:1', 'server:1'] })
  const near = await dial()
  near.stream.write([login({ TargetName: target })])
  await clock.advance(300)
  t.equal(servers.length, 1)
})

await t.test('where a server is dialled', async (t) => {
  const server = {
    serverId: 'i',
    name: 's',
    capacityBytes: 0,
    freeBytes: 0,
    processId: '',
    version: '',
    storeIncarnation: '',
  }
  const at = (control: string, portals: string[], listens?: string[]) =>
    addressesOf({ ...server, control, portals, listens })
  t.strictSame(at('10.0.0.1:1', ['10.0.0.1:3260']), ['10.0.0.1:3260'])
  t.strictSame(at('127.0.0.1:1', ['127.0.0.1:9'], ['127.0.0.1:8']), ['127.0.0.1:8', '127.0.0.1:9'])
  t.strictSame(
    at('10.0.0.1:1', ['192.0.2.1:3260'], ['0.0.0.0:3260', '127.0.0.1:3260']),
    ['10.0.0.1:3260', '192.0.2.1:3260'],
    'a wildcard is completed, a loopback address of another machine is of no use',
  )
  t.strictSame(at('[fd00::1]:1', [], ['[::]:3260']), ['[fd00::1]:3260'])
})
