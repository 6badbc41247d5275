/**
 * Bytes from a connection to frames: header, AHS, data segment, padding and digests (RFC 7143
 * 11.2). It knows nothing of what a PDU means. Data segments are slices of the chunks as received,
 * never copied; only a header that spans two chunks is. Every length is checked against its limit
 * before anything is kept for it. One framer per connection and direction.
 */
import { crc32c } from '../base/crc32c.ts'
import { basicHeaderBytes } from './pdu/basic-header.ts'

export interface Frame {
  readonly kind: 'frame'
  readonly opcode: number
  readonly immediate: boolean
  /** The 48 bytes of the Basic Header Segment. All buffers here are views on received chunks. */
  readonly header: Buffer
  readonly ahs: Buffer
  readonly data: readonly Buffer[]
  readonly dataBytes: number
}

/**
 * After `data-digest` and `passed-over` the next frame can be read; after the others the stream is
 * lost and the connection must end (RFC 7143 7.7, 7.8). `header` is absent where it is known to be
 * damaged.
 */
export interface FrameFault {
  readonly kind: 'header-digest' | 'passed-over' | 'data-digest' | 'data-too-long' | 'ahs-too-long'
  readonly header?: Buffer
}

export interface FramerLimits {
  /** Our own MaxRecvDataSegmentLength; asked anew for each PDU. */
  readonly maxDataSegmentBytes: () => number
  readonly maxAhsBytes: number
}

/** A peer that sends crumbs must not make us keep one object for each: they are gathered. */
const crumbBytes = 2048
const crumbsBefore = 16
const gatherBytes = 16 * crumbBytes

const empty: Buffer = Buffer.alloc(0)
const noData: readonly Buffer[] = []
const digestBytes = 4

/** The digest as it stands in the stream: its bytes go lowest first. RFC 7143 13.1. */
const readDigest = (digest: Buffer) => digest.readUInt32LE(0)

export class Framer {
  readonly #limits: FramerLimits
  #headerDigest = false
  #dataDigest = false
  #passesOver = false
  /** The length of the frame before could not be believed: this header must prove that it was right. */
  #inDoubt = false
  /** The frame whose data are still to come has a damaged header. */
  #isDamaged = false
  /** Received and not yet taken whole: those from index `#first` on. */
  readonly #chunks: Buffer[] = []
  #first = 0
  /** Where crumbs are gathered; the last chunk is a view on its first `#gatheredBytes`. */
  #gather = empty
  #gatheredBytes = 0
  /** Bytes of the first chunk already taken. */
  #taken = 0
  #bufferedBytes = 0
  #lost = false
  /** The header part of the frame whose data are still to come. */
  #header: Buffer | undefined
  #ahs = empty
  #dataBytes = 0

  constructor(limits: FramerLimits) {
    this.#limits = limits
  }

  /**
   * From the next PDU on; call it between two frames. `passesOver`: a PDU with a damaged header is
   * passed over by the length that it shows, and only when the next header is sound was that length
   * right; else the stream is lost. RFC 7143 7.7.
   */
  setDigests(digests: {
    readonly header: boolean
    readonly data: boolean
    readonly passesOver?: boolean
  }): void {
    this.#headerDigest = digests.header
    this.#dataDigest = digests.data
    this.#passesOver = digests.passesOver === true
  }

  /** Bytes received and not yet handed out. */
  get bufferedBytes(): number {
    return this.#bufferedBytes
  }

  /** Takes ownership of `chunk`. */
  push(chunk: Buffer): void {
    if (this.#lost || chunk.length === 0) return
    this.#bufferedBytes += chunk.length
    if (chunk.length < crumbBytes && this.#chunks.length - this.#first > crumbsBefore) {
      this.#pushCrumb(chunk)
      return
    }
    this.#gather = empty
    this.#chunks.push(chunk)
  }

  #pushCrumb(chunk: Buffer): void {
    const end = this.#gatheredBytes + chunk.length
    if (end <= this.#gather.length) {
      chunk.copy(this.#gather, this.#gatheredBytes)
      this.#gatheredBytes = end
      this.#chunks[this.#chunks.length - 1] = this.#gather.subarray(0, end)
      return
    }
    this.#gather = Buffer.allocUnsafe(gatherBytes)
    this.#gatheredBytes = chunk.length
    chunk.copy(this.#gather)
    this.#chunks.push(this.#gather.subarray(0, chunk.length))
  }

  /** The next whole frame, or undefined until more bytes come. */
  next(): Frame | FrameFault | undefined {
    if (this.#header === undefined) {
      const fault = this.#readHeader()
      if (fault !== undefined) return fault
    }
    return this.#header === undefined ? undefined : this.#readData(this.#header)
  }

  #readHeader(): FrameFault | undefined {
    if (this.#bufferedBytes < basicHeaderBytes) return undefined
    const ahsBytes = this.#peekByte(4) * 4
    if (ahsBytes > this.#limits.maxAhsBytes) {
      return this.#lose({ kind: 'ahs-too-long', header: this.#take(basicHeaderBytes) })
    }
    const digest = this.#headerDigest ? digestBytes : 0
    if (this.#bufferedBytes < basicHeaderBytes + ahsBytes + digest) return undefined
    const header = this.#take(basicHeaderBytes)
    const ahs = ahsBytes === 0 ? empty : this.#take(ahsBytes)
    this.#isDamaged = digest > 0 && crc32c([header, ahs]) !== readDigest(this.#take(digest))
    if (this.#isDamaged && (!this.#passesOver || this.#inDoubt)) {
      return this.#lose({ kind: 'header-digest' })
    }
    this.#inDoubt = this.#isDamaged
    const dataBytes = (header[5]! << 16) | (header[6]! << 8) | header[7]!
    if (dataBytes > this.#limits.maxDataSegmentBytes()) {
      return this.#lose(
        this.#isDamaged ? { kind: 'header-digest' } : { kind: 'data-too-long', header },
      )
    }
    this.#header = header
    this.#ahs = ahs
    this.#dataBytes = dataBytes
    return undefined
  }

  #readData(header: Buffer): Frame | FrameFault | undefined {
    const dataBytes = this.#dataBytes
    let data = noData
    if (dataBytes > 0) {
      const padding = -dataBytes & 3
      const digest = this.#dataDigest ? digestBytes : 0
      if (this.#bufferedBytes < dataBytes + padding + digest) return undefined
      data = this.#takeSlices(dataBytes)
      const pad = padding === 0 ? empty : this.#take(padding)
      const tail = digest > 0 ? readDigest(this.#take(digest)) : 0
      if (digest > 0 && !this.#isDamaged && crc32c([...data, pad]) !== tail) {
        this.#header = undefined
        return { kind: 'data-digest', header }
      }
    }
    const first = header[0]!
    this.#header = undefined
    if (this.#isDamaged) return { kind: 'passed-over' }
    return {
      kind: 'frame',
      opcode: first & 0x3f,
      immediate: (first & 0x40) !== 0,
      header,
      ahs: this.#ahs,
      data,
      dataBytes,
    }
  }

  /** Framing is lost: whatever else was received means nothing. */
  #lose(fault: FrameFault): FrameFault {
    this.#lost = true
    this.#chunks.length = 0
    this.#first = 0
    this.#gather = empty
    this.#taken = 0
    this.#bufferedBytes = 0
    return fault
  }

  #peekByte(offset: number): number {
    let index = this.#taken + offset
    let i = this.#first
    for (; index >= this.#chunks[i]!.length; i++) index -= this.#chunks[i]!.length
    return this.#chunks[i]![index]!
  }

  /** The next `count` bytes in one piece: a view, or a copy where they span chunks. */
  #take(count: number): Buffer {
    const first = this.#chunks[this.#first]!
    if (first.length - this.#taken >= count) return this.#takeFromFirst(first, count)
    return Buffer.concat(this.#takeSlices(count), count)
  }

  #takeSlices(count: number): Buffer[] {
    const slices: Buffer[] = []
    for (let missing = count; missing > 0; ) {
      const first = this.#chunks[this.#first]!
      const slice = this.#takeFromFirst(first, Math.min(missing, first.length - this.#taken))
      slices.push(slice)
      missing -= slice.length
    }
    return slices
  }

  #takeFromFirst(first: Buffer, count: number): Buffer {
    const start = this.#taken
    const end = start + count
    this.#bufferedBytes -= count
    if (end === first.length) {
      this.#dropFirst()
    } else {
      this.#taken = end
    }
    return start === 0 && end === first.length ? first : first.subarray(start, end)
  }

  #dropFirst(): void {
    this.#taken = 0
    this.#first++
    if (this.#first < this.#chunks.length) return
    this.#chunks.length = 0
    this.#first = 0
    this.#gather = empty
  }
}
