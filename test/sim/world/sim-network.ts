/**
 * The Network port of simulated processes. Bytes stay in order and are never lost while both ends
 * live: they are delayed, held while a rule holds their way, cut into other chunks. What a process
 * wrote before it was killed may still arrive, long after. A machine without power tells nobody:
 * its peers find out when it is back and knows nothing of their connections.
 */
import { StorageError } from '../../../src/base/errors.ts'
import type { ByteStream, Listener, Network } from '../../../src/ports/network.ts'
import type { Chance } from './chance.ts'
import { Lane, type Links, type Place } from './links.ts'
import type { Machine } from './machine.ts'
import type { SimProcess } from './sim-process.ts'
import { SimStream } from './sim-stream.ts'

interface Listening {
  readonly process: SimProcess
  readonly accept: (stream: ByteStream) => void
}

interface Dialing {
  readonly process: SimProcess
  readonly address: string
  /** False when it was given up. */
  readonly connected: (stream: SimStream) => boolean
  readonly refused: () => void
}

/** A connection to be made that is to get stuck. */
interface Trap {
  readonly from: string
  readonly to: readonly string[]
  readonly ms: number
  skip: number
}

export class SimNetwork {
  readonly links: Links
  readonly chance: Chance
  readonly #listening = new Map<string, Listening>()
  /** By the host part of addresses. */
  readonly #hosts = new Map<string, Machine>()
  /** Streams of each process, for the moment of its death. */
  readonly #streams = new Map<SimProcess, Set<SimStream>>()
  readonly #traps = new Set<Trap>()
  #nextPort = 40_000

  constructor(links: Links) {
    this.links = links
    this.chance = links.world.chance.fork('network')
  }

  /** The machine is reached under these host names. */
  attach(machine: Machine, hosts: readonly string[]): void {
    for (const host of hosts) this.#hosts.set(host, machine)
  }

  /** Its addresses are free for another process. */
  release(process: SimProcess): void {
    for (const [address, each] of [...this.#listening]) {
      if (each.process === process) this.#listening.delete(address)
    }
  }

  /** Ends connections between these machines or interfaces, as a router that forgets them does. */
  resetBetween(one: string, other: string): void {
    for (const streams of [...this.#streams.values()]) {
      for (const stream of [...streams]) if (stream.joins(one, other)) stream.resetByPeer()
    }
  }

  /** Connections that stand now between the two: what they carry arrives so much later. */
  stallBetween(one: string, other: string, ms: number): void {
    for (const streams of this.#streams.values()) {
      for (const stream of streams) if (stream.joins(one, other)) stream.stall(ms)
    }
  }

  /** So, with a connection that is yet to be made: the one after `skip` others. */
  stallNext(from: string, to: readonly string[], { skip, ms }: { skip: number; ms: number }): void {
    this.#traps.add({ from, to, skip, ms })
  }

  /** Connections of a machine with these that stand now. */
  standing(from: string, to: readonly string[]): SimStream[] {
    const all = [...this.#streams.values()].flatMap((streams) => [...streams])
    return all.filter(
      (stream) =>
        stream.process.machine.name === from && to.some((host) => stream.joins(from, host)),
    )
  }

  /** The network as one process sees it. */
  of(process: SimProcess): Network {
    process.onDeath((death) => {
      this.release(process)
      const streams = this.#streams.get(process)
      this.#streams.delete(process)
      for (const stream of streams ?? []) stream.processDied(death)
    })
    return {
      listen: (address, accept) => this.#listen(process, address, accept),
      dial: (address, timeoutMs) => this.#dial(process, address, timeoutMs),
    }
  }

  forget(stream: SimStream): void {
    this.#streams.get(stream.process)?.delete(stream)
  }

  async #listen(
    process: SimProcess,
    asked: string,
    accept: (stream: ByteStream) => void,
  ): Promise<Listener> {
    const [host = ''] = asked.split(':')
    const address = asked.endsWith(':0') ? `${host}:${this.#nextPort++}` : asked
    if (this.#listening.has(address)) {
      throw new StorageError('address-in-use', `${address} is in use`)
    }
    const listening = { process, accept }
    this.#listening.set(address, listening)
    return {
      address,
      close: async () => {
        if (this.#listening.get(address) === listening) this.#listening.delete(address)
      },
    }
  }

  #dial(process: SimProcess, address: string, timeoutMs: number): Promise<ByteStream> {
    return new Promise((resolve, reject) => {
      let open = true
      const settle = (run: () => void): boolean => {
        const first = open
        open = false
        cancel()
        if (first) run()
        return first
      }
      const fail = (why: string): void => {
        settle(() => reject(new StorageError('unreachable', `${address}: ${why}`)))
      }
      const cancel = process.clock.after(timeoutMs, () => fail('no answer'))
      this.#knock({
        process,
        address,
        connected: (stream) => {
          if (!open) return false
          process.enter(() => settle(() => resolve(stream)))
          return true
        },
        refused: () => process.enter(() => fail('nobody listens')),
      })
    })
  }

  #knock(dialing: Dialing): void {
    const { process, address } = dialing
    const [host = ''] = address.split(':')
    const machine = this.#hosts.get(host)
    if (machine === undefined) throw new Error(`nobody knows ${host}`)
    const near: Place = [process.machine.name]
    const far: Place = machine.name === host ? [host] : [host, machine.name]
    this.links.carry(near, far, () => {
      if (!machine.powered) return
      const listening = this.#listening.get(address)
      if (listening === undefined) this.links.carry(far, near, dialing.refused)
      else this.#connect(dialing, listening, { near, far })
    })
  }

  /** The kernel of the far side connects, whatever its process is doing. */
  #connect(
    { process, address, connected }: Dialing,
    listening: Listening,
    { near, far }: { near: Place; far: Place },
  ): void {
    const local = `${near[0]}:${this.#nextPort++}`
    const out = new Lane(this.links, near, far)
    const back = new Lane(this.links, far, near)
    const here = { network: this, process, local, remote: address, out }
    const there = {
      network: this,
      process: listening.process,
      local: address,
      remote: local,
      out: back,
    }
    const one = new SimStream(here)
    const other = new SimStream(there)
    one.peer = other
    other.peer = one
    this.#own(other)
    this.#spring(one)
    listening.process.enter(() => listening.accept(other))
    back.send(() => {
      if (!process.alive) other.resetByPeer()
      else {
        this.#own(one)
        if (!connected(one)) one.destroy()
      }
    })
  }

  #spring(stream: SimStream): void {
    for (const trap of this.#traps) {
      if (!trap.to.some((host) => stream.joins(trap.from, host))) continue
      if (trap.skip-- > 0) continue
      this.#traps.delete(trap)
      stream.stall(trap.ms)
    }
  }

  #own(stream: SimStream): void {
    const { process } = stream
    const owned = this.#streams.get(process) ?? new Set()
    owned.add(stream)
    this.#streams.set(process, owned)
  }
}
