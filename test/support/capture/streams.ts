/**
 * A capture written anew for the dissector: what each side sent, once, in the order of the stream.
 * The loopback too loses segments when a receiver is slow, sends them again and shows them out of
 * order, and the dissector would give up what it finds twice or late. Segments without payload are
 * left out, but for those that begin and end a connection. What is missing for good is a fault.
 */

import { fileHeaderBytes, type TcpPacket, tcpPackets, withPayload } from './pcap.ts'
import { PduStream } from './pdu-stream.ts'

export interface Streams {
  readonly file: Buffer
  /** Data-Out PDUs of legs that were written without their AHS. */
  readonly relieved: number
  /** PDUs that were written, by sender. */
  readonly pdus: { readonly initiator: number; readonly target: number }
  readonly faults: readonly string[]
  /** Streams of which something is missing, be it only the end of the capture. */
  readonly holes: readonly string[]
}

export interface StreamOptions {
  /** Tells the ports that initiators connect to. */
  readonly isPortal: (port: number) => boolean
  /** Leave everything in the PDUs. */
  readonly asCaptured: boolean
}

const largestPayload = 60_000

interface Connection {
  readonly requests: Direction
  readonly answers: Direction
}

export function rewriteStreams(file: Buffer, options: StreamOptions): Streams {
  const open = new Map<string, Connection>()
  const all: Connection[] = []
  const parts: Buffer[] = [file.subarray(0, fileHeaderBytes)]
  for (const packet of tcpPackets(file)) {
    const { sourcePort, destinationPort } = packet
    const towards = options.isPortal(destinationPort)
    if (!towards && !options.isPortal(sourcePort)) continue
    const key = towards ? `${sourcePort}-${destinationPort}` : `${destinationPort}-${sourcePort}`
    if (packet.syn && towards) {
      const connection = newConnection(packet, options.asCaptured)
      open.set(key, connection)
      all.push(connection)
    }
    const connection = open.get(key)
    if (connection !== undefined) parts.push(...take(connection, packet, towards))
  }
  const faults = all.flatMap(({ requests, answers }) => [...requests.faults, ...answers.faults])
  const holes = all.flatMap(({ requests, answers }) => [...requests.holes, ...answers.holes])
  const relieved = all.reduce((sum, { requests }) => sum + requests.relieved, 0)
  const pdus = {
    initiator: all.reduce((sum, { requests }) => sum + requests.pdus, 0),
    target: all.reduce((sum, { answers }) => sum + answers.pdus, 0),
  }
  return { file: Buffer.concat(parts), relieved, pdus, faults, holes }
}

function newConnection(packet: TcpPacket, asCaptured: boolean): Connection {
  const digests = { header: false, data: false }
  const pdus = (): PduStream | undefined => (asCaptured ? undefined : new PduStream(digests))
  return { requests: new Direction(packet, pdus()), answers: new Direction(packet, pdus()) }
}

/** The packets to be written for this one. */
function take({ requests, answers }: Connection, packet: TcpPacket, towards: boolean): Buffer[] {
  const [from, to] = towards ? [requests, answers] : [answers, requests]
  if (packet.syn) from.begin(packet)
  const packets: Buffer[] = []
  const write = (payload: Buffer, sequence: number): void => {
    packets.push(withPayload(packet, payload, { sequence, acknowledged: to.written }))
  }
  if (packet.payload.length > 0) {
    for (const bytes of from.take(packet)) {
      for (let at = 0; at < bytes.length; at += largestPayload) {
        const payload = bytes.subarray(at, at + largestPayload)
        write(payload, from.written)
        from.wrote(payload.length)
      }
    }
  } else if (packet.syn || packet.ends) {
    write(packet.payload, packet.syn ? packet.sequence : from.written)
  }
  return packets
}

/** What one side sends. */
class Direction {
  /** Where the next byte that is written stands; less than what came, where something was cut. */
  written = 0
  #expected = 0
  readonly #port: number
  readonly #early = new Map<number, Buffer>()
  readonly #pdus: PduStream | undefined

  constructor(packet: TcpPacket, pdus: PduStream | undefined) {
    this.#port = packet.destinationPort
    this.#pdus = pdus
  }

  begin(packet: TcpPacket): void {
    this.#expected = (packet.sequence + 1) >>> 0
    this.written = this.#expected
  }

  /** What can be written now that this has come: each is a PDU, unless left as captured. */
  take(packet: TcpPacket): Buffer[] {
    const known = this.#early.get(packet.sequence)
    if (known === undefined || known.length < packet.payload.length) {
      this.#early.set(packet.sequence, packet.payload)
    }
    const bytes = this.#ready()
    return this.#pdus === undefined ? bytes : this.#pdus.take(Buffer.concat(bytes))
  }

  wrote(bytes: number): void {
    this.written = (this.written + bytes) >>> 0
  }

  get relieved(): number {
    return this.#pdus?.relieved ?? 0
  }

  get pdus(): number {
    return this.#pdus?.pdus ?? 0
  }

  get faults(): readonly string[] {
    return this.#pdus?.faults ?? []
  }

  get holes(): readonly string[] {
    return this.#early.size > 0 ? [`segments to port ${this.#port} are missing`] : []
  }

  #ready(): Buffer[] {
    const parts: Buffer[] = []
    for (let found = true; found; ) {
      found = false
      for (const [sequence, payload] of this.#early) {
        const behind = (this.#expected - sequence) | 0
        if (behind < 0) continue
        this.#early.delete(sequence)
        if (behind >= payload.length) continue
        parts.push(payload.subarray(behind))
        this.#expected = (this.#expected + payload.length - behind) >>> 0
        found = true
      }
    }
    return parts
  }
}
