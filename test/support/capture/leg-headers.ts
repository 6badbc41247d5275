/**
 * Takes the Additional Header Segments off the Data-Out PDUs of a capture. RFC 7143 11.2.1 allows
 * an AHS on any PDU; the dissector of Wireshark 4.0 looks for them on SCSI Commands alone, takes
 * what follows for data and loses the PDUs after it (capture.test.ts shows that with a Data-Out
 * that is right). So those PDUs are handed to it without, after what was taken off has been
 * compared with what the generation header must be; everything else stays as it was captured.
 */
import { crc32c } from '../../../src/base/crc32c.ts'
import { asCaptured, fileHeaderBytes, type TcpPacket, tcpPackets, withPayload } from './pcap.ts'

const dataOut = 0x05
const scsiCommand = 0x01
const loginRequest = 0x03
const bhsBytes = 48
const largestPayload = 60_000

export interface Relieved {
  readonly file: Buffer
  /** Data-Out PDUs whose AHS was taken off. */
  readonly relieved: number
  /** What was wrong with them, and with the streams. */
  readonly faults: readonly string[]
}

/** `isPortal` tells the ports that initiators connect to. */
export function relieveDataOut(file: Buffer, isPortal: (port: number) => boolean): Relieved {
  const streams = new Map<string, RequestStream>()
  const parts: Buffer[] = [file.subarray(0, fileHeaderBytes)]
  const faults: string[] = []
  let relieved = 0
  for (const packet of tcpPackets(file)) {
    if (!isPortal(packet.destinationPort)) {
      parts.push(asCaptured(packet))
      continue
    }
    const key = `${packet.sourcePort}-${packet.destinationPort}`
    if (packet.syn) streams.set(key, new RequestStream(packet.sequence + 1))
    const stream = streams.get(key)
    if (stream === undefined || packet.syn) {
      parts.push(asCaptured(packet))
      continue
    }
    parts.push(...stream.take(packet))
    faults.push(...stream.faults.splice(0))
    relieved += stream.relieved
    stream.relieved = 0
  }
  return { file: Buffer.concat(parts), relieved, faults }
}

/** One direction of a connection: from the initiator to the target. */
class RequestStream {
  readonly faults: string[] = []
  relieved = 0
  #expected: number
  #written: number
  #held: Buffer[] = []
  #heldBytes = 0
  #neededBytes = bhsBytes
  /** Where it was offered: undefined until the first PDU after the login has shown it. */
  #headerDigest: boolean | undefined = false
  #dataDigest = false
  /** A hole, or bytes that are no PDU: from here on nothing can be cut. */
  #lost = false

  constructor(sequence: number) {
    this.#expected = sequence >>> 0
    this.#written = this.#expected
  }

  /** The packets that stand for this one. */
  take(packet: TcpPacket): Buffer[] {
    if (packet.payload.length === 0) return [withPayload(packet, packet.payload, this.#written)]
    const ahead = (packet.sequence - this.#expected) | 0
    if (ahead > 0 && !this.#lost) {
      this.#lost = true
      this.faults.push(`${ahead} bytes to port ${packet.destinationPort} were not captured`)
    }
    if (this.#lost) return [asCaptured(packet)]
    const fresh = packet.payload.subarray(-ahead)
    if (fresh.length === 0) return []
    this.#expected = (this.#expected + fresh.length) >>> 0
    this.#held.push(fresh)
    this.#heldBytes += fresh.length
    if (this.#heldBytes < this.#neededBytes) return []
    return this.#write(packet, this.#cut())
  }

  /** All whole PDUs that are held, Data-Outs without their AHS. */
  #cut(): Buffer {
    const bytes = Buffer.concat(this.#held)
    const whole: Buffer[] = []
    let at = 0
    for (;;) {
      const length = this.#lengthAt(bytes.subarray(at))
      this.#neededBytes = length
      if (length > bytes.length - at) break
      whole.push(...this.#checked(bytes.subarray(at, at + length)))
      at += length
    }
    this.#held = [bytes.subarray(at)]
    this.#heldBytes = bytes.length - at
    return Buffer.concat(whole)
  }

  /** Length of the PDU that begins here, or what must be there to know it. */
  #lengthAt(bytes: Buffer): number {
    if (bytes.length < bhsBytes) return bhsBytes
    const header = bhsBytes + bytes[4]! * 4
    const data = (bytes.readUIntBE(5, 3) + 3) & ~3
    if (this.#inLogin(bytes)) return header + data
    if (this.#headerDigest === undefined) {
      if (bytes.length < header + 4) return header + 4
      this.#headerDigest = crc32c([bytes.subarray(0, header)]) === bytes.readUInt32LE(header)
    }
    const digests = (this.#headerDigest ? 4 : 0) + (this.#dataDigest && data > 0 ? 4 : 0)
    return header + data + digests
  }

  #inLogin(bytes: Buffer): boolean {
    return (bytes[0]! & 0x3f) === loginRequest
  }

  #checked(pdu: Buffer): Buffer[] {
    const opcode = pdu[0]! & 0x3f
    if (this.#inLogin(pdu)) {
      if (/HeaderDigest=[^\0]*CRC32C/.test(pdu.toString('latin1'))) this.#headerDigest = undefined
      // Our legs offer what they mean; there is no list to choose from.
      if (pdu.includes('DataDigest=CRC32C')) this.#dataDigest = true
      return [pdu]
    }
    const ahsBytes = pdu[4]! * 4
    if (ahsBytes === 0 || opcode === scsiCommand) return [pdu]
    if (opcode !== dataOut) {
      this.faults.push(`a PDU of opcode ${opcode.toString(16)}h has an AHS`)
      return [pdu]
    }
    return this.#withoutAhs(pdu, bhsBytes + ahsBytes)
  }

  #withoutAhs(pdu: Buffer, headerBytes: number): Buffer[] {
    const ahs = pdu.subarray(bhsBytes, headerBytes)
    if (ahs.length !== 12 || ahs.readUInt16BE(0) !== 9 || ahs[2] !== 0x3f) {
      this.faults.push(`the AHS of a Data-Out is ${ahs.toString('hex')}`)
    }
    const header = Buffer.from(pdu.subarray(0, bhsBytes))
    header[4] = 0
    this.relieved++
    if (!this.#headerDigest) return [header, pdu.subarray(headerBytes)]
    if (crc32c([pdu.subarray(0, headerBytes)]) !== pdu.readUInt32LE(headerBytes)) {
      this.faults.push('the header digest of a Data-Out is wrong')
    }
    const digest = Buffer.alloc(4)
    digest.writeUInt32LE(crc32c([header]), 0)
    return [header, digest, pdu.subarray(headerBytes + 4)]
  }

  /** As packets with the headers of the one that completed them. */
  #write(packet: TcpPacket, bytes: Buffer): Buffer[] {
    const packets: Buffer[] = []
    for (let at = 0; at < bytes.length; at += largestPayload) {
      const payload = bytes.subarray(at, at + largestPayload)
      packets.push(withPayload(packet, payload, this.#written))
      this.#written = (this.#written + payload.length) >>> 0
    }
    return packets
  }
}
