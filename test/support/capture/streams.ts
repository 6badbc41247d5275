/**
 * A capture written anew for the dissector: what each side sent, once, in the order of the stream.
 * The loopback too loses segments when a receiver is slow, sends them again and shows them out of
 * order, and the dissector would give up what it finds twice or late. Segments without payload are
 * left out, but for those that begin and end a connection. What is missing for good is a fault.
 */
import { LegRequests } from './leg-requests.ts'
import { fileHeaderBytes, type TcpPacket, tcpPackets, withPayload } from './pcap.ts'

export interface Streams {
  readonly file: Buffer
  /** Data-Out PDUs of legs that were written without their AHS. */
  readonly relieved: number
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
      const requests = new Direction(packet, options.asCaptured ? undefined : new LegRequests())
      const connection = { requests, answers: new Direction(packet) }
      open.set(key, connection)
      all.push(connection)
    }
    const connection = open.get(key)
    if (connection !== undefined) parts.push(...take(connection, packet, towards))
  }
  const faults = all.flatMap(({ requests }) => requests.faults)
  const holes = all.flatMap(({ requests, answers }) => [...requests.holes, ...answers.holes])
  const relieved = all.reduce((sum, { requests }) => sum + requests.relieved, 0)
  return { file: Buffer.concat(parts), relieved, faults, holes }
}

function take({ requests, answers }: Connection, packet: TcpPacket, towards: boolean): Buffer[] {
  const [from, to] = towards ? [requests, answers] : [answers, requests]
  if (packet.syn) from.begin(packet)
  const bytes = packet.payload.length > 0 ? from.take(packet) : packet.payload
  const place = (): { sequence: number; acknowledged: number } => {
    return { sequence: from.written, acknowledged: to.written }
  }
  if (bytes.length === 0) {
    const stands = packet.syn || packet.ends
    if (!stands) return []
    const sequence = packet.syn ? packet.sequence : from.written
    return [withPayload(packet, bytes, { sequence, acknowledged: to.written })]
  }
  const packets: Buffer[] = []
  for (let at = 0; at < bytes.length; at += largestPayload) {
    const payload = bytes.subarray(at, at + largestPayload)
    packets.push(withPayload(packet, payload, place()))
    from.wrote(payload.length)
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
  readonly #requests: LegRequests | undefined

  constructor(packet: TcpPacket, requests?: LegRequests) {
    this.#port = packet.destinationPort
    this.#requests = requests
  }

  begin(packet: TcpPacket): void {
    this.#expected = (packet.sequence + 1) >>> 0
    this.written = this.#expected
  }

  /** What can be written now that this has come. */
  take(packet: TcpPacket): Buffer {
    const known = this.#early.get(packet.sequence)
    if (known === undefined || known.length < packet.payload.length) {
      this.#early.set(packet.sequence, packet.payload)
    }
    const bytes = Buffer.concat(this.#ready())
    return this.#requests === undefined ? bytes : this.#requests.take(bytes)
  }

  wrote(bytes: number): void {
    this.written = (this.written + bytes) >>> 0
  }

  get relieved(): number {
    return this.#requests?.relieved ?? 0
  }

  get faults(): readonly string[] {
    return this.#requests?.faults ?? []
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
