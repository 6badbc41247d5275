/** What every RpcNetwork must do, whether real or simulated. */
import type { Test } from 'tap'
import { StorageError, type StorageErrorCode } from '../../src/base/errors.ts'
import type {
  RpcListener,
  RpcMethod,
  RpcNetwork,
  RpcReceiver,
  RpcSink,
} from '../../src/ports/rpc.ts'

/** `make` gives a network on which `address` may be listened on. */
export async function rpcSuite(t: Test, network: RpcNetwork, address: string): Promise<void> {
  await t.test('unary calls', (t) => unaryCalls(t, network, address))
  await t.test('refusals and deadlines', (t) => failures(t, network, address))
  await t.test('streams', (t) => streams(t, network, address))
  await t.test('a slow reader is felt', (t) => slowReader(t, network, address))
  await t.test('a server that comes back', (t) => reconnect(t, network, address))
}

const echo: RpcMethod = {
  kind: 'unary',
  path: '/palisade.Test/Echo',
  handle: async (request) => Buffer.concat([Buffer.from('>'), request]),
}

async function serving(
  t: Test,
  network: RpcNetwork,
  address: string,
  methods: readonly RpcMethod[],
): Promise<RpcListener> {
  const listener = await network.serve(address, methods)
  t.teardown(() => listener.close())
  return listener
}

async function unaryCalls(t: Test, network: RpcNetwork, address: string): Promise<void> {
  const listener = await serving(t, network, address, [echo])
  t.notMatch(listener.address, /:0$/, 'the real port')
  const channel = network.channel(listener.address)
  t.teardown(() => channel.close())
  t.equal((await channel.call(echo.path, Buffer.from('a'), 5_000)).toString(), '>a')
  t.equal((await channel.call(echo.path, Buffer.alloc(0), 5_000)).toString(), '>', 'empty request')
  const big = Buffer.alloc(6 * 1024 * 1024, 7)
  const back = await channel.call(echo.path, big, 10_000)
  t.ok(back.subarray(1).equals(big), 'more than four megabytes')
  const many = await Promise.all(
    Array.from({ length: 50 }, (_, i) => channel.call(echo.path, Buffer.from(`${i}`), 5_000)),
  )
  t.same(
    many.map((each) => each.toString()),
    Array.from({ length: 50 }, (_, i) => `>${i}`),
  )
}

async function failures(t: Test, network: RpcNetwork, address: string): Promise<void> {
  const refuse: RpcMethod = {
    kind: 'unary',
    path: '/palisade.Test/Refuse',
    handle: () => Promise.reject(new StorageError('conflict', 'size: 0 is not “1 to 9” – says ü')),
  }
  const codes: RpcMethod = {
    kind: 'unary',
    path: '/palisade.Test/Code',
    handle: (request) => {
      throw new StorageError(request.toString() as StorageErrorCode, 'why')
    },
  }
  const throws: RpcMethod = {
    kind: 'unary',
    path: '/palisade.Test/Throw',
    handle: () => {
      throw new Error('at once')
    },
  }
  const hang: RpcMethod = {
    kind: 'unary',
    path: '/palisade.Test/Hang',
    handle: () => new Promise(() => undefined),
  }
  const listener = await serving(t, network, address, [refuse, codes, throws, hang])
  const channel = network.channel(listener.address)
  t.teardown(() => channel.close())
  const nothing = Buffer.alloc(0)
  await t.rejects(channel.call(refuse.path, nothing, 5_000), {
    name: 'StorageError',
    code: 'refused',
    message: 'size: 0 is not “1 to 9” – says ü',
  })
  for (const [thrown, seen] of [
    ['invalid', 'invalid'],
    ['not-found', 'not-found'],
    ['unreachable', 'refused'],
    ['deadline', 'refused'],
    ['io-error', 'refused'],
  ] as const) {
    await t.rejects(channel.call(codes.path, Buffer.from(thrown), 5_000), { code: seen })
  }
  await t.rejects(channel.call(throws.path, nothing, 5_000), {
    code: 'refused',
    message: 'at once',
  })
  await t.rejects(channel.call(hang.path, nothing, 50), { code: 'deadline' })
  await t.rejects(channel.call('/palisade.Test/None', nothing, 5_000), { code: 'refused' })
  await t.rejects(network.serve(listener.address, [echo]), { code: 'address-in-use' })
  const gone = await network.serve(address, [echo])
  const nobody = network.channel(gone.address)
  t.teardown(() => nobody.close())
  await gone.close()
  await t.rejects(nobody.call(echo.path, nothing, 5_000), { code: 'unreachable' })
}

/** Collects what a stream brings. */
function collector(): {
  receiver: RpcReceiver
  messages: string[]
  ended: Promise<Error | undefined>
} {
  const messages: string[] = []
  let end: (cause: Error | undefined) => void
  const ended = new Promise<Error | undefined>((resolve) => {
    end = resolve
  })
  let ends = 0
  const receiver: RpcReceiver = {
    message: (bytes) => messages.push(bytes.toString()),
    ended: (cause) => {
      ends += 1
      if (ends > 1) throw new Error('ended twice')
      end(cause)
    },
  }
  return { receiver, messages, ended }
}

async function streams(t: Test, network: RpcNetwork, address: string): Promise<void> {
  const sinks: RpcSink[] = []
  let closes = 0
  let told: () => void = () => undefined
  const close = new Promise<void>((resolve) => {
    told = resolve
  })
  const count: RpcMethod = {
    kind: 'stream',
    path: '/palisade.Test/Count',
    handle: (request, sink) => {
      for (let i = 0; i < Number(request.toString()); i += 1) sink.send(Buffer.from(`${i}`))
      sink.end()
    },
  }
  const open: RpcMethod = {
    kind: 'stream',
    path: '/palisade.Test/Open',
    handle: (_request, sink) => {
      sinks.push(sink)
      sink.closed(() => {
        closes += 1
        told()
      })
      sink.send(Buffer.from('hello'))
    },
  }
  const listener = await network.serve(address, [count, open])
  const channel = network.channel(listener.address)
  t.teardown(() => channel.close())
  const first = collector()
  channel.open(count.path, Buffer.from('3'), first.receiver)
  t.equal(await first.ended, undefined, 'an orderly end')
  t.same(first.messages, ['0', '1', '2'])

  const second = collector()
  const stream = channel.open(open.path, Buffer.alloc(0), second.receiver)
  while (second.messages.length === 0) await new Promise((resolve) => setImmediate(resolve))
  stream.cancel()
  t.equal(await second.ended, undefined, 'cancelled by the caller')
  await close
  t.equal(closes, 1, 'the sender is told once')
  t.equal(sinks[0]?.send(Buffer.from('late')), true, 'sending into the void is harmless')
  await sinks[0]?.drained()

  const third = collector()
  channel.open(open.path, Buffer.alloc(0), third.receiver)
  while (third.messages.length === 0) await new Promise((resolve) => setImmediate(resolve))
  await listener.close()
  await third.ended
  t.equal(closes, 2, 'a server that stops ends its streams')

  const fourth = collector()
  channel.open(open.path, Buffer.alloc(0), fourth.receiver)
  t.match(await fourth.ended, { code: 'unreachable' }, 'nobody there')
}

async function slowReader(t: Test, network: RpcNetwork, address: string): Promise<void> {
  const piece = Buffer.alloc(256 * 1024)
  const sent = { full: false, drained: false }
  let finish: () => void
  const finished = new Promise<void>((resolve) => {
    finish = resolve
  })
  const flood: RpcMethod = {
    kind: 'stream',
    path: '/palisade.Test/Flood',
    handle: (_request, sink) => {
      for (let i = 0; i < 1000 && !sent.full; i += 1) sent.full = !sink.send(piece)
      void sink.drained().then(() => {
        sent.drained = true
        sink.end()
        finish()
      })
    },
  }
  const listener = await serving(t, network, address, [flood])
  const channel = network.channel(listener.address)
  t.teardown(() => channel.close())
  const { receiver, ended } = collector()
  channel.open(flood.path, Buffer.alloc(0), receiver)
  await finished
  await ended
  t.same(sent, { full: true, drained: true })
}

async function reconnect(t: Test, network: RpcNetwork, address: string): Promise<void> {
  const first = await network.serve(address, [echo])
  const channel = network.channel(first.address)
  t.teardown(() => channel.close())
  await channel.call(echo.path, Buffer.from('a'), 5_000)
  await first.close()
  await t.rejects(channel.call(echo.path, Buffer.from('b'), 5_000), { code: 'unreachable' })
  await serving(t, network, first.address, [echo])
  const deadline = Date.now() + 3_000
  for (;;) {
    try {
      t.equal((await channel.call(echo.path, Buffer.from('c'), 5_000)).toString(), '>c')
      break
    } catch (error) {
      if (Date.now() > deadline) throw error
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
  t.ok(Date.now() < deadline, 'back within seconds')
}
