/** What every Network must do, whether real or simulated. */
import type { Test } from 'tap'
import { network as limits } from '../../src/base/limits.ts'
import type { ByteStream, Network } from '../../src/ports/network.ts'

/** `address` may be listened on; its port is 0. */
export async function networkSuite(t: Test, network: Network, address: string): Promise<void> {
  await t.test('addresses', (t) => addresses(t, network, address))
  await t.test('bytes in order, both ways', (t) => inOrder(t, network, address))
  await t.test('close sends the rest', (t) => closing(t, network, address))
  await t.test('destroy ends at once', (t) => destroying(t, network, address))
  await t.test('a reader that pauses is felt', (t) => backPressure(t, network, address))
  await t.test('tells when buffers have left', (t) => leaving(t, network, address))
  await t.test('nothing is read before there is a receiver', (t) => late(t, network, address))
}

/** Collects what comes. */
class Reader {
  readonly chunks: Buffer[] = []
  readonly copies: Buffer[] = []
  readonly ends: (Error | undefined)[] = []
  readonly ended: Promise<void>
  #wanted: { bytes: number; resolve: () => void } | undefined
  #end: () => void = () => undefined

  constructor(stream: ByteStream) {
    this.ended = new Promise((resolve) => {
      this.#end = resolve
    })
    stream.receive({
      data: (chunk) => {
        this.chunks.push(chunk)
        this.copies.push(Buffer.from(chunk))
        if (this.#wanted !== undefined && this.bytes >= this.#wanted.bytes) this.#wanted.resolve()
      },
      ended: (cause) => {
        this.ends.push(cause)
        this.#end()
      },
    })
  }

  get bytes(): number {
    return this.chunks.reduce((sum, chunk) => sum + chunk.length, 0)
  }

  until(bytes: number): Promise<void> {
    if (this.bytes >= bytes) return Promise.resolve()
    return new Promise((resolve) => {
      this.#wanted = { bytes, resolve }
    })
  }
}

interface Pair {
  readonly near: ByteStream
  readonly far: ByteStream
  readonly address: string
}

async function connected(t: Test, network: Network, address: string): Promise<Pair> {
  let accept: (stream: ByteStream) => void = () => undefined
  const accepted = new Promise<ByteStream>((resolve) => {
    accept = resolve
  })
  const listener = await network.listen(address, (stream) => accept(stream))
  const near = await network.dial(listener.address, 2_000)
  const far = await accepted
  t.teardown(async () => {
    near.destroy()
    far.destroy()
    await listener.close()
  })
  return { near, far, address: listener.address }
}

async function addresses(t: Test, network: Network, address: string): Promise<void> {
  const streams: ByteStream[] = []
  const listener = await network.listen(address, (stream) => streams.push(stream))
  t.notMatch(listener.address, /:0$/, 'the real port')
  await t.rejects(
    network.listen(listener.address, () => undefined),
    { code: 'address-in-use' },
  )
  const near = await network.dial(listener.address, 2_000)
  const reader = new Reader(near)
  near.write([Buffer.from('ping')])
  while (streams.length === 0) await new Promise((resolve) => setImmediate(resolve))
  const far = streams[0]!
  t.equal(near.remoteAddress, listener.address)
  t.equal(far.localAddress, listener.address)
  t.equal(far.remoteAddress, near.localAddress)
  await listener.close()
  await t.rejects(network.dial(listener.address, 2_000), { code: 'unreachable' })
  far.write([Buffer.from('still here')])
  await reader.until(10)
  t.equal(Buffer.concat(reader.chunks).toString(), 'still here', 'accepted streams live on')
  const again = await network.listen(listener.address, () => undefined)
  await again.close()
  new Reader(far)
  near.destroy()
  await reader.ended
  far.destroy()
}

async function inOrder(t: Test, network: Network, address: string): Promise<void> {
  const { near, far } = await connected(t, network, address)
  const nearReader = new Reader(near)
  const farReader = new Reader(far)
  const sent: Buffer[] = []
  for (let round = 0; round < 60; round++) {
    const buffers = [Buffer.alloc(1 + round * 48, round), Buffer.alloc(round % 7, 255 - round)]
    near.write(buffers)
    far.write(buffers)
    sent.push(...buffers)
    if (round % 10 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  near.write([])
  const whole = Buffer.concat(sent)
  await Promise.all([nearReader.until(whole.length), farReader.until(whole.length)])
  t.ok(Buffer.concat(nearReader.chunks).equals(whole))
  t.ok(Buffer.concat(farReader.chunks).equals(whole))
  t.same(farReader.chunks, farReader.copies, 'a chunk is not written to again')
  t.equal(near.queuedBytes, 0)
}

async function closing(t: Test, network: Network, address: string): Promise<void> {
  const { near, far } = await connected(t, network, address)
  const nearReader = new Reader(near)
  const farReader = new Reader(far)
  const large = Buffer.alloc(700_000, 'palisade')
  near.write([large])
  near.close()
  near.close()
  near.write([Buffer.from('too late')])
  await farReader.ended
  far.close()
  await nearReader.ended
  t.ok(Buffer.concat(farReader.chunks).equals(large))
  await new Promise((resolve) => setImmediate(resolve))
  t.same([nearReader.ends, farReader.ends], [[undefined], [undefined]], 'once, in order')
  await near.drained()
}

async function destroying(t: Test, network: Network, address: string): Promise<void> {
  const { near, far } = await connected(t, network, address)
  const nearReader = new Reader(near)
  const farReader = new Reader(far)
  near.write([Buffer.from('x')])
  await farReader.until(1)
  near.destroy()
  near.destroy()
  t.equal(near.write([Buffer.from('y')]), true)
  await Promise.all([nearReader.ended, farReader.ended])
  far.destroy()
  near.close()
  await new Promise((resolve) => setImmediate(resolve))
  t.same([nearReader.ends.length, farReader.ends.length], [1, 1])
  t.equal(farReader.bytes, 1)
}

async function backPressure(t: Test, network: Network, address: string): Promise<void> {
  const { near, far } = await connected(t, network, address)
  const reader = new Reader(far)
  far.pause()
  const chunk = Buffer.alloc(1 << 20, 'x')
  let sent = 0
  // Whatever the system in between takes, in the end the queue stays full.
  for (let full = 0; full < 20; ) {
    if (near.queuedBytes < 4 * limits.highWaterBytes) {
      full = 0
      sent += chunk.length
      const more = near.write([chunk])
      t.equal(more, near.queuedBytes < limits.highWaterBytes)
    } else full++
    await new Promise((resolve) => setImmediate(resolve))
  }
  let drained = false
  const waiting = near.drained().then(() => {
    drained = true
  })
  const before = reader.bytes
  await new Promise((resolve) => setImmediate(resolve))
  t.equal(drained, false)
  t.ok(before <= sent - near.queuedBytes)
  far.resume()
  await waiting
  await reader.until(sent)
  t.equal(reader.bytes, sent)
  far.pause()
  while (near.queuedBytes < limits.highWaterBytes) {
    near.write([chunk])
    await new Promise((resolve) => setImmediate(resolve))
  }
  const released = near.drained()
  near.destroy()
  await released
}

async function late(t: Test, network: Network, address: string): Promise<void> {
  const { near, far } = await connected(t, network, address)
  new Reader(near)
  near.write([Buffer.from('early')])
  near.close()
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
  const reader = new Reader(far)
  await reader.ended
  t.equal(Buffer.concat(reader.chunks).toString(), 'early')
  t.same(reader.ends, [undefined])
}

/** A writer that is told may use its buffers again: what the reader gets must not change. */
async function leaving(t: Test, network: Network, address: string): Promise<void> {
  const { near, far } = await connected(t, network, address)
  const reader = new Reader(far)
  new Reader(near)
  const told: string[] = []
  const buffer = Buffer.alloc(256 * 1024, 1)
  await new Promise<void>((resolve) => {
    near.write([Buffer.from('a')], () => told.push('a'))
    near.write([buffer], () => {
      told.push('b')
      buffer.fill(2)
      resolve()
    })
  })
  t.same(told, ['a', 'b'], 'in order, once')
  await reader.until(1 + buffer.length)
  const received = Buffer.concat(reader.chunks).subarray(1)
  t.ok(received.equals(Buffer.alloc(buffer.length, 1)), 'the reader has what was written')
  near.destroy()
  await reader.ended
  near.write([Buffer.from('c')], () => told.push('c'))
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve))
  t.same(told, ['a', 'b'], 'nobody is told of what was never sent')
}
