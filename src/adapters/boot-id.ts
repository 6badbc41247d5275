/**
 * The identity of this boot of the machine: what was written and not flushed under another one
 * may be gone.
 */
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'

const path = '/proc/sys/kernel/random/boot_id'

/**
 * Where the kernel does not say, each start counts as another boot: a store then drops what it
 * need not have dropped, and never trusts what may be gone.
 */
export function readBootId(): string {
  try {
    return readFileSync(path, 'ascii').trim()
  } catch (error) {
    return `unknown-${randomUUID()}-${error instanceof Error ? error.name : 'Error'}`
  }
}
