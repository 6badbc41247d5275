/**
 * The file of one segment's masks: where each page is, and what is believed of what is found there.
 * A page of bits that cannot be read says that all its regions are set; a head that cannot be read
 * says that nobody is known to lack anything, which is the same as a label 0. It owns the file, and
 * decides neither what is written nor when.
 *
 *   0  head    4096  head, again    8192  page 0 of each slot, page 1 of each slot, …
 *
 * The two heads say the same: each is written and flushed before the other. So the one that is left
 * when the other rots claims nothing that was taken back.
 */
import { StorageError } from '../../src/base/errors.ts'
import type { BlockFile, BlockFiles } from '../../src/ports/block-file.ts'
import type { Log } from '../../src/ports/log.ts'
import {
  decodeHead,
  decodePage,
  encodeHead,
  encodePage,
  type MaskHead,
  maskPageBytes,
  type PageContents,
  type PagePlace,
  pageBitsBytes,
  slots,
} from './mask-page.ts'

/** In different physical sectors, whatever their size is. */
const headSpacingBytes = 4096
const headCopies = 2
const bitsAt = headCopies * headSpacingBytes

export interface MaskFileOptions {
  readonly files: BlockFiles
  readonly name: string
  readonly segmentId: string
  readonly log: Log
}

/** One page of bits, to be written. */
export interface BitsPage {
  readonly slot: number
  readonly index: number
  readonly bits: Buffer
}

export class MaskFile {
  readonly #file: BlockFile
  readonly #segmentId: string
  readonly #log: Log
  #head: MaskHead | undefined
  /** Both copies of the head are there and say the same. */
  #headWhole = false
  /** Nothing was ever written, or nothing of the head. */
  #begun = true

  private constructor(file: BlockFile, { segmentId, log }: MaskFileOptions) {
    this.#file = file
    this.#segmentId = segmentId
    this.#log = log
  }

  /** Makes the file where there is none. */
  static async open(options: MaskFileOptions): Promise<MaskFile> {
    const file = await options.files.open(options.name, { create: true })
    const masks = new MaskFile(file, options)
    try {
      await masks.#readHead()
    } catch (error) {
      await file.close()
      throw error
    }
    return masks
  }

  /** The last head that was durable; absent where there is none that can be read. */
  get head(): MaskHead | undefined {
    return this.#head
  }

  get headWhole(): boolean {
    return this.#headWhole
  }

  /** Something was written here once, so zeros are damage where the head does not say otherwise. */
  get begun(): boolean {
    return this.#begun
  }

  /** Undefined where every region of the page counts as set. */
  async readBits(slot: number, index: number, blankIsClear: boolean): Promise<Buffer | undefined> {
    const contents = await this.#readPage({ kind: 'bits', slot, index }, pageAt(slot, index))
    if (contents === 'blank' && blankIsClear) return Buffer.alloc(pageBitsBytes)
    if (contents instanceof Buffer) return Buffer.from(contents)
    this.#log.warn('page of a region mask cannot be read: all its regions count as set', {
      segmentId: this.#segmentId,
      slot,
      index,
      found: contents,
    })
    return undefined
  }

  async writeBits(pages: readonly BitsPage[]): Promise<void> {
    for (const { slot, index, bits } of pages) {
      const page = encodePage(this.#segmentId, { kind: 'bits', slot, index }, bits)
      await this.#file.write([page], pageAt(slot, index))
    }
  }

  /** Durable when it resolves, both copies of it. */
  async writeHead(head: Omit<MaskHead, 'sequence'>): Promise<void> {
    const next = { ...head, sequence: (this.#head?.sequence ?? 0) + 1 }
    this.#headWhole = false
    for (let copy = 0; copy < headCopies; copy++) {
      const page = encodePage(this.#segmentId, headPlace(copy), encodeHead(next))
      await this.#file.write([page], copy * headSpacingBytes)
      await this.#file.flush()
    }
    this.#head = next
    this.#headWhole = true
    this.#begun = true
  }

  flush(): Promise<void> {
    return this.#file.flush()
  }

  close(): Promise<void> {
    return this.#file.close()
  }

  async #readHead(): Promise<void> {
    const found: PageContents[] = []
    for (let copy = 0; copy < headCopies; copy++) {
      found.push(await this.#readPage(headPlace(copy), copy * headSpacingBytes))
    }
    const heads = found.flatMap((contents) =>
      contents instanceof Buffer ? [decodeHead(contents)] : [],
    )
    this.#begun = found.some((contents) => contents !== 'blank')
    this.#head = heads.sort((left, right) => right.sequence - left.sequence)[0]
    this.#headWhole = heads.length === headCopies && heads[0]!.sequence === heads[1]!.sequence
    if (this.#head === undefined && this.#begun) {
      const segmentId = this.#segmentId
      this.#log.warn('head of region masks cannot be read: no replica returns by them', {
        segmentId,
      })
    }
  }

  async #readPage(place: PagePlace, offsetBytes: number): Promise<PageContents> {
    if (offsetBytes + maskPageBytes > this.#file.sizeBytes) return 'blank'
    const page = Buffer.alloc(maskPageBytes)
    try {
      await this.#file.read(page, offsetBytes)
    } catch (error) {
      if (error instanceof StorageError && error.code === 'io-error') return 'damaged'
      throw error
    }
    return decodePage(this.#segmentId, place, page)
  }
}

function headPlace(copy: number): PagePlace {
  return { kind: 'head', slot: copy, index: 0 }
}

function pageAt(slot: number, index: number): number {
  return bitsAt + (index * slots + slot) * maskPageBytes
}
