/**
 * Who a storage server is: a UUID drawn once into its directory, and the name that it was first
 * given. Maps and records name both, so a directory is never started under another name.
 */
import { readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { syncDirectory } from '../adapters/directory-sync.ts'
import { errorCode, fileError } from '../adapters/node-errors.ts'
import { nodeRandom } from '../adapters/node-random.ts'
import { StorageError } from '../base/errors.ts'

const pattern = /^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}) ([a-z0-9-]+)\n$/

/** The server's UUID. The directory exists and is locked. */
export async function serverIdentity(directory: string, name: string): Promise<string> {
  const file = join(directory, 'identity')
  const text = await read(file)
  if (text === undefined) return draw(directory, file, name)
  const [, serverId, keptName] = pattern.exec(text) ?? []
  if (serverId === undefined) {
    throw new StorageError('not-a-store', `${file} is damaged: it must hold a UUID and a name`)
  }
  if (keptName !== name) {
    const advice = `start it with --name ${keptName}, or give another directory`
    throw new StorageError('conflict', `${directory} belongs to server ${keptName}: ${advice}`)
  }
  return serverId
}

async function read(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined
    throw fileError('read', file, error)
  }
}

async function draw(directory: string, file: string, name: string): Promise<string> {
  const serverId = nodeRandom.uuid()
  try {
    await writeFile(`${file}.new`, `${serverId} ${name}\n`, { flush: true })
    await rename(`${file}.new`, file)
    await syncDirectory(directory)
  } catch (error) {
    throw fileError('write', file, error)
  }
  return serverId
}
