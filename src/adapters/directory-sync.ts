/** Makes new and removed names durable: a file's own fsync says nothing about its directory. */
import { constants } from 'node:fs'
import { mkdir, open } from 'node:fs/promises'
import { dirname } from 'node:path'

export async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** mkdir -p, durably. `path` must be absolute. */
export async function makeDirectory(path: string): Promise<void> {
  const first = await mkdir(path, { recursive: true })
  if (first === undefined) return
  const above = dirname(first)
  for (let made = dirname(path); made.length >= above.length; made = dirname(made)) {
    await syncDirectory(made)
    if (made === above) break
  }
}
