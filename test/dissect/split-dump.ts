/**
 * A capture of the whole loopback, of any size, as files that hold the iSCSI connections in it, each
 * connection whole in one of them. A connection is iSCSI when its first byte to the server is that of
 * a Login Request; what else the programs say to one another is left out.
 */
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import { fileHeaderBytes, type TcpPacket, tcpPackets } from '../support/capture/pcap.ts'

export interface Shard {
  readonly path: string
  readonly portals: ReadonlySet<number>
  readonly connections: number
}

interface Connection {
  /** How many began before it. */
  readonly number: number
  readonly portal: number
  bytes: number
  /** Unknown until the client has said something. */
  iscsi: boolean | undefined
  shard: number
}

const windowBytes = 64 * 1024 * 1024
const recordHeaderBytes = 16
/** A connection that is longer has a file for itself. */
const shardBytes = 512 * 1024 * 1024
const loginRequest = 0x43

export async function splitDump(path: string, directory: string): Promise<readonly Shard[]> {
  const connections = await index(path)
  const shards: { path: string; portals: Set<number>; connections: number; bytes: number }[] = []
  for (const connection of connections) {
    if (connection.iscsi !== true) continue
    const last = shards.at(-1)
    if (last === undefined || last.bytes + connection.bytes > shardBytes) {
      const path = join(directory, `${shards.length}`)
      shards.push({ path, portals: new Set(), connections: 0, bytes: 0 })
    }
    const shard = shards.at(-1)!
    connection.shard = shards.length - 1
    shard.bytes += connection.bytes
    shard.connections++
    shard.portals.add(connection.portal)
  }
  await fill(path, connections, shards)
  return shards
}

/** Every TCP connection, in the order of their beginnings. */
async function index(path: string): Promise<readonly Connection[]> {
  const all: Connection[] = []
  const open = new Map<string, Connection>()
  for await (const { packets } of windows(path)) {
    for (const packet of packets) follow(packet, open, all)
  }
  return all
}

/** The connection of a packet; a SYN of its client begins a new one. */
function follow(
  packet: TcpPacket,
  open: Map<string, Connection>,
  all: Connection[],
): Connection | undefined {
  const { sourcePort, destinationPort, payload } = packet
  const forth = `${sourcePort}-${destinationPort}`
  const back = `${destinationPort}-${sourcePort}`
  if (packet.syn && !packet.acknowledges) {
    const begun = { portal: destinationPort, bytes: 0, iscsi: undefined, shard: -1 }
    const connection = { ...begun, number: all.length }
    open.set(forth, connection)
    open.delete(back)
    all.push(connection)
  }
  const connection = open.get(forth) ?? open.get(back)
  if (connection === undefined) return undefined
  connection.bytes += recordHeaderBytes + packet.headers.length + payload.length
  if (payload.length > 0 && destinationPort === connection.portal) {
    connection.iscsi ??= payload[0] === loginRequest
  }
  return connection
}

async function fill(
  path: string,
  connections: readonly Connection[],
  shards: readonly Shard[],
): Promise<void> {
  const files: FileHandle[] = []
  for (const shard of shards) files.push(await open(shard.path, 'w'))
  const begun: Connection[] = []
  const now = new Map<string, Connection>()
  let first = true
  try {
    for await (const { packets, fileHeader } of windows(path)) {
      const parts: Buffer[][] = shards.map(() => (first ? [fileHeader] : []))
      first = false
      for (const packet of packets) {
        const seen = follow(packet, now, begun)
        // The same packets in the same order begin the same connections.
        const shard = seen === undefined ? -1 : connections[seen.number]!.shard
        if (shard >= 0) parts[shard]!.push(packet.record, packet.headers, packet.payload)
      }
      for (const [i, file] of files.entries()) await file.write(Buffer.concat(parts[i]!))
    }
  } finally {
    for (const file of files) await file.close()
  }
}

interface Window {
  readonly fileHeader: Buffer
  readonly packets: Iterable<TcpPacket>
}

/** The capture in stretches of whole records. */
async function* windows(path: string): AsyncGenerator<Window> {
  const file = await open(path)
  try {
    const fileHeader = await read(file, fileHeaderBytes, 0)
    for (let at = fileHeaderBytes; ; ) {
      const bytes = await read(file, windowBytes, at)
      const whole = wholeRecords(bytes)
      if (whole === 0) return
      at += whole
      yield {
        fileHeader,
        packets: tcpPackets(Buffer.concat([fileHeader, bytes.subarray(0, whole)])),
      }
    }
  } finally {
    await file.close()
  }
}

async function read(file: FileHandle, bytes: number, at: number): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(bytes), 0, bytes, at)
  return buffer.subarray(0, bytesRead)
}

function wholeRecords(bytes: Buffer): number {
  let at = 0
  while (at + recordHeaderBytes <= bytes.length) {
    const next = at + recordHeaderBytes + bytes.readUInt32LE(at + 8)
    if (next > bytes.length) break
    at = next
  }
  return at
}
