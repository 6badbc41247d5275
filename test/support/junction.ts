/**
 * Where the connections of some initiators take another way than all others: over a relay that a
 * test can cut. There may be more than one such way. Looks at the first login request to see whose
 * connection it is.
 */
import { PeekedStream } from '../../src/management/management-path/peeked-stream.ts'
import { relay } from '../../src/management/management-path/relay.ts'
import type { ByteStream, Listener, Network } from '../../src/ports/network.ts'
import { Relay } from './relay.ts'

const dialMs = 2_000

export class Junction {
  readonly #network: Network
  readonly #target: string
  /** The other way. */
  readonly side: Relay
  /** Whose connections take it, by InitiatorName; nobody's at first. */
  diverts: (initiatorName: string) => boolean = () => false
  /** More ways, each with those who take it before all others are asked. */
  readonly #ways: { readonly relay: Relay; takes(initiatorName: string): boolean }[] = []
  readonly #streams = new Set<ByteStream>()
  #listener: Listener | undefined

  private constructor(network: Network, target: string, side: Relay) {
    this.#network = network
    this.#target = target
    this.side = side
  }

  static async open(network: Network, target: string): Promise<Junction> {
    const junction = new Junction(network, target, await Relay.open(network, target))
    junction.#listener = await network.listen('127.0.0.1:0', (near) => junction.#accept(near))
    return junction
  }

  get address(): string {
    return this.#listener?.address ?? ''
  }

  async addWay(takes: (initiatorName: string) => boolean): Promise<Relay> {
    const relay = await Relay.open(this.#network, this.#target)
    this.#ways.push({ relay, takes })
    return relay
  }

  async close(): Promise<void> {
    await this.#listener?.close()
    await this.side.stop()
    for (const { relay } of this.#ways) await relay.stop()
    for (const stream of this.#streams) stream.destroy()
  }

  #accept(near: ByteStream): void {
    this.#streams.add(near)
    let text = ''
    const peeked = new PeekedStream(
      near,
      (chunk) => {
        text += chunk.toString('latin1')
        const name = /InitiatorName=([^\0]*)\0/.exec(text)?.[1]
        if (name === undefined) return
        peeked.handOver()
        void this.#connect(this.#addressFor(name), peeked).finally(() => this.#streams.delete(near))
      },
      () => this.#streams.delete(near),
    )
  }

  #addressFor(initiatorName: string): string {
    const way = this.#ways.find(({ takes }) => takes(initiatorName))
    if (way !== undefined) return way.relay.address
    return this.diverts(initiatorName) ? this.side.address : this.#target
  }

  /** Resolves when the connection is over. */
  async #connect(address: string, near: PeekedStream): Promise<void> {
    try {
      const far = await this.#network.dial(address, dialMs)
      await new Promise<void>((over) => relay(near, far, over))
    } catch {
      // As where nobody listens: the sender finds out.
      near.destroy()
    }
  }
}
