/** How a program of ours ends: SIGINT or SIGTERM asks it to, a second one or the deadline make it. */
import { toError } from '../base/errors.ts'

/** Waits for the signal, runs `stop`, and lets the process end with 0; 1 when stopping failed. */
export async function untilStopped(stop: () => Promise<void>, deadlineMs = 10_000): Promise<void> {
  await new Promise<void>((resolve) => {
    let asked = false
    const ask = (): void => {
      if (asked) process.exit(1)
      asked = true
      resolve()
    }
    process.on('SIGINT', ask)
    process.on('SIGTERM', ask)
  })
  // Stopping always ends, whatever a disk or a peer does.
  setTimeout(() => {
    process.stderr.write(`palisade: not stopped within ${deadlineMs} ms, giving up\n`)
    process.exit(1)
  }, deadlineMs).unref()
  try {
    await stop()
    process.exitCode = 0
  } catch (thrown) {
    process.stderr.write(`palisade: while stopping: ${toError(thrown).message}\n`)
    process.exitCode = 1
  }
}
