/**
 * One end of a simulated TCP connection. What is written goes on a lane to the peer's machine, and
 * from there to its process when that reads. A reader that pauses is felt by the writer.
 */
import { network as limits } from '../../../src/base/limits.ts'
import type { ByteStream, StreamReceiver } from '../../../src/ports/network.ts'
import type { Lane } from './links.ts'
import type { SimNetwork } from './sim-network.ts'
import type { Death, SimProcess } from './sim-process.ts'

interface Segment {
  readonly parts: Uint8Array[]
  readonly tellSent: (() => void)[]
  bytes: number
}

type Arrival = Buffer | 'end'

/** What two kernels hold between two programs. */
const kernelBytes = 512 * 1024
/** A read of Node's brings no more. */
const readBytes = 64 * 1024

export interface StreamEnd {
  readonly network: SimNetwork
  readonly process: SimProcess
  readonly local: string
  readonly remote: string
  readonly out: Lane
}

export class SimStream implements ByteStream {
  readonly localAddress: string
  readonly remoteAddress: string
  readonly process: SimProcess
  peer: SimStream | undefined
  readonly #network: SimNetwork
  readonly #out: Lane
  #receiver: StreamReceiver | undefined
  /** Arrived at this machine, not read yet. */
  #arrived: Arrival[] = []
  #reading = false
  #paused = false
  #phase: 'open' | 'closing' | 'ended' = 'open'
  #told = false
  #cause: Error | undefined
  /** Written and not yet read by the peer. */
  #outstandingBytes = 0
  /** Takes what is written in this instant. */
  #gathering: { readonly atMs: number; readonly segment: Segment } | undefined
  #waiting: (() => void)[] = []
  #cancelLinger: () => void = () => undefined

  constructor(end: StreamEnd) {
    this.#network = end.network
    this.process = end.process
    this.localAddress = end.local
    this.remoteAddress = end.remote
    this.#out = end.out
  }

  get queuedBytes(): number {
    return Math.max(0, this.#outstandingBytes - kernelBytes)
  }

  receive(receiver: StreamReceiver): void {
    this.#receiver = receiver
    this.#read()
    if (this.#phase === 'ended') this.#tellSoon()
  }

  pause(): void {
    this.#paused = true
  }

  resume(): void {
    this.#paused = false
    this.#read()
  }

  write(buffers: readonly Uint8Array[], sent?: () => void): boolean {
    if (this.#phase !== 'open') return true
    const { nowMs } = this.#network.links.world
    if (this.#gathering?.atMs !== nowMs) {
      const segment: Segment = { parts: [], tellSent: [], bytes: 0 }
      this.#gathering = { atMs: nowMs, segment }
      this.#out.send(() => this.#arriveAtPeer(segment))
    }
    const { segment } = this.#gathering!
    for (const buffer of buffers) {
      segment.parts.push(buffer)
      segment.bytes += buffer.length
      this.#outstandingBytes += buffer.length
    }
    if (sent !== undefined) segment.tellSent.push(sent)
    return this.queuedBytes < limits.highWaterBytes
  }

  drained(): Promise<void> {
    if (this.#phase !== 'open' || this.queuedBytes < limits.highWaterBytes) {
      return Promise.resolve()
    }
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  close(): void {
    if (this.#phase !== 'open') return
    this.#phase = 'closing'
    this.#gathering = undefined
    this.#sendEnd(undefined)
    this.#paused = false
    this.#read()
    const linger = (): void => this.#end(undefined)
    this.#cancelLinger = this.process.clock.after(limits.lingerMs, linger)
  }

  destroy(): void {
    if (this.#phase === 'ended') return
    this.#abandon()
    this.#end(undefined)
  }

  /** The process is gone: its kernel says so, unless the machine is gone as well. */
  processDied(death: Death): void {
    if (this.#phase !== 'ended') {
      if (death === 'kill') this.#abandon()
      // What stands at a broken way was still in this machine.
      else if (this.#out.isHeld) this.#out.cut()
    }
    this.#phase = 'ended'
    this.#arrived = []
    this.#receiver = undefined
  }

  joins(one: string, other: string): boolean {
    const [from, to] = this.#out.ends
    return (from.includes(one) && to.includes(other)) || (from.includes(other) && to.includes(one))
  }

  /** What was or will be written here arrives much later; new connections are as fast as ever. */
  stall(ms: number): void {
    this.#out.stall(ms)
  }

  /** The peer's machine knows nothing of this connection. */
  resetByPeer(): void {
    this.#end(reset())
  }

  /** What the kernel took may still go out before the end, or not. */
  #abandon(): void {
    const { chance } = this.#network
    this.#gathering = undefined
    if (chance.happens(0.3)) this.#out.cut()
    else this.#sendEnd(chance.happens(0.5) ? reset() : undefined)
    if (this.#out.isCut)
      this.#network.links.carry(...this.#out.ends, () => this.peer!.#peerIsGone())
  }

  #peerIsGone(): void {
    if (!this.process.alive) return
    this.process.enter(() => this.#end(reset()))
  }

  #sendEnd(cause: Error | undefined): void {
    this.#out.send(() => {
      const peer = this.peer
      if (peer === undefined || !peer.process.machine.powered) return
      if (!peer.process.alive) return
      peer.#cause = cause
      if (cause === undefined) peer.#arrive('end')
      else peer.process.enter(() => peer.#end(cause))
    })
  }

  #arriveAtPeer(segment: Segment): void {
    const peer = this.peer!
    const { machine } = peer.process
    if (this.#gathering?.segment === segment) this.#gathering = undefined
    if (!machine.powered) return
    if (!peer.process.alive || peer.#phase === 'ended') {
      const [from, to] = this.#out.ends
      this.#network.links.carry(to, from, () => this.#peerIsGone())
      return
    }
    const bytes = Buffer.concat(segment.parts)
    this.process.enter(() => {
      for (const sent of segment.tellSent) sent()
    })
    peer.#arrive(bytes)
  }

  #arrive(arrival: Arrival): void {
    this.#arrived.push(arrival)
    this.#read()
  }

  /** One chunk an event, as Node reads. */
  #read(): void {
    if (this.#reading || this.#arrived.length === 0) return
    this.#reading = true
    this.process.enter(() => {
      this.#reading = false
      this.#readOnce()
    })
  }

  #readOnce(): void {
    if (this.#receiver === undefined || this.#paused || this.#phase === 'ended') return
    const first = this.#arrived.shift()
    if (first === undefined) return
    if (first === 'end') {
      this.#endedByPeer()
      return
    }
    const { chance } = this.#network
    const most = chance.happens(0.03) ? 1 + chance.below(600) : readBytes
    const chunk = first.length > most ? first.subarray(0, most) : first
    if (chunk !== first) this.#arrived.unshift(first.subarray(most))
    this.peer!.#wasRead(chunk.length)
    // After our own close the rest is read only so that the peer's end is seen.
    if (this.#phase === 'open') this.#receiver.data(chunk)
    if (this.#arrived.length > 0) this.#network.links.world.after(0, () => this.#read())
  }

  #wasRead(bytes: number): void {
    this.#outstandingBytes -= bytes
    if (this.#waiting.length === 0 || this.queuedBytes >= limits.highWaterBytes) return
    const waiting = this.#waiting
    this.#waiting = []
    this.process.enter(() => {
      for (const resolve of waiting) resolve()
    })
  }

  /** The peer sends no more: what is queued still goes out. */
  #endedByPeer(): void {
    if (this.#phase === 'open') this.#sendEnd(undefined)
    this.#end(this.#cause)
  }

  #end(cause: Error | undefined): void {
    if (this.#phase === 'ended') return
    this.#phase = 'ended'
    this.#cause = cause
    this.#arrived = []
    this.#cancelLinger()
    this.#network.forget(this)
    for (const resolve of this.#waiting.splice(0)) resolve()
    this.#tellSoon()
  }

  #tellSoon(): void {
    this.#network.links.world.after(0, () => {
      this.process.enter(() => {
        if (this.#told || this.#receiver === undefined) return
        this.#told = true
        this.#receiver.ended(this.#cause)
      })
    })
  }
}

function reset(): Error {
  return new Error('connection reset')
}
