/** Loopback TCP and the simulated network agree. */
import { connect } from 'node:net'
import t from 'tap'
import { NodeNetwork } from '../../src/adapters/node-network.ts'
import type { ByteStream } from '../../src/ports/network.ts'
import { MemoryNetwork } from '../support/memory-network.ts'
import { networkSuite } from './network-suite.ts'

await t.test('TCP', (t) => networkSuite(t, new NodeNetwork(), '127.0.0.1:0'))
await t.test('memory', (t) => networkSuite(t, new MemoryNetwork(), '127.0.0.1:0'))
await t.test('memory, chopped', (t) =>
  networkSuite(t, new MemoryNetwork({ chunkBytes: 4099 }), '127.0.0.1:0'),
)

await t.test('TCP alone', async (t) => {
  const network = new NodeNetwork()
  for (const address of ['127.0.0.1', 'host:port', ':1', '127.0.0.1:65536', '::1:80']) {
    t.throws(() => network.listen(address, () => undefined), { code: 'invalid' }, address)
    t.throws(() => network.dial(address, 100), { code: 'invalid' })
  }
  await t.rejects(
    network.listen('192.0.2.1:0', () => undefined),
    { code: 'invalid', message: /cannot listen on 192.0.2.1:0/ },
  )
  const accepted: ByteStream[] = []
  const listener = await network.listen('[::1]:0', (stream) => accepted.push(stream))
  t.match(listener.address, /^\[::1\]:\d+$/)

  const socket = connect({ host: '::1', port: Number(listener.address.split(':').at(-1)) })
  await new Promise((resolve) => socket.once('connect', resolve))
  while (accepted.length === 0) await new Promise((resolve) => setImmediate(resolve))
  const ended = new Promise<Error | undefined>((resolve) => {
    accepted[0]!.receive({ data: () => undefined, ended: resolve })
  })
  socket.resetAndDestroy()
  t.match(await ended, { code: 'ECONNRESET' }, 'a reset is told with its cause')
  await listener.close()
})
