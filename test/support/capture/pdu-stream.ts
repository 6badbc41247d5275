/**
 * Cuts one direction of an iSCSI connection into PDUs for the dissector, which has two faults of
 * its own (capture.test.ts shows both with PDUs that are right). It gives up a PDU of which less
 * than eight bytes stand at the end of a segment; so each PDU gets segments of its own. And it
 * looks for Additional Header Segments, which RFC 7143 11.2.1 allows on any PDU, on SCSI Commands
 * alone, and takes those on a Data-Out for a digest and data; so a Data-Out of a leg is handed over
 * without, after each AHS has been compared with what a generation header and the identity of a
 * request must be.
 */
import { crc32c } from '../../../src/base/crc32c.ts'

const dataOut = 0x05
const scsiCommand = 0x01
const loginRequest = 0x03
const loginResponse = 0x23
const bhsBytes = 48
/** AHSLength of each AHS that a Data-Out of a leg may have, by AHSType: RFC 7143 11.2.2. */
const ahsLengths: ReadonlyMap<number, number> = new Map([
  [0x3f, 9],
  [0x3e, 16],
])

/** What a connection has agreed on; its two directions share it. */
export interface Digests {
  header: boolean
  data: boolean
}

export class PduStream {
  readonly faults: string[] = []
  /** Data-Out PDUs so far that lost their AHS. */
  relieved = 0
  /** All PDUs so far. */
  pdus = 0
  readonly #digests: Digests
  #held: Buffer[] = []
  #heldBytes = 0
  #neededBytes = bhsBytes

  constructor(digests: Digests) {
    this.#digests = digests
  }

  /** The next bytes as they were sent; answers the PDUs that are whole now. */
  take(bytes: Buffer): Buffer[] {
    this.#held.push(bytes)
    this.#heldBytes += bytes.length
    return this.#heldBytes < this.#neededBytes ? [] : this.#cut()
  }

  #cut(): Buffer[] {
    const bytes = Buffer.concat(this.#held)
    const whole: Buffer[] = []
    let at = 0
    for (;;) {
      const length = this.#lengthOf(bytes.subarray(at))
      this.#neededBytes = length
      if (length > bytes.length - at) break
      this.pdus++
      whole.push(this.#checked(bytes.subarray(at, at + length)))
      at += length
    }
    this.#held = [bytes.subarray(at)]
    this.#heldBytes = bytes.length - at
    return whole
  }

  /** Length of the PDU that begins here, or what must be there to know it. */
  #lengthOf(bytes: Buffer): number {
    if (bytes.length < bhsBytes) return bhsBytes
    const header = bhsBytes + bytes[4]! * 4
    const data = (bytes.readUIntBE(5, 3) + 3) & ~3
    if (isLogin(bytes)) return header + data
    const { header: headerDigest, data: dataDigest } = this.#digests
    return header + data + (headerDigest ? 4 : 0) + (dataDigest && data > 0 ? 4 : 0)
  }

  #checked(pdu: Buffer): Buffer {
    const opcode = pdu[0]! & 0x3f
    if (opcode === loginResponse) {
      if (pdu.includes('HeaderDigest=CRC32C\0')) this.#digests.header = true
      if (pdu.includes('DataDigest=CRC32C\0')) this.#digests.data = true
    }
    const ahsBytes = pdu[4]! * 4
    if (ahsBytes === 0 || opcode === scsiCommand) return pdu
    if (opcode === dataOut) return this.#withoutAhs(pdu, bhsBytes + ahsBytes)
    this.faults.push(`a PDU of opcode ${opcode.toString(16)}h has an AHS`)
    return pdu
  }

  #withoutAhs(pdu: Buffer, headerBytes: number): Buffer {
    const ahs = pdu.subarray(bhsBytes, headerBytes)
    if (!isOfLeg(ahs)) {
      this.faults.push(`the AHS of a Data-Out is ${ahs.toString('hex')}`)
    }
    const header = Buffer.from(pdu.subarray(0, bhsBytes))
    header[4] = 0
    this.relieved++
    if (!this.#digests.header) return Buffer.concat([header, pdu.subarray(headerBytes)])
    if (crc32c([pdu.subarray(0, headerBytes)]) !== pdu.readUInt32LE(headerBytes)) {
      this.faults.push('the header digest of a Data-Out is wrong')
    }
    const digest = Buffer.alloc(4)
    digest.writeUInt32LE(crc32c([header]), 0)
    return Buffer.concat([header, digest, pdu.subarray(headerBytes + 4)])
  }
}

/** The generation header, and at most the identity of the request behind it. */
function isOfLeg(ahs: Buffer): boolean {
  const types: number[] = []
  for (let at = 0; at < ahs.length; ) {
    const length = ahs.readUInt16BE(at)
    const type = ahs[at + 2]!
    if (length !== ahsLengths.get(type)) return false
    types.push(type)
    at += 3 + length + (-(3 + length) & 3)
    if (at > ahs.length) return false
  }
  return types[0] === 0x3f && types.length <= 2 && types[1] !== 0x3f
}

function isLogin(bytes: Buffer): boolean {
  const opcode = bytes[0]! & 0x3f
  return opcode === loginRequest || opcode === loginResponse
}
