/**
 * RpcNetwork on gRPC (@grpc/grpc-js), messages as bytes. Connections are not authenticated yet.
 * A channel that lost its server tries again after 0.1 s, then ever slower up to 1 s; calls made
 * meanwhile fail at once with `unreachable`.
 */
import {
  type ChannelOptions,
  Client,
  credentials,
  type handleServerStreamingCall,
  type handleUnaryCall,
  logVerbosity,
  Server,
  ServerCredentials,
  type ServerWritableStream,
  type ServiceError,
  setLogVerbosity,
  status,
} from '@grpc/grpc-js'
import { formatAddress, parseAddress } from '../base/address.ts'
import { StorageError, toError } from '../base/errors.ts'
import { rpc } from '../base/limits.ts'
import type {
  RpcChannel,
  RpcListener,
  RpcMethod,
  RpcNetwork,
  RpcReceiver,
  RpcSink,
  RpcStream,
} from '../ports/rpc.ts'

// Failures are reported to callers; the library's own lines would land on standard error.
setLogVerbosity(logVerbosity.NONE)

const channelOptions: ChannelOptions = {
  'grpc.initial_reconnect_backoff_ms': rpc.reconnectFirstMs,
  'grpc.max_reconnect_backoff_ms': rpc.reconnectLongestMs,
  'grpc.keepalive_time_ms': rpc.keepaliveMs,
  'grpc.keepalive_timeout_ms': rpc.keepaliveDeadlineMs,
  'grpc.keepalive_permit_without_calls': 1,
  'grpc.max_receive_message_length': rpc.largestMessageBytes,
  // A new channel connects at once, whatever another one with the same address waits for.
  'grpc.use_local_subchannel_pool': 1,
  // A call is made once: who may repeat it is for the caller to know.
  'grpc.enable_retries': 0,
  'grpc.enable_http_proxy': 0,
  'grpc.service_config_disable_resolution': 1,
}
const serverOptions: ChannelOptions = {
  'grpc.max_receive_message_length': rpc.largestMessageBytes,
  // A second program must not share the port.
  'grpc.so_reuseport': 0,
}

const asIs = (bytes: Uint8Array): Buffer =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

export class GrpcRpc implements RpcNetwork {
  async serve(address: string, methods: readonly RpcMethod[]): Promise<RpcListener> {
    const { host } = parseAddress(address)
    const server = new Server(serverOptions)
    const sinks = new Set<GrpcSink>()
    for (const method of methods) {
      if (method.kind === 'unary') {
        server.register(method.path, unaryHandler(method), asIs, asIs, 'unary')
      } else {
        server.register(method.path, streamHandler(method, sinks), asIs, asIs, 'serverStream')
      }
    }
    const port = await bind(server, address)
    return { address: formatAddress(host, port), close: () => shutDown(server, sinks) }
  }

  channel(address: string): RpcChannel {
    parseAddress(address)
    return new GrpcChannel(address)
  }
}

function bind(server: Server, address: string): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(address, ServerCredentials.createInsecure(), (error, port) => {
      if (error === null) resolve(port)
      else if (error.message.includes('EADDRINUSE')) {
        const why = `${address} is in use by another program: stop it, or give another address`
        reject(new StorageError('address-in-use', why, error))
      } else {
        const why = `cannot listen on ${address}: ${error.message}`
        reject(new StorageError('invalid', why, error))
      }
    })
  })
}

/** Ends the streams, lets calls under way finish for a moment, stops. */
function shutDown(server: Server, sinks: ReadonlySet<GrpcSink>): Promise<void> {
  for (const sink of [...sinks]) sink.end()
  return new Promise((resolve) => {
    const timer = setTimeout(() => server.forceShutdown(), rpc.shutDownMs)
    server.tryShutdown(() => {
      clearTimeout(timer)
      resolve()
    })
  })
}

/** What a handler threw, as a status that the caller's side turns back. */
function refusal(error: unknown): { code: status; details: string } {
  const thrown = error instanceof StorageError ? error.code : undefined
  const code =
    thrown === 'invalid'
      ? status.INVALID_ARGUMENT
      : thrown === 'not-found'
        ? status.NOT_FOUND
        : status.FAILED_PRECONDITION
  return { code, details: toError(error).message }
}

function unaryHandler(
  method: RpcMethod & { readonly kind: 'unary' },
): handleUnaryCall<Buffer, Uint8Array> {
  return (call, answer) => {
    const peer = { address: call.getPeer() }
    Promise.resolve()
      .then(() => method.handle(call.request, peer))
      .then(
        (reply) => answer(null, reply),
        (error: unknown) => answer(refusal(error)),
      )
  }
}

function streamHandler(
  method: RpcMethod & { readonly kind: 'stream' },
  sinks: Set<GrpcSink>,
): handleServerStreamingCall<Buffer, Uint8Array> {
  return (call) => {
    const sink = new GrpcSink(call)
    sinks.add(sink)
    sink.closed(() => sinks.delete(sink))
    try {
      method.handle(call.request, sink, { address: call.getPeer() })
    } catch (error) {
      call.emit('error', refusal(error))
    }
  }
}

class GrpcSink implements RpcSink {
  readonly #call: ServerWritableStream<Buffer, Uint8Array>
  #open = true
  #waiting: (() => void)[] = []
  #listeners: (() => void)[] = []

  constructor(call: ServerWritableStream<Buffer, Uint8Array>) {
    this.#call = call
    const close = (): void => this.#close()
    for (const event of ['cancelled', 'close', 'finish', 'error']) call.on(event, close)
    call.on('drain', () => this.#release())
  }

  send(message: Uint8Array): boolean {
    return !this.#open || this.#call.write(message)
  }

  drained(): Promise<void> {
    if (!this.#open || !this.#call.writableNeedDrain) return Promise.resolve()
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  end(): void {
    if (this.#open) this.#call.end()
  }

  closed(run: () => void): void {
    if (this.#open) this.#listeners.push(run)
    else run()
  }

  #close(): void {
    if (!this.#open) return
    this.#open = false
    this.#release()
    for (const run of this.#listeners.splice(0)) run()
  }

  #release(): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
  }
}

class GrpcChannel implements RpcChannel {
  readonly #address: string
  readonly #client: Client

  constructor(address: string) {
    this.#address = address
    this.#client = new Client(address, credentials.createInsecure(), channelOptions)
  }

  call(path: string, request: Uint8Array, deadlineMs: number): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const options = { deadline: Date.now() + deadlineMs }
      this.#client.makeUnaryRequest(path, asIs, asIs, request, options, (error, reply) => {
        if (error !== null) reject(this.#failure(error))
        else if (reply === undefined) reject(new StorageError('unreachable', 'an empty answer'))
        else resolve(reply)
      })
    })
  }

  open(path: string, request: Uint8Array, receiver: RpcReceiver): RpcStream {
    const call = this.#client.makeServerStreamRequest(path, asIs, asIs, request)
    let phase: 'open' | 'cancelled' | 'ended' = 'open'
    const end = (cause?: Error): void => {
      if (phase === 'ended') return
      const wanted = phase === 'cancelled'
      phase = 'ended'
      receiver.ended(wanted ? undefined : cause)
    }
    call.on('data', (bytes: Buffer) => {
      if (phase === 'open') receiver.message(bytes)
    })
    call.on('error', (error: ServiceError) => end(this.#failure(error)))
    call.on('end', () => end())
    return {
      cancel: () => {
        if (phase !== 'open') return
        phase = 'cancelled'
        call.cancel()
      },
    }
  }

  close(): void {
    this.#client.close()
  }

  #failure(error: ServiceError): StorageError {
    const text = `${this.#address}: ${error.details}`
    switch (error.code) {
      case status.UNAVAILABLE:
      case status.CANCELLED:
        return new StorageError('unreachable', text, error)
      case status.DEADLINE_EXCEEDED:
        return new StorageError('deadline', text, error)
      case status.INVALID_ARGUMENT:
        return new StorageError('invalid', error.details, error)
      case status.NOT_FOUND:
        return new StorageError('not-found', error.details, error)
      default:
        return new StorageError('refused', error.details, error)
    }
  }
}
