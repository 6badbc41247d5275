/**
 * Takes the Additional Header Segments off the Data-Out PDUs that a leg sends. RFC 7143 11.2.1
 * allows an AHS on any PDU; the dissector of Wireshark 4.0 looks for them on SCSI Commands alone,
 * takes what follows for a digest and data, and loses the PDUs after it (capture.test.ts shows that
 * with a Data-Out that is right). So those PDUs are handed to it without, after what was taken off
 * has been compared with what the generation header must be. Everything else passes unchanged.
 */
import { crc32c } from '../../../src/base/crc32c.ts'

const dataOut = 0x05
const scsiCommand = 0x01
const loginRequest = 0x03
const bhsBytes = 48
/** The key by which a leg asks for the header; it is in the first bytes of the connection. */
const legKey = 'X-io.palisade.Generation='

/** The stream of one connection, from the initiator to the target. */
export class LegRequests {
  readonly faults: string[] = []
  /** Data-Out PDUs so far that lost their AHS. */
  relieved = 0
  #isLeg: boolean | undefined
  #held: Buffer[] = []
  #heldBytes = 0
  #neededBytes = bhsBytes
  /** Where it was offered: undefined until the first PDU after the login has shown it. */
  #headerDigest: boolean | undefined = false
  #dataDigest = false

  /** The next bytes as they were sent; answers the bytes to be dissected, whole PDUs of a leg. */
  take(bytes: Buffer): Buffer {
    if (bytes.length > 0) this.#isLeg ??= bytes.includes(legKey)
    if (this.#isLeg !== true) return bytes
    this.#held.push(bytes)
    this.#heldBytes += bytes.length
    return this.#heldBytes < this.#neededBytes ? Buffer.alloc(0) : this.#cut()
  }

  /** All whole PDUs that are held, Data-Outs without their AHS. */
  #cut(): Buffer {
    const bytes = Buffer.concat(this.#held)
    const whole: Buffer[] = []
    let at = 0
    for (;;) {
      const length = this.#lengthOf(bytes.subarray(at))
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
  #lengthOf(bytes: Buffer): number {
    if (bytes.length < bhsBytes) return bhsBytes
    const header = bhsBytes + bytes[4]! * 4
    const data = (bytes.readUIntBE(5, 3) + 3) & ~3
    if (isLogin(bytes)) return header + data
    if (this.#headerDigest === undefined) {
      if (bytes.length < header + 4) return header + 4
      this.#headerDigest = crc32c([bytes.subarray(0, header)]) === bytes.readUInt32LE(header)
    }
    const digests = (this.#headerDigest ? 4 : 0) + (this.#dataDigest && data > 0 ? 4 : 0)
    return header + data + digests
  }

  #checked(pdu: Buffer): Buffer[] {
    const opcode = pdu[0]! & 0x3f
    if (isLogin(pdu)) {
      const text = pdu.toString('latin1')
      if (/HeaderDigest=[^\0]*CRC32C/.test(text)) this.#headerDigest = undefined
      // Legs offer what they mean; there is no list to choose from.
      if (text.includes('DataDigest=CRC32C')) this.#dataDigest = true
      return [pdu]
    }
    const ahsBytes = pdu[4]! * 4
    if (ahsBytes === 0 || opcode === scsiCommand) return [pdu]
    if (opcode === dataOut) return this.#withoutAhs(pdu, bhsBytes + ahsBytes)
    this.faults.push(`a PDU of opcode ${opcode.toString(16)}h has an AHS`)
    return [pdu]
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
}

function isLogin(bytes: Buffer): boolean {
  return (bytes[0]! & 0x3f) === loginRequest
}
