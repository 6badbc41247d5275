/**
 * One program per directory, and only in a directory of its own format. The lock is an abstract
 * unix socket named after the directory's device and inode: the kernel frees it however the holder
 * dies. (It is seen only within one network namespace.) The VERSION file says whose directory it
 * is: `palisade PROGRAM FORMAT`.
 */
import { readdir, readFile, rename, stat, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { join, resolve } from 'node:path'
import { StorageError } from '../base/errors.ts'
import { makeDirectory, syncDirectory } from './directory-sync.ts'
import { errorCode, fileError } from './node-errors.ts'

export interface DirectoryFormat {
  /** For example `manager`; a directory of another program is refused. */
  readonly program: string
  readonly version: number
}

export interface InstanceLock {
  release(): Promise<void>
}

/** Makes the directory if need be. Rejects with in-use, wrong-version or not-a-store. */
export async function lockDirectory(
  directory: string,
  format: DirectoryFormat,
): Promise<InstanceLock> {
  const path = resolve(directory)
  const server = await acquire(path)
  try {
    await checkVersion(path, format)
  } catch (error) {
    await release(server)
    throw fileError('check', path, error)
  }
  return { release: () => release(server) }
}

async function acquire(path: string): Promise<Server> {
  try {
    await makeDirectory(path)
    const { dev, ino } = await stat(path)
    return await listen(`\0palisade-${dev}-${ino}`)
  } catch (error) {
    if (errorCode(error) === 'EADDRINUSE') {
      const advice = 'stop that one first, or give another directory'
      throw new StorageError('in-use', `${path} is in use by a running palisade: ${advice}`, error)
    }
    throw fileError('lock', path, error)
  }
}

function listen(name: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy())
    server.once('error', reject)
    server.listen({ path: name }, () => {
      server.unref()
      resolve(server)
    })
  })
}

function release(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
  })
}

async function checkVersion(path: string, format: DirectoryFormat): Promise<void> {
  const file = join(path, 'VERSION')
  const expected = `palisade ${format.program} ${format.version}\n`
  const found = await readVersion(file)
  if (found === undefined) {
    const others = (await readdir(path)).filter((name) => name !== 'VERSION.new')
    if (others.length > 0) {
      const why = 'is not empty and has no VERSION file: give an empty or a new directory'
      throw new StorageError('not-a-store', `${path} ${why}`)
    }
    await writeFile(`${file}.new`, expected, { flush: true })
    await rename(`${file}.new`, file)
    await syncDirectory(path)
  } else if (found !== expected) {
    const why = `holds "${found.trim()}", this program needs "${expected.trim()}"`
    const advice = 'use the palisade version that made it, or give another directory'
    throw new StorageError('wrong-version', `${path} ${why}: ${advice}`)
  }
}

async function readVersion(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined
    throw error
  }
}
