/**
 * Captured TCP packets on the loopback, as dumpcap writes them (the classic pcap format, Ethernet,
 * IPv4): read one by one, and made anew where a stream has to be written differently. Not a general
 * reader: no fragments, no VLANs, no IPv6.
 */

export interface TcpPacket {
  /** The 16 bytes before the packet: time, length here, length on the wire. */
  readonly record: Buffer
  /** Ethernet, IP and TCP headers. */
  readonly headers: Buffer
  readonly payload: Buffer
  readonly sourcePort: number
  readonly destinationPort: number
  readonly sequence: number
  readonly syn: boolean
  readonly acknowledges: boolean
  /** Ends its stream, in order or not. */
  readonly ends: boolean
}

export const fileHeaderBytes = 24
const recordHeaderBytes = 16
const ethernetBytes = 14
const tcpProtocol = 6

/** The TCP packets of a capture; a last record that is not complete is left out. */
export function* tcpPackets(file: Buffer): Generator<TcpPacket> {
  let at = fileHeaderBytes
  while (at + recordHeaderBytes <= file.length) {
    const record = file.subarray(at, at + recordHeaderBytes)
    const captured = record.readUInt32LE(8)
    if (record.readUInt32LE(12) !== captured) throw new Error('a packet was cut by the capture')
    const bytes = file.subarray(at + recordHeaderBytes, at + recordHeaderBytes + captured)
    at += recordHeaderBytes + captured
    if (bytes.length === captured && bytes[ethernetBytes + 9] === tcpProtocol) {
      yield parsed(record, bytes)
    }
  }
}

function tcpStart(bytes: Buffer): number {
  return ethernetBytes + (bytes[ethernetBytes]! & 0xf) * 4
}

function parsed(record: Buffer, bytes: Buffer): TcpPacket {
  const tcpAt = tcpStart(bytes)
  const payloadAt = tcpAt + (bytes[tcpAt + 12]! >> 4) * 4
  const end = ethernetBytes + bytes.readUInt16BE(ethernetBytes + 2)
  return {
    record,
    headers: bytes.subarray(0, payloadAt),
    payload: bytes.subarray(payloadAt, end),
    sourcePort: bytes.readUInt16BE(tcpAt),
    destinationPort: bytes.readUInt16BE(tcpAt + 2),
    sequence: bytes.readUInt32BE(tcpAt + 4),
    syn: (bytes[tcpAt + 13]! & 0x02) !== 0,
    acknowledges: (bytes[tcpAt + 13]! & 0x10) !== 0,
    ends: (bytes[tcpAt + 13]! & 0x05) !== 0,
  }
}

/** The packet with another payload at another place of the stream; checksums are not kept. */
export function withPayload(
  packet: TcpPacket,
  payload: Buffer,
  place: { readonly sequence: number; readonly acknowledged: number },
): Buffer {
  const headers = Buffer.from(packet.headers)
  headers.writeUInt16BE(headers.length - ethernetBytes + payload.length, ethernetBytes + 2)
  const tcpAt = tcpStart(headers)
  headers.writeUInt32BE(place.sequence, tcpAt + 4)
  headers.writeUInt32BE(place.acknowledged, tcpAt + 8)
  const record = Buffer.from(packet.record)
  record.writeUInt32LE(headers.length + payload.length, 8)
  record.writeUInt32LE(headers.length + payload.length, 12)
  return Buffer.concat([record, headers, payload])
}
