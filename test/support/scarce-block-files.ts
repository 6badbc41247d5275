/**
 * BlockFiles on a file system that has only so much room: what is written where nothing was before
 * takes of it. A write that does not fit is cut short, and what fits is there.
 */
import { StorageError } from '../../src/base/errors.ts'
import type { BlockFile, BlockFiles } from '../../src/ports/block-file.ts'

const unitBytes = 4096

export class ScarceBlockFiles implements BlockFiles {
  freeUnits = Number.POSITIVE_INFINITY
  /** Files of which not even what is there can be overwritten; asked at every write. */
  refuses: (name: string) => boolean = () => false
  /** So much of a write that is refused is there all the same. */
  leftBytes = 0
  readonly #backing: BlockFiles
  readonly #held = new Map<string, Set<number>>()

  constructor(backing: BlockFiles) {
    this.#backing = backing
  }

  async open(name: string, options: { create?: boolean } = {}): Promise<BlockFile> {
    const file = await this.#backing.open(name, options)
    return {
      get sizeBytes() {
        return file.sizeBytes
      },
      read: (buffer, offsetBytes) => file.read(buffer, offsetBytes),
      write: (buffers, offsetBytes) => this.#write(name, file, Buffer.concat(buffers), offsetBytes),
      flush: () => file.flush(),
      resize: (sizeBytes) => {
        this.#giveBack(name, Math.ceil(sizeBytes / unitBytes))
        return file.resize(sizeBytes)
      },
      close: () => file.close(),
    }
  }

  exists(name: string): Promise<boolean> {
    return this.#backing.exists(name)
  }

  remove(name: string): Promise<void> {
    this.#giveBack(name, 0)
    return this.#backing.remove(name)
  }

  async #write(name: string, file: BlockFile, bytes: Buffer, offsetBytes: number): Promise<void> {
    const refused = this.refuses(name)
    const fits = refused ? this.leftBytes : this.#take(name, offsetBytes, bytes.length)
    await file.write([bytes.subarray(0, fits)], offsetBytes)
    if (refused || fits < bytes.length) throw new StorageError('no-space', `${name}: no room`)
  }

  /** How many bytes from there on have room. */
  #take(name: string, offsetBytes: number, lengthBytes: number): number {
    const held = this.#heldBy(name)
    for (let at = offsetBytes; at < offsetBytes + lengthBytes; ) {
      const unit = Math.floor(at / unitBytes)
      if (!held.has(unit)) {
        if (this.freeUnits === 0) return at - offsetBytes
        this.freeUnits--
        held.add(unit)
      }
      at = (unit + 1) * unitBytes
    }
    return lengthBytes
  }

  #giveBack(name: string, fromUnit: number): void {
    const held = this.#heldBy(name)
    for (const unit of held) {
      if (unit < fromUnit) continue
      held.delete(unit)
      this.freeUnits++
    }
  }

  #heldBy(name: string): Set<number> {
    const held = this.#held.get(name) ?? new Set()
    this.#held.set(name, held)
    return held
  }
}
