/**
 * A path that a test can cut: relays connections to an address over the Network port, the real one
 * or the one in memory. It passes bytes on, resets connections, takes none, or hangs: then it goes
 * on taking bytes and connections, keeps them, and delivers all of them in order when released,
 * also those of connections whose sender has given up meanwhile.
 */
import type { ByteStream, Listener, Network } from '../../src/ports/network.ts'

/** One direction of a relayed connection. */
class Pipe {
  readonly #to: ByteStream
  readonly #hangs: () => boolean
  readonly #over: () => void
  #held: Buffer[] = []
  #ended = false
  heldBytes = 0

  constructor(ends: { from: ByteStream; to: ByteStream }, hangs: () => boolean, over: () => void) {
    const { from, to } = ends
    this.#to = to
    this.#hangs = hangs
    this.#over = over
    from.receive({
      data: (chunk) => {
        if (hangs()) {
          this.#held.push(chunk)
          this.heldBytes += chunk.length
        } else if (!to.write([chunk])) {
          from.pause()
          void to.drained().then(() => from.resume())
        }
      },
      ended: () => {
        this.#ended = true
        this.#endIfDone()
      },
    })
  }

  release(): void {
    if (this.#held.length > 0) this.#to.write(this.#held)
    this.#held = []
    this.heldBytes = 0
    this.#endIfDone()
  }

  #endIfDone(): void {
    if (!this.#ended || this.#hangs()) return
    this.#to.close()
    this.#over()
  }
}

interface Pair {
  readonly near: ByteStream
  readonly far: ByteStream
  readonly up: Pipe
  readonly down: Pipe
}

export class Relay {
  readonly #network: Network
  /** Where connections go; may be set after the relay listens. */
  target = ''
  #listener: Listener | undefined
  #address = ''
  #hanging: 'nothing' | 'answers' | 'everything' = 'nothing'
  readonly #pairs = new Set<Pair>()
  /** Connections that came while it hung: they are dialled when it is released. */
  #waiting: ByteStream[] = []
  /** Connections taken so far. */
  accepted = 0

  private constructor(network: Network) {
    this.#network = network
  }

  static async open(network: Network, target = '', address = '127.0.0.1:0'): Promise<Relay> {
    const relay = new Relay(network)
    relay.target = target
    relay.#address = address
    await relay.resume()
    return relay
  }

  get address(): string {
    return this.#address
  }

  /** Bytes towards the target that are kept back. */
  get heldBytes(): number {
    let bytes = 0
    for (const { up } of this.#pairs) bytes += up.heldBytes
    return bytes
  }

  /** Breaks every connection; new ones are taken. */
  reset(): void {
    for (const { near, far } of this.#pairs) {
      near.destroy()
      far.destroy()
    }
    this.#pairs.clear()
  }

  /** Breaks every connection and takes no new ones, until `resume`. */
  async stop(): Promise<void> {
    await this.#listener?.close()
    this.#listener = undefined
    for (const near of this.#waiting.splice(0)) near.destroy()
    this.reset()
  }

  async resume(): Promise<void> {
    if (this.#listener !== undefined) return
    this.#listener = await this.#network.listen(this.#address, (near) => this.#accept(near))
    this.#address = this.#listener.address
  }

  /** From now on nothing gets through, and nothing breaks. */
  hang(): void {
    this.#hanging = 'everything'
  }

  /** From now on the target gets what is sent, and nothing comes back from it. */
  hangAnswers(): void {
    this.#hanging = 'answers'
  }

  /** Delivers everything that was kept back, in the order in which the connections came. */
  release(): void {
    this.#hanging = 'nothing'
    for (const { up, down } of this.#pairs) {
      up.release()
      down.release()
    }
    for (const near of this.#waiting.splice(0)) void this.#connect(near)
  }

  #accept(near: ByteStream): void {
    this.accepted++
    if (this.#hanging === 'everything') this.#waiting.push(near)
    else void this.#connect(near)
  }

  async #connect(near: ByteStream): Promise<void> {
    try {
      const far = await this.#network.dial(this.target, 2_000)
      if (this.#listener === undefined) {
        // Stopped meanwhile: a pair made now would outlive the test.
        near.destroy()
        far.destroy()
        return
      }
      const hangs = (): boolean => this.#hanging === 'everything'
      const answersHang = (): boolean => this.#hanging !== 'nothing'
      const over = (): void => {
        this.#pairs.delete(pair)
      }
      const up = new Pipe({ from: near, to: far }, hangs, over)
      const down = new Pipe({ from: far, to: near }, answersHang, over)
      const pair = { near, far, up, down }
      this.#pairs.add(pair)
    } catch {
      // As a router would: the sender finds out that nobody is there.
      near.destroy()
    }
  }
}
