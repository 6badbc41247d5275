/**
 * RpcNetwork in one process, on a clock that the test moves. A plan of faults may lose a request or
 * its answer, deliver either late, or deliver a request twice; a host can be cut off. A call whose
 * outcome got lost ends at its deadline, as in the real world.
 */
import { StorageError, toError } from '../../src/base/errors.ts'
import type { Cancel, Clock } from '../../src/ports/clock.ts'
import type {
  RpcChannel,
  RpcListener,
  RpcMethod,
  RpcNetwork,
  RpcReceiver,
  RpcSink,
  RpcStream,
} from '../../src/ports/rpc.ts'

export interface Delivery {
  readonly requestMs: number
  readonly replyMs: number
  readonly loses?: 'request' | 'reply'
  /** The request comes a second time this much later. */
  readonly againMs?: number
}

const atOnce: Delivery = { requestMs: 0, replyMs: 0 }

/** All hosts of one test. */
export class MemoryRpc {
  readonly #clock: Clock
  readonly #served = new Map<string, Host>()
  readonly #cutOff = new Set<string>()
  #nextPort = 1
  /** Decides the fate of each call. */
  plan: () => Delivery = () => atOnce

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** The network as one program sees it; `kill` ends the program's part in it. */
  host(name: string): Host {
    return new Host(name, this)
  }

  cut(name: string, isCut: boolean): void {
    if (isCut) this.#cutOff.add(name)
    else this.#cutOff.delete(name)
  }

  get clock(): Clock {
    return this.#clock
  }

  isCut(from: Host, to: Host): boolean {
    return this.#cutOff.has(from.name) || this.#cutOff.has(to.name)
  }

  reaches(from: Host, to: Host): boolean {
    return from.alive && to.alive && !this.isCut(from, to)
  }

  at(address: string): Host | undefined {
    return this.#served.get(address)
  }

  listen(asked: string, host: Host): string {
    const address = asked.endsWith(':0') ? `memory:${this.#nextPort++}` : asked
    if (this.#served.get(address)?.alive === true) {
      throw new StorageError('address-in-use', `${address} is in use`)
    }
    this.#served.set(address, host)
    return address
  }

  unlisten(address: string): void {
    this.#served.delete(address)
  }
}

export class Host implements RpcNetwork {
  readonly name: string
  alive = true
  readonly #net: MemoryRpc
  readonly #methods = new Map<string, RpcMethod>()
  readonly #sinks = new Set<MemorySink>()

  constructor(name: string, net: MemoryRpc) {
    this.name = name
    this.#net = net
  }

  /** From now on nothing it sent or will send arrives anywhere, and nothing reaches it. */
  kill(): void {
    this.alive = false
    for (const sink of [...this.#sinks]) sink.end()
  }

  async serve(asked: string, methods: readonly RpcMethod[]): Promise<RpcListener> {
    for (const method of methods) this.#methods.set(method.path, method)
    const address = this.#net.listen(asked, this)
    return {
      address,
      close: async () => {
        this.#net.unlisten(address)
        for (const sink of [...this.#sinks]) sink.end()
      },
    }
  }

  channel(address: string): RpcChannel {
    return {
      call: (path, request, deadlineMs) => this.#call(address, path, request, deadlineMs),
      open: (path, request, receiver) => this.#open(address, path, request, receiver),
      close: () => undefined,
    }
  }

  #call(address: string, path: string, request: Uint8Array, deadlineMs: number): Promise<Buffer> {
    const net = this.#net
    const delivery = net.plan()
    return new Promise((resolve, reject) => {
      if (!this.alive) return
      const timer = net.clock.after(deadlineMs, () => {
        if (this.alive) reject(new StorageError('deadline', `${address}: no answer in time`))
      })
      const settle = (run: () => void): void => {
        if (delivery.loses === 'reply') return
        net.clock.after(delivery.replyMs, () => {
          const to = net.at(address)
          if (to === undefined || !net.reaches(to, this)) return
          timer()
          run()
        })
      }
      // What was sent before its sender died arrives all the same.
      const arrive = (answers: boolean): void => {
        const to = net.at(address)
        if (to === undefined || !to.alive || net.isCut(this, to)) {
          if (answers && this.alive) {
            timer()
            reject(new StorageError('unreachable', `${address}: nobody is there`))
          }
          return
        }
        to.handle(path, request, this.name).then(
          (reply) => answers && settle(() => resolve(reply)),
          (error: unknown) => answers && settle(() => reject(refusal(error))),
        )
      }
      if (delivery.loses !== 'request') net.clock.after(delivery.requestMs, () => arrive(true))
      if (delivery.againMs === undefined) return
      net.clock.after(delivery.requestMs + delivery.againMs, () => arrive(false))
    })
  }

  async handle(path: string, request: Uint8Array, from: string): Promise<Buffer> {
    const method = this.#methods.get(path)
    if (method?.kind !== 'unary') throw new StorageError('refused', `no method ${path}`)
    return Buffer.from(await method.handle(Buffer.from(request), { address: from }))
  }

  #open(address: string, path: string, request: Uint8Array, receiver: RpcReceiver): RpcStream {
    const net = this.#net
    const to = net.at(address)
    const method = to?.method(path)
    if (to === undefined || !net.reaches(this, to) || method?.kind !== 'stream') {
      const error = new StorageError('unreachable', `${address}: nobody is there`)
      net.clock.after(0, () => receiver.ended(error))
      return { cancel: () => undefined }
    }
    const reaches = (): boolean => net.reaches(to, this)
    const over = (): boolean => to.#sinks.delete(sink)
    const sink = new MemorySink({ clock: net.clock, receiver, reaches, over })
    to.#sinks.add(sink)
    method.handle(Buffer.from(request), sink, { address: this.name })
    return { cancel: () => sink.end() }
  }

  method(path: string): RpcMethod | undefined {
    return this.#methods.get(path)
  }
}

function refusal(error: unknown): StorageError {
  const { message } = toError(error)
  const code = error instanceof StorageError ? error.code : 'refused'
  return new StorageError(code === 'invalid' || code === 'not-found' ? code : 'refused', message)
}

const queueLimit = 16

class MemorySink implements RpcSink {
  readonly #clock: Clock
  readonly #receiver: RpcReceiver
  readonly #queue: Buffer[] = []
  readonly #listeners: (() => void)[] = []
  readonly #waiting: (() => void)[] = []
  #timer: Cancel | undefined
  readonly #reaches: () => boolean
  /** Something got lost: nothing comes any more, for a stream has no gaps. */
  #broken = false
  #open = true

  constructor(stream: {
    readonly clock: Clock
    readonly receiver: RpcReceiver
    readonly reaches: () => boolean
    readonly over: () => void
  }) {
    this.#clock = stream.clock
    this.#receiver = stream.receiver
    this.#reaches = stream.reaches
    this.#listeners.push(stream.over)
  }

  send(message: Uint8Array): boolean {
    if (!this.#open) return true
    this.#queue.push(Buffer.from(message))
    this.#timer ??= this.#clock.after(0, () => this.#deliver())
    return this.#queue.length < queueLimit
  }

  drained(): Promise<void> {
    if (!this.#open || this.#queue.length < queueLimit) return Promise.resolve()
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  end(): void {
    if (!this.#open) return
    this.#open = false
    this.#deliver()
    for (const run of this.#listeners.splice(0)) run()
    this.#clock.after(0, () => this.#receiver.ended())
  }

  closed(run: () => void): void {
    if (this.#open) this.#listeners.push(run)
    else run()
  }

  #deliver(): void {
    this.#timer = undefined
    const messages = this.#queue.splice(0)
    if (!this.#reaches()) this.#broken = true
    if (!this.#broken) for (const message of messages) this.#receiver.message(message)
    for (const resolve of this.#waiting.splice(0)) resolve()
  }
}
