/** The region masks of all replicas of a storage server: one file for each segment. */
import type { BlockFiles } from '../../src/ports/block-file.ts'
import type { Log } from '../../src/ports/log.ts'
import { SegmentMasks } from './segment-masks.ts'

export interface MaskStoreOptions {
  /** Those of the server's directory. */
  readonly files: BlockFiles
  readonly log: Log
}

export interface MaskExpectation {
  /** The replica is older than this call: a file that is missing was lost, and all may differ. */
  readonly mustExist?: boolean
}

export class MaskStore {
  readonly #options: MaskStoreOptions
  /** What is done with one segment waits for what was asked of it before. */
  readonly #last = new Map<string, Promise<SegmentMasks | undefined>>()

  private constructor(options: MaskStoreOptions) {
    this.#options = options
  }

  static open(options: MaskStoreOptions): MaskStore {
    return new MaskStore(options)
  }

  /**
   * The masks of a replica of this length: one object for all who ask, until it fails; it is read
   * anew from its file then.
   */
  segment(
    segmentId: string,
    blocks: number,
    blockBytes: number,
    { mustExist = false }: MaskExpectation = {},
  ): Promise<SegmentMasks> {
    const bytes = blocks * blockBytes
    return this.#after(segmentId, async (known) => {
      if (known?.bytes === bytes && known.failure === undefined) return known
      if (known !== undefined && (await resized(known, bytes))) return known
      await known?.abandon()
      const name = maskFileName(segmentId)
      return SegmentMasks.open({ ...this.#options, name, segmentId, bytes, mustExist })
    })
  }

  /** Gives up the masks of a replica that is no more; no error where there are none. */
  async drop(segmentId: string): Promise<void> {
    const dropped = this.#after(segmentId, async (known) => {
      await known?.abandon()
      await this.#options.files.remove(maskFileName(segmentId))
      return undefined
    })
    const last = this.#last.get(segmentId)
    await dropped
    if (this.#last.get(segmentId) === last) this.#last.delete(segmentId)
  }

  /** Everything is in the files after it. */
  async close(): Promise<void> {
    await Promise.all(
      [...this.#last.keys()].map((segmentId) =>
        this.#after(segmentId, async (known) => {
          await known?.close()
          return undefined
        }),
      ),
    )
    this.#last.clear()
  }

  #after<T extends SegmentMasks | undefined>(
    segmentId: string,
    run: (known: SegmentMasks | undefined) => Promise<T>,
  ): Promise<T> {
    const before = this.#last.get(segmentId) ?? Promise.resolve(undefined)
    const now = before.then(run)
    // A call that failed leaves nothing open behind.
    this.#last.set(
      segmentId,
      now.catch(() => undefined),
    )
    return now
  }
}

/** False where its file has failed. */
async function resized(masks: SegmentMasks, bytes: number): Promise<boolean> {
  try {
    await masks.resize(bytes)
  } catch (error) {
    if (masks.failure === undefined) throw error
  }
  return masks.failure === undefined
}

function maskFileName(segmentId: string): string {
  return `masks/${segmentId}`
}
