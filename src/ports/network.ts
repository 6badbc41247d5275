/** Byte streams between hosts. Addresses are `HOST:PORT`, IPv6 hosts in brackets. */
export interface Network {
  /** Listens on `address` (port 0: any free one). Rejects with StorageError `address-in-use`. */
  listen(address: string, accept: (stream: ByteStream) => void): Promise<Listener>
  /** Connects, or rejects with StorageError `unreachable` after `timeoutMs` at the latest. */
  dial(address: string, timeoutMs: number): Promise<ByteStream>
}

export interface Listener {
  /** The address listened on, with the real port. */
  readonly address: string
  /** Stops accepting; streams already accepted live on. */
  close(): Promise<void>
}

/** A full-duplex, ordered byte stream. TCP in the real world. */
export interface ByteStream {
  readonly localAddress: string
  readonly remoteAddress: string
  /**
   * Installs the receiver, once; nothing is read before. Chunks are owned by the receiver and
   * never written to again by the stream. `ended` is called exactly once, after the last chunk,
   * whoever ended the stream.
   */
  receive(receiver: StreamReceiver): void
  /** Stops reading from the peer (back-pressure). A chunk already under way may still come. */
  pause(): void
  resume(): void
  /**
   * Queues the buffers in order, without copying; they must not change afterwards. Answers false
   * when more than the high-water mark is queued: then wait for `drained` before writing more.
   * Everything written in one turn leaves in one system call where that can be had. `sent` is
   * called once when the buffers are needed no longer, and not at all where the stream ends first.
   */
  write(buffers: readonly Uint8Array[], sent?: () => void): boolean
  /** Resolves when the queue is below the high-water mark, or the stream has ended. */
  drained(): Promise<void>
  /** Bytes queued and not yet accepted by the operating system. */
  readonly queuedBytes: number
  /** Sends what is queued, then ends. */
  close(): void
  /** Ends at once; what is queued is lost. */
  destroy(): void
}

export interface StreamReceiver {
  data(chunk: Buffer): void
  /** `cause` is absent for an orderly end by the peer or by `close`. */
  ended(cause?: Error): void
}
