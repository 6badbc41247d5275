/**
 * Who a client host is: a UUID drawn once into the shim's directory, which names it to servers and
 * in admissions (design, section 12).
 */
import { readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { syncDirectory } from '../adapters/directory-sync.ts'
import { errorCode, fileError } from '../adapters/node-errors.ts'
import { nodeRandom } from '../adapters/node-random.ts'
import { StorageError } from '../base/errors.ts'
import { clientIqn } from '../volume/names.ts'

const pattern = /^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\n$/

/** The client's InitiatorName. The directory exists and is locked. */
export async function clientIdentity(directory: string): Promise<string> {
  const file = join(directory, 'identity')
  try {
    const uuid = pattern.exec(await readFile(file, 'utf8'))?.[1]
    if (uuid !== undefined) return clientIqn(uuid)
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return draw(directory, file)
    throw fileError('read', file, error)
  }
  throw new StorageError('not-a-store', `${file} is damaged: it must hold a UUID`)
}

async function draw(directory: string, file: string): Promise<string> {
  const uuid = nodeRandom.uuid()
  try {
    await writeFile(`${file}.new`, `${uuid}\n`, { flush: true })
    await rename(`${file}.new`, file)
    await syncDirectory(directory)
  } catch (error) {
    throw fileError('write', file, error)
  }
  return clientIqn(uuid)
}
