/** A Network of a machine that may die: its portals and the connections that it took die with it. */
import type { ByteStream, Listener, Network } from '../../src/ports/network.ts'

export class MortalNetwork implements Network {
  readonly #network: Network
  readonly #listeners: Listener[] = []
  readonly #streams: WeakRef<ByteStream>[] = []

  constructor(network: Network) {
    this.#network = network
  }

  async listen(address: string, accept: (stream: ByteStream) => void): Promise<Listener> {
    const listener = await this.#network.listen(address, (stream) => {
      this.#streams.push(new WeakRef(stream))
      accept(stream)
    })
    this.#listeners.push(listener)
    return listener
  }

  dial(address: string, timeoutMs: number): Promise<ByteStream> {
    return this.#network.dial(address, timeoutMs)
  }

  async cut(): Promise<void> {
    await Promise.all(this.#listeners.map((listener) => listener.close()))
    for (const stream of this.#streams) stream.deref()?.destroy()
  }
}
