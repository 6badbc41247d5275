/**
 * Network on node:net. It parses addresses, listens and dials; `node-stream.ts` is the byte stream
 * itself.
 */
import { connect, createServer, type Server } from 'node:net'
import { formatAddress, parseAddress } from '../base/address.ts'
import { StorageError } from '../base/errors.ts'
import type { Log } from '../ports/log.ts'
import type { ByteStream, Listener, Network } from '../ports/network.ts'
import { errorCode } from './node-errors.ts'
import { NodeStream } from './node-stream.ts'

// Half-open sockets are ended by the stream, after what it still has queued.
const socketOptions = { noDelay: true, allowHalfOpen: true } as const

export class NodeNetwork implements Network {
  readonly #log: Log | undefined

  /** The log hears of connections that could not be accepted. */
  constructor(log?: Log) {
    this.#log = log
  }

  listen(address: string, accept: (stream: ByteStream) => void): Promise<Listener> {
    const { host, port } = parseAddress(address)
    const server = createServer({ ...socketOptions, pauseOnConnect: true }, (socket) => {
      accept(new NodeStream(socket))
    })
    return new Promise((resolve, reject) => {
      const refuse = (error: Error): void => reject(listenError(address, error))
      server.once('error', refuse)
      server.listen({ host, port }, () => {
        server.off('error', refuse)
        server.on('error', (error) => this.#log?.warn('accept failed', { address, error }))
        resolve({ address: addressOf(server, address), close: () => stop(server) })
      })
    })
  }

  dial(address: string, timeoutMs: number): Promise<ByteStream> {
    const { host, port } = parseAddress(address)
    return new Promise((resolve, reject) => {
      const socket = connect({ host, port, ...socketOptions })
      const giveUp = (cause: Error): void => {
        clearTimeout(timer)
        socket.destroy()
        reject(new StorageError('unreachable', `${address}: ${cause.message}`, cause))
      }
      const timer = setTimeout(
        () => giveUp(new Error(`no answer within ${timeoutMs} ms`)),
        timeoutMs,
      )
      socket.once('error', giveUp)
      socket.once('connect', () => {
        clearTimeout(timer)
        // The stream listens before the dialler stops listening, so that no error is unheard.
        const stream = new NodeStream(socket)
        socket.off('error', giveUp)
        resolve(stream)
      })
    })
  }
}

/** Does not wait for connections, as `server.close` does: they live on. */
function stop(server: Server): Promise<void> {
  server.close()
  return new Promise((resolve) => setImmediate(resolve))
}

function addressOf(server: Server, asked: string): string {
  const bound = server.address()
  return bound === null || typeof bound === 'string'
    ? asked
    : formatAddress(bound.address, bound.port)
}

function listenError(address: string, error: Error): StorageError {
  if (errorCode(error) === 'EADDRINUSE') {
    const why = `${address} is in use by another program: stop it, or give another address`
    return new StorageError('address-in-use', why, error)
  }
  return new StorageError('invalid', `cannot listen on ${address}: ${error.message}`, error)
}
