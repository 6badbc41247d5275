/**
 * BlockFiles that lose what was not flushed, as a machine without power does. Unflushed writes live
 * in the memory of this process, in front of real or simulated files: a SIGKILL of the process
 * loses them all; `crash` lets any part of them reach the files, torn at sector boundaries.
 */
import type { BlockFile, BlockFiles } from '../../src/ports/block-file.ts'
import { FaultPlan } from './fault-plan.ts'

interface PendingWrite {
  readonly offsetBytes: number
  readonly bytes: Buffer
}

export class LossyBlockFiles implements BlockFiles {
  readonly #backing: BlockFiles
  readonly #plan: FaultPlan
  readonly #open = new Map<string, LossyFile>()

  constructor(backing: BlockFiles, plan: FaultPlan = new FaultPlan({ random: Math.random })) {
    this.#backing = backing
    this.#plan = plan
  }

  async open(name: string, options: { create?: boolean } = {}): Promise<BlockFile> {
    await this.#plan.before('name')
    const known = this.#open.get(name)
    if (known !== undefined) return known
    const file = new LossyFile(name, await this.#backing.open(name, options), this.#plan)
    this.#open.set(name, file)
    await this.#plan.after()
    return file
  }

  exists(name: string): Promise<boolean> {
    return this.#backing.exists(name)
  }

  async remove(name: string): Promise<void> {
    await this.#plan.before('name')
    await this.#open.get(name)?.forget()
    this.#open.delete(name)
    await this.#backing.remove(name)
    await this.#plan.after()
  }

  /** The machine has lost its power: some of what was not flushed is in the files after it. */
  async crash(): Promise<void> {
    for (const file of this.#open.values()) await file.keepSome()
  }

  /** Only the process has died: the kernel keeps all that was written. */
  async kill(): Promise<void> {
    for (const file of this.#open.values()) await file.keepAll()
  }
}

class LossyFile implements BlockFile {
  readonly #name: string
  readonly #backing: BlockFile
  readonly #plan: FaultPlan
  /** Written and not durable, oldest first. */
  #pending: PendingWrite[] = []
  /** What a failed flush has dropped: still seen by reads, as in a page cache, never on the disk. */
  #dropped: PendingWrite[] = []

  constructor(name: string, backing: BlockFile, plan: FaultPlan) {
    this.#name = name
    this.#backing = backing
    this.#plan = plan
  }

  get sizeBytes(): number {
    return [...this.#dropped, ...this.#pending].reduce(
      (size, { offsetBytes, bytes }) =>
        bytes.length === 0 ? size : Math.max(size, offsetBytes + bytes.length),
      this.#backing.sizeBytes,
    )
  }

  async read(buffer: Buffer, offsetBytes: number): Promise<void> {
    await this.#plan.beforeRead()
    const behind = Math.max(0, Math.min(buffer.length, this.#backing.sizeBytes - offsetBytes))
    const complete = offsetBytes + buffer.length <= this.sizeBytes
    buffer.fill(0, behind)
    await this.#backing.read(complete ? buffer.subarray(0, behind) : buffer, offsetBytes)
    for (const write of [...this.#dropped, ...this.#pending]) {
      overlay(write, buffer, offsetBytes)
    }
  }

  async write(buffers: readonly Uint8Array[], offsetBytes: number): Promise<void> {
    await this.#plan.before('write')
    const bytes = Buffer.concat(buffers)
    try {
      this.#plan.mustHaveRoom(this.#name)
    } catch (error) {
      // Whole sectors of what is made of them; a record may be cut anywhere.
      const cutBytes = offsetBytes % 512 === 0 ? 512 : 1
      const part = Math.floor((this.#plan.random() * bytes.length) / cutBytes) * cutBytes
      if (part > 0) this.#pending.push({ offsetBytes, bytes: bytes.subarray(0, part) })
      await this.#plan.after()
      throw error
    }
    this.#pending.push({ offsetBytes, bytes })
    await this.#plan.after()
  }

  async flush(): Promise<void> {
    // Only what had resolved before this call: a write that comes now is not waited for.
    const covered = [...this.#pending]
    await this.#plan.before('flush')
    if (this.#plan.flushFails) {
      for (const write of covered) if (this.#plan.random() < 0.5) await this.#keep(write)
      this.#dropped.push(...covered)
      this.#pending = this.#pending.filter((write) => !covered.includes(write))
      throw this.#plan.flushError(this.#name)
    }
    for (const write of covered) {
      await this.#keep(write)
      for (const lost of this.#dropped) overlay(write, lost.bytes, lost.offsetBytes)
    }
    await this.#backing.flush()
    const durable = new Set(covered)
    this.#pending = this.#pending.filter((write) => !durable.has(write))
    await this.#plan.after()
  }

  async resize(sizeBytes: number): Promise<void> {
    await this.#plan.before('name')
    const inside = (write: PendingWrite): PendingWrite => ({
      ...write,
      bytes: write.bytes.subarray(0, Math.max(0, sizeBytes - write.offsetBytes)),
    })
    this.#pending = this.#pending.map(inside)
    this.#dropped = this.#dropped.map(inside)
    await this.#backing.resize(sizeBytes)
    await this.#plan.after()
  }

  /** The file below stays open: what was not flushed still belongs to it. */
  async close(): Promise<void> {
    await Promise.resolve()
  }

  forget(): Promise<void> {
    return this.#backing.close()
  }

  async keepAll(): Promise<void> {
    for (const write of this.#pending) await this.#keep(write)
  }

  /** None, all, some writes, or some sectors of them, chosen anew for each file. */
  async keepSome(): Promise<void> {
    const { random } = this.#plan
    const mode = Math.floor(random() * 4)
    const sectorBytes = random() < 0.5 ? 512 : 4096
    for (const write of this.#pending) {
      if (mode === 1 || (mode === 2 && random() < 0.5)) await this.#keep(write)
      if (mode !== 3) continue
      const end = write.offsetBytes + write.bytes.length
      for (let at = write.offsetBytes; at < end; ) {
        const next = Math.min(end, (Math.floor(at / sectorBytes) + 1) * sectorBytes)
        const bytes = write.bytes.subarray(at - write.offsetBytes, next - write.offsetBytes)
        if (random() < 0.5) await this.#keep({ offsetBytes: at, bytes })
        at = next
      }
    }
  }

  #keep({ offsetBytes, bytes }: PendingWrite): Promise<void> {
    return this.#backing.write([bytes], offsetBytes)
  }
}

function overlay(write: PendingWrite, target: Buffer, targetOffsetBytes: number): void {
  const from = Math.max(targetOffsetBytes, write.offsetBytes)
  const to = Math.min(targetOffsetBytes + target.length, write.offsetBytes + write.bytes.length)
  if (from >= to) return
  const start = from - write.offsetBytes
  write.bytes.copy(target, from - targetOffsetBytes, start, start + to - from)
}
