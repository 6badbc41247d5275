/**
 * The RpcNetwork port of simulated processes. A request or an answer that is held by the network
 * may arrive long after its deadline; calls overtake each other as they do on several connections.
 * A server that is killed fails its calls, one without power leaves them to their deadlines.
 */
import { StorageError, toError } from '../../../src/base/errors.ts'
import { rpc as limits } from '../../../src/base/limits.ts'
import type {
  RpcChannel,
  RpcListener,
  RpcMethod,
  RpcNetwork,
  RpcReceiver,
  RpcStream,
} from '../../../src/ports/rpc.ts'
import type { Chance } from './chance.ts'
import type { Links, Place } from './links.ts'
import type { Machine } from './machine.ts'
import type { SimProcess } from './sim-process.ts'
import { SimRpcStream } from './sim-rpc-stream.ts'

export interface RpcServing {
  readonly process: SimProcess
  readonly methods: ReadonlyMap<string, RpcMethod>
  /** What is told to callers when the server ends. */
  readonly open: Set<() => void>
}

interface Call {
  readonly path: string
  readonly request: Uint8Array
  readonly from: SimProcess
  /** The caller still waits. */
  waits: boolean
  readonly settle: (run: () => void) => void
  readonly resolve: (reply: Buffer) => void
  readonly reject: (error: StorageError) => void
}

export class SimRpc {
  readonly links: Links
  readonly #chance: Chance
  readonly #hosts = new Map<string, Machine>()
  readonly #serving = new Map<string, RpcServing>()
  #nextPort = 20_000

  constructor(links: Links) {
    this.links = links
    this.#chance = links.world.chance.fork('rpc')
  }

  attach(machine: Machine, hosts: readonly string[]): void {
    for (const host of hosts) this.#hosts.set(host, machine)
  }

  of(process: SimProcess): RpcNetwork {
    return {
      serve: (address, methods) => this.#serve(process, address, methods),
      channel: (address) => this.#channel(process, address),
    }
  }

  /** Its addresses are free for another process. */
  release(process: SimProcess): void {
    for (const [address, each] of [...this.#serving]) {
      if (each.process === process) this.#serving.delete(address)
    }
  }

  machineOf(address: string): Machine {
    const [host = ''] = address.split(':')
    const machine = this.#hosts.get(host)
    if (machine === undefined) throw new Error(`nobody knows ${host}`)
    return machine
  }

  async #serve(
    process: SimProcess,
    asked: string,
    methods: readonly RpcMethod[],
  ): Promise<RpcListener> {
    const address = asked.endsWith(':0') ? `${asked.slice(0, -1)}${this.#nextPort++}` : asked
    if (this.#serving.has(address)) {
      throw new StorageError('address-in-use', `${address} is in use`)
    }
    const byPath = new Map(methods.map((method) => [method.path, method]))
    const serving: RpcServing = { process, methods: byPath, open: new Set() }
    this.#serving.set(address, serving)
    const end = (): void => {
      if (this.#serving.get(address) === serving) this.#serving.delete(address)
      const open = [...serving.open]
      serving.open.clear()
      for (const tell of open) tell()
    }
    process.onDeath((death) => {
      if (death === 'power') serving.open.clear()
      end()
    })
    return { address, close: async () => end() }
  }

  #channel(process: SimProcess, address: string): RpcChannel {
    const machine = this.machineOf(address)
    const near: Place = [process.machine.name]
    const far: Place = [machine.name]
    return {
      call: (path, request, deadlineMs) =>
        this.#call(
          { process, address, near, far, machine },
          path,
          Buffer.from(request),
          deadlineMs,
        ),
      open: (path, request, receiver) =>
        this.#open({ process, address, near, far, machine }, path, Buffer.from(request), receiver),
      close: () => undefined,
    }
  }

  #call(to: Callee, path: string, request: Buffer, deadlineMs: number): Promise<Buffer> {
    const { process, address, near, far } = to
    return new Promise((resolve, reject) => {
      const call: Call = {
        path,
        request,
        from: process,
        waits: true,
        settle: (run) => {
          process.enter(() => {
            if (!call.waits) return
            call.waits = false
            cancel()
            run()
          })
        },
        resolve,
        reject,
      }
      const cancel = process.clock.after(deadlineMs, () => {
        call.waits = false
        reject(new StorageError('deadline', `${address}: no answer in time`))
      })
      this.links.carry(near, far, () => this.#arrive(to, call))
    })
  }

  #arrive(to: Callee, call: Call): void {
    const { address, near, far, machine } = to
    // Of a call that was given up, the request may have been in the network already.
    if (!machine.powered || (!call.waits && this.#chance.happens(0.5))) return
    const fail = (error: StorageError): void => {
      this.links.carry(far, near, () => call.settle(() => call.reject(error)))
    }
    const gone = (): void => fail(new StorageError('unreachable', `${address}: gone`))
    const serving = this.#serving.get(address)
    if (serving === undefined) {
      gone()
      return
    }
    const method = serving.methods.get(call.path)
    if (method?.kind !== 'unary') {
      fail(new StorageError('refused', `no method ${call.path}`))
      return
    }
    serving.open.add(gone)
    const answer = (run: () => void): void => {
      if (!serving.open.delete(gone)) return
      this.links.carry(far, near, () => call.settle(run))
    }
    serving.process.enter(() => {
      const peer = { address: call.from.machine.name }
      const handled = new Promise<Uint8Array>((resolve) => {
        resolve(method.handle(Buffer.from(call.request), peer))
      })
      handled.then(
        (reply) => answer(() => call.resolve(Buffer.from(reply))),
        (error: unknown) => answer(() => call.reject(refusal(error))),
      )
    })
  }

  #open(to: Callee, path: string, request: Buffer, receiver: RpcReceiver): RpcStream {
    const { process, address, near, far, machine } = to
    const stream = new SimRpcStream({ links: this.links, client: process, receiver, near, far })
    const refused = (): void => stream.refuse(new StorageError('unreachable', `${address}: gone`))
    const patience = process.clock.after(limits.keepaliveMs + limits.keepaliveDeadlineMs, () => {
      if (!stream.accepted) refused()
    })
    this.links.carry(near, far, () => {
      if (!machine.powered || stream.over) return
      patience()
      const serving = this.#serving.get(address)
      const method = serving?.methods.get(path)
      if (serving === undefined || method?.kind !== 'stream') {
        this.links.carry(far, near, () => process.enter(refused))
        return
      }
      stream.accept(serving)
      serving.process.enter(() => {
        method.handle(request, stream, { address: process.machine.name })
      })
    })
    return { cancel: () => stream.cancel() }
  }
}

interface Callee {
  readonly process: SimProcess
  readonly address: string
  readonly near: Place
  readonly far: Place
  readonly machine: Machine
}

function refusal(error: unknown): StorageError {
  const { message } = toError(error)
  const code = error instanceof StorageError ? error.code : 'refused'
  return new StorageError(code === 'invalid' || code === 'not-found' ? code : 'refused', message)
}
