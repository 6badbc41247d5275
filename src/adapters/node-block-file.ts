/**
 * One open file or block device. Small reads are tried on the event loop as long as they prove to
 * come from the page cache: a cached 4 KiB read costs 1 us there and 5 to 30 us through the thread
 * pool. A read that took long enough to have been a disk access sends the next ones to the pool,
 * for a time that doubles while misses go on.
 */
import { close, fdatasync, ftruncate, read, readSync, writev } from 'node:fs'
import { performance } from 'node:perf_hooks'
import { promisify } from 'node:util'
import { StorageError } from '../base/errors.ts'
import { fileIo } from '../base/limits.ts'
import type { BlockFile } from '../ports/block-file.ts'
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
  #poolUntilMs = 0
  #poolForMs: number = fileIo.poolFirstMs
  #quickReads = 0

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
    if (buffer.length <= fileIo.largestLoopReadBytes && !this.#closed) {
      const startedMs = performance.now()
      if (startedMs >= this.#poolUntilMs) return this.#readOnLoop(buffer, offsetBytes, startedMs)
    }
    if (buffer.length === 0) return done
    return this.#run('read', (settle) => this.#readInPool(buffer, offsetBytes, 0, settle))
  }

  write(buffers: readonly Uint8Array[], offsetBytes: number): Promise<void> {
    if (buffers.every((buffer) => buffer.length === 0)) return done
    return this.#run('write', (settle) => this.#writeInPool(buffers, offsetBytes, settle))
  }

  flush(): Promise<void> {
    return this.#run('sync', (settle) => fdatasync(this.#fd, settle))
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

  #readOnLoop(buffer: Buffer, offsetBytes: number, startedMs: number): Promise<void> {
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
    this.#judge(performance.now(), startedMs)
    return done
  }

  #judge(nowMs: number, startedMs: number): void {
    if (nowMs - startedMs > fileIo.slowReadMs) {
      this.#quickReads = 0
      this.#poolUntilMs = nowMs + this.#poolForMs
      this.#poolForMs = Math.min(this.#poolForMs * 2, fileIo.poolLongestMs)
    } else if (++this.#quickReads >= fileIo.quickReadsToForget) {
      this.#quickReads = 0
      this.#poolForMs = fileIo.poolFirstMs
    }
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
    const lengthBytes = buffers.reduce((sum, buffer) => sum + buffer.length, 0)
    writev(this.#fd, buffers, offsetBytes, (error, count) => {
      if (error !== null) return settle(error)
      this.#sizeBytes = Math.max(this.#sizeBytes, offsetBytes + count)
      if (count === lengthBytes) return settle(null)
      if (count === 0) return settle(new Error(`nothing written at ${offsetBytes}`))
      this.#writeInPool(after(buffers, count), offsetBytes + count, settle)
    })
  }

  #shortRead(offsetBytes: number): StorageError {
    return new StorageError('io-error', `read ${this.#path}: nothing there at byte ${offsetBytes}`)
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
