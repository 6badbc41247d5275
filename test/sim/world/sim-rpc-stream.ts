/**
 * One server stream of a simulated call: messages in order, until either side ends it or nothing
 * got through for as long as a keep-alive waits.
 */
import { StorageError } from '../../../src/base/errors.ts'
import { rpc as limits } from '../../../src/base/limits.ts'
import type { RpcReceiver, RpcSink } from '../../../src/ports/rpc.ts'
import { Lane, type Links, type Place } from './links.ts'
import type { SimProcess } from './sim-process.ts'
import type { RpcServing } from './sim-rpc.ts'

const queueLimit = 16
const patienceMs = limits.keepaliveMs + limits.keepaliveDeadlineMs

export interface RpcStreamOptions {
  readonly links: Links
  readonly client: SimProcess
  readonly receiver: RpcReceiver
  readonly near: Place
  readonly far: Place
}

export class SimRpcStream implements RpcSink {
  readonly #options: RpcStreamOptions
  readonly #lane: Lane
  #serving: RpcServing | undefined
  #queued = 0
  #waiting: (() => void)[] = []
  #closedListeners: (() => void)[] = []
  #serverOver = false
  #clientOver = false
  readonly #serverGone = (): void => this.end()

  constructor(options: RpcStreamOptions) {
    this.#options = options
    this.#lane = new Lane(options.links, options.far, options.near)
  }

  get accepted(): boolean {
    return this.#serving !== undefined
  }

  get over(): boolean {
    return this.#clientOver
  }

  accept(serving: RpcServing): void {
    this.#serving = serving
    serving.open.add(this.#serverGone)
    serving.process.onDeath(() => {
      this.#serverOver = true
    })
    this.#keepAlive()
  }

  refuse(cause: StorageError): void {
    this.#endClient(cause)
  }

  /** The caller wants no more. */
  cancel(): void {
    const { links, near, far } = this.#options
    this.#endClient(undefined)
    links.carry(near, far, () => this.#endServer())
  }

  send(message: Uint8Array): boolean {
    if (this.#serverOver) return true
    this.#queued++
    const bytes = Buffer.from(message)
    this.#lane.send(() => {
      const { client, receiver } = this.#options
      client.enter(() => {
        this.#queued--
        this.#release()
        if (!this.#clientOver) receiver.message(bytes)
      })
    })
    return this.#queued < queueLimit
  }

  drained(): Promise<void> {
    if (this.#serverOver || this.#queued < queueLimit) return Promise.resolve()
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  end(): void {
    if (this.#serverOver && this.#serving?.process.alive === true) return
    this.#endServer()
    this.#lane.send(() => this.#options.client.enter(() => this.#endClient(undefined)))
  }

  closed(run: () => void): void {
    if (this.#serverOver) run()
    else this.#closedListeners.push(run)
  }

  #release(): void {
    const { process } = this.#serving ?? {}
    if (this.#queued >= queueLimit || this.#waiting.length === 0) return
    const waiting = this.#waiting
    this.#waiting = []
    process?.enter(() => {
      for (const resolve of waiting) resolve()
    })
  }

  #endServer(): void {
    const serving = this.#serving
    if (serving === undefined) return
    serving.open.delete(this.#serverGone)
    if (this.#serverOver) return
    this.#serverOver = true
    const listeners = this.#closedListeners
    this.#closedListeners = []
    serving.process.enter(() => {
      for (const run of listeners) run()
      for (const resolve of this.#waiting.splice(0)) resolve()
    })
  }

  #endClient(cause: Error | undefined): void {
    if (this.#clientOver) return
    this.#clientOver = true
    this.#options.client.enter(() => this.#options.receiver.ended(cause))
  }

  /** Each side finds out by itself that the other is out of reach. */
  #keepAlive(): void {
    const { links, client, near, far } = this.#options
    const serving = this.#serving!
    const look = (): void => {
      if (this.#clientOver && this.#serverOver) return
      const cut = links.isHeld(near, far) || links.isHeld(far, near)
      const gone = !serving.process.alive || !client.alive
      if (!cut && !gone) {
        links.world.after(1_000, look)
        return
      }
      links.world.after(patienceMs, () => {
        const stillCut = links.isHeld(near, far) || links.isHeld(far, near)
        if (!stillCut && serving.process.alive && client.alive) look()
        else {
          this.#endServer()
          this.#endClient(new StorageError('unreachable', 'no answer to the keep-alive'))
        }
      })
    }
    links.world.after(1_000, look)
  }
}
