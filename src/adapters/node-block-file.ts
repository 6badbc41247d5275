/**
 * One open file or block device. Small reads and writes run on the event loop as long as they prove
 * to be served by the page cache (loop-pace.ts), others in the thread pool.
 */
import { close, fdatasync, ftruncate, read, readSync, writev, writevSync } from 'node:fs'
import { promisify } from 'node:util'
import { StorageError } from '../base/errors.ts'
import { fileIo } from '../base/limits.ts'
import type { BlockFile } from '../ports/block-file.ts'
import { LoopPace } from './loop-pace.ts'
import { fileError } from './node-errors.ts'

const ftruncateAsync = promisify(ftruncate)
const closeAsync = promisify(close)
const done: Promise<void> = Promise.resolve()

export interface OpenedFile {
  readonly path: string
  readonly fd: number
  readonly sizeBytes: number
  /** The size cannot be changed (a device). */
  readonly fixed: boolean
}

export class NodeBlockFile implements BlockFile {
  readonly #path: string
  readonly #fd: number
  readonly #fixed: boolean
  #sizeBytes: number
  /** Operations in the thread pool: the descriptor may not be closed, and reused, under them. */
  #inFlight = 0
  #closed = false
  #idle: (() => void) | undefined
  /** A sync under way may hold what a write needs: such writes go to the pool. */
  #syncing = 0
  readonly #reads = new LoopPace({ slowMs: fileIo.slowReadMs, diskCount: blocksRead })
  readonly #writes = new LoopPace({ slowMs: fileIo.slowWriteMs })

  constructor(file: OpenedFile) {
    this.#path = file.path
    this.#fd = file.fd
    this.#fixed = file.fixed
    this.#sizeBytes = file.sizeBytes
  }

  get sizeBytes(): number {
    return this.#sizeBytes
  }

  read(buffer: Buffer, offsetBytes: number): Promise<void> {
    if (buffer.length <= fileIo.largestLoopBytes && !this.#closed) {
      const begunMs = this.#reads.begin()
      if (begunMs !== undefined) return this.#readOnLoop(buffer, offsetBytes, begunMs)
    }
    return this.#run('read', (settle) => this.#readInPool(buffer, offsetBytes, 0, settle))
  }

  write(buffers: readonly Uint8Array[], offsetBytes: number): Promise<void> {
    const lengthBytes = totalBytes(buffers)
    if (lengthBytes === 0) return done
    if (lengthBytes <= fileIo.largestLoopBytes && this.#syncing === 0 && !this.#closed) {
      const begunMs = this.#writes.begin()
      if (begunMs !== undefined) return this.#writeOnLoop(buffers, offsetBytes, begunMs)
    }
    return this.#run('write', (settle) => this.#writeInPool(buffers, offsetBytes, settle))
  }

  async flush(): Promise<void> {
    this.#syncing++
    try {
      await this.#run('sync', (settle) => fdatasync(this.#fd, settle))
    } finally {
      this.#syncing--
    }
  }

  async resize(sizeBytes: number): Promise<void> {
    if (this.#fixed) {
      if (sizeBytes <= this.#sizeBytes) return
      throw new StorageError('no-space', `${this.#path} is a device of ${this.#sizeBytes} bytes`)
    }
    await this.#run('resize', (settle) => {
      ftruncateAsync(this.#fd, sizeBytes).then(() => settle(null), settle)
    })
    this.#sizeBytes = sizeBytes
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    if (this.#inFlight > 0) {
      await new Promise<void>((resolve) => {
        this.#idle = resolve
      })
    }
    await closeAsync(this.#fd)
  }

  #readOnLoop(buffer: Buffer, offsetBytes: number, begunMs: number): Promise<void> {
    try {
      let filled = 0
      while (filled < buffer.length) {
        const count = readSync(
          this.#fd,
          buffer,
          filled,
          buffer.length - filled,
          offsetBytes + filled,
        )
        if (count === 0) return Promise.reject(this.#shortRead(offsetBytes + filled))
        filled += count
      }
    } catch (error) {
      return Promise.reject(fileError('read', this.#path, error))
    }
    this.#reads.judge(begunMs)
    return done
  }

  #writeOnLoop(
    buffers: readonly Uint8Array[],
    offsetBytes: number,
    begunMs: number,
  ): Promise<void> {
    try {
      let rest = buffers
      let at = offsetBytes
      for (let left = totalBytes(buffers); left > 0; ) {
        const count = writevSync(this.#fd, rest, at)
        if (count === 0) return Promise.reject(this.#nothingWritten(at))
        this.#grown(at + count)
        left -= count
        at += count
        if (left > 0) rest = after(rest, count)
      }
    } catch (error) {
      return Promise.reject(fileError('write', this.#path, error))
    }
    this.#writes.judge(begunMs)
    return done
  }

  #readInPool(buffer: Buffer, offsetBytes: number, filled: number, settle: Settle): void {
    const missing = buffer.length - filled
    read(this.#fd, buffer, filled, missing, offsetBytes + filled, (error, count) => {
      if (error !== null) return settle(error)
      if (count === 0) return settle(this.#shortRead(offsetBytes + filled))
      if (count === missing) return settle(null)
      this.#readInPool(buffer, offsetBytes, filled + count, settle)
    })
  }

  #writeInPool(buffers: readonly Uint8Array[], offsetBytes: number, settle: Settle): void {
    const lengthBytes = totalBytes(buffers)
    writev(this.#fd, buffers, offsetBytes, (error, count) => {
      if (error !== null) return settle(error)
      this.#grown(offsetBytes + count)
      if (count === lengthBytes) return settle(null)
      if (count === 0) return settle(this.#nothingWritten(offsetBytes))
      this.#writeInPool(after(buffers, count), offsetBytes + count, settle)
    })
  }

  #shortRead(offsetBytes: number): StorageError {
    return new StorageError('io-error', `read ${this.#path}: nothing there at byte ${offsetBytes}`)
  }

  #nothingWritten(offsetBytes: number): StorageError {
    return new StorageError('io-error', `write ${this.#path}: nothing taken at ${offsetBytes}`)
  }

  #grown(endBytes: number): void {
    if (endBytes > this.#sizeBytes) this.#sizeBytes = endBytes
  }

  #run(action: string, start: (settle: Settle) => void): Promise<void> {
    if (this.#closed) {
      return Promise.reject(new StorageError('io-error', `${action} ${this.#path}: it is closed`))
    }
    this.#inFlight++
    return new Promise<void>((resolve, reject) => {
      start((error) => {
        this.#inFlight--
        if (this.#inFlight === 0) this.#idle?.()
        if (error === null) resolve()
        else reject(fileError(action, this.#path, error))
      })
    })
  }
}

type Settle = (error: Error | null) => void

function after(buffers: readonly Uint8Array[], bytes: number): Uint8Array[] {
  const rest: Uint8Array[] = []
  let skip = bytes
  for (const buffer of buffers) {
    if (skip >= buffer.length) skip -= buffer.length
    else {
      rest.push(skip === 0 ? buffer : buffer.subarray(skip))
      skip = 0
    }
  }
  return rest
}

function totalBytes(buffers: readonly Uint8Array[]): number {
  let bytes = 0
  for (const buffer of buffers) bytes += buffer.length
  return bytes
}

/** Blocks that this process has had to wait for a disk to read. */
function blocksRead(): number {
  return process.resourceUsage().fsRead
}
