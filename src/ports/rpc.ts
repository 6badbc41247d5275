/**
 * Remote procedure calls between our own programs, as bytes; src/control gives them types.
 * gRPC in the real world. Failures reject with StorageError: `unreachable`, `deadline`, or what
 * the handler said: `invalid` and `not-found` as it threw them, everything else `refused`.
 */
export interface RpcNetwork {
  /** Serves the methods on `address` (port 0: any free one). */
  serve(address: string, methods: readonly RpcMethod[]): Promise<RpcListener>
  /** A lazily connected, reconnecting channel. */
  channel(address: string): RpcChannel
}

export interface RpcListener {
  readonly address: string
  /** Ends streams, lets unary calls under way finish for a moment, stops. */
  close(): Promise<void>
}

export type RpcMethod =
  | {
      readonly kind: 'unary'
      /** Full name, `/package.Service/Method`. */
      readonly path: string
      handle(request: Buffer, peer: RpcPeer): Promise<Uint8Array>
    }
  | {
      readonly kind: 'stream'
      readonly path: string
      /** Called once per call; ends the stream by `sink.end`. */
      handle(request: Buffer, sink: RpcSink, peer: RpcPeer): void
    }

export interface RpcPeer {
  readonly address: string
}

export interface RpcSink {
  /** Queues the message; false when the reader is behind: then wait for `drained`. */
  send(message: Uint8Array): boolean
  /** Resolves when the queue is short again, or the stream has ended. */
  drained(): Promise<void>
  end(): void
  /** Called once when the caller went away or the stream ended. */
  closed(run: () => void): void
}

export interface RpcChannel {
  call(path: string, request: Uint8Array, deadlineMs: number): Promise<Buffer>
  /** Opens a server stream. `ended` is called exactly once. */
  open(path: string, request: Uint8Array, receiver: RpcReceiver): RpcStream
  close(): void
}

export interface RpcReceiver {
  message(bytes: Buffer): void
  ended(cause?: Error): void
}

export interface RpcStream {
  cancel(): void
}
