/**
 * BlockFiles on a directory: regular files and block devices through the callback API of node:fs,
 * which does two to three times the small reads of fs.promises. It holds no cache of its own; what
 * was written and not flushed is in the kernel's.
 */
import { access, constants, fstat, open as openFile, type Stats, unlink } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { dirname, isAbsolute, resolve } from 'node:path'
import { promisify } from 'node:util'
import { assert } from '../base/assert.ts'
import { StorageError } from '../base/errors.ts'
import type { BlockFile, BlockFiles } from '../ports/block-file.ts'
import { makeDirectory, syncDirectory } from './directory-sync.ts'
import { NodeBlockFile } from './node-block-file.ts'
import { errorCode, fileError } from './node-errors.ts'

const openAsync = promisify(openFile)
const fstatAsync = promisify(fstat)
const unlinkAsync = promisify(unlink)
const accessAsync = promisify(access)

export class NodeBlockFiles implements BlockFiles {
  readonly #directory: string

  /** The directory is made when the first file in it is created. */
  constructor(directory: string) {
    this.#directory = resolve(directory)
  }

  async open(name: string, options: { create?: boolean } = {}): Promise<BlockFile> {
    const path = this.#path(name)
    try {
      const fd = await this.#openDescriptor(path, options.create ?? false)
      const stats = await fstatAsync(fd)
      return new NodeBlockFile({
        path,
        fd,
        sizeBytes: await sizeOf(path, stats),
        fixed: !stats.isFile(),
      })
    } catch (error) {
      throw fileError('open', path, error)
    }
  }

  async exists(name: string): Promise<boolean> {
    const path = this.#path(name)
    try {
      await accessAsync(path)
      return true
    } catch (error) {
      if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return false
      throw fileError('look for', path, error)
    }
  }

  async remove(name: string): Promise<void> {
    const path = this.#path(name)
    try {
      await unlinkAsync(path)
      await syncDirectory(dirname(path))
    } catch (error) {
      if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return
      throw fileError('remove', path, error)
    }
  }

  async #openDescriptor(path: string, create: boolean): Promise<number> {
    try {
      return await openAsync(path, constants.O_RDWR)
    } catch (error) {
      if (!create || errorCode(error) !== 'ENOENT') throw error
    }
    await makeDirectory(dirname(path))
    const fd = await openAsync(path, constants.O_RDWR | constants.O_CREAT, 0o600)
    await syncDirectory(dirname(path))
    return fd
  }

  #path(name: string): string {
    const inside = name !== '' && !isAbsolute(name) && !name.split('/').includes('..')
    assert(inside, `"${name}" names no file inside a directory`)
    return resolve(this.#directory, name)
  }
}

async function sizeOf(path: string, stats: Stats): Promise<number> {
  if (stats.isFile()) return stats.size
  if (!stats.isBlockDevice()) {
    throw new StorageError('invalid', `${path} is neither a regular file nor a block device`)
  }
  // fstat says 0 for a block device; the kernel counts its size in 512-byte sectors here. The
  // device number is packed as makedev(3) of Linux does it.
  const major = (stats.rdev >>> 8) & 0xfff
  const minor = (stats.rdev & 0xff) | ((stats.rdev >>> 12) & 0xfff00)
  return Number(await readFile(`/sys/dev/block/${major}:${minor}/size`, 'ascii')) * 512
}
