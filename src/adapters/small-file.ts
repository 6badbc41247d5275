/**
 * A small file that is read and replaced as a whole: after a crash or a loss of power at any instant
 * it has the one content or the other.
 */
import { readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { syncDirectory } from './directory-sync.ts'
import { errorCode } from './node-errors.ts'

export class SmallFile {
  readonly path: string

  constructor(path: string) {
    this.path = path
  }

  /** Undefined where there is none. */
  async read(): Promise<Buffer | undefined> {
    try {
      return await readFile(this.path)
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return undefined
      throw error
    }
  }

  /** Durable once it resolves. One at a time. */
  async replace(content: Buffer): Promise<void> {
    const next = `${this.path}.new`
    await writeFile(next, content, { flush: true })
    await rename(next, this.path)
    await syncDirectory(dirname(this.path))
  }

  async remove(): Promise<void> {
    await rm(this.path, { force: true })
    await syncDirectory(dirname(this.path))
  }
}
