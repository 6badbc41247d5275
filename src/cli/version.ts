/** The version of this checkout, from package.json, which every release changes and nothing else. */
import { readFileSync } from 'node:fs'

export const version = readVersion()

/** Two levels up from src/cli, or three from dist/src/cli. */
function readVersion(): string {
  for (const up of ['../..', '../../..']) {
    try {
      const text = readFileSync(new URL(`${up}/package.json`, import.meta.url), 'utf8')
      const found: unknown = JSON.parse(text)
      if (isPackage(found) && found.name === 'palisade') return found.version
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== 'ENOENT') throw thrown
    }
  }
  throw new Error('package.json of palisade not found')
}

function isPackage(value: unknown): value is { name: string; version: string } {
  return typeof value === 'object' && value !== null && 'name' in value && 'version' in value
}
