/**
 * The garbage collector in a process that data pass through. V8 asks for a full collection after
 * every 64 MiB of buffers received, although the heap is small. Incremental marking spreads that
 * over many steps and helper threads, which for such a heap costs a multiple of doing it at once:
 * a third of all processor time of large writes, against pauses of a few milliseconds either way.
 */
import { setFlagsFromString } from 'node:v8'

/** To be called once, early, by the programs of the data path. */
export function collectAtOnce(): void {
  setFlagsFromString('--no-incremental-marking')
}
