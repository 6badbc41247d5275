/**
 * A child of `palisade up` must not outlive it, however it ends. The supervisor holds one end of an
 * IPC channel; when that end closes, the child stops as if it had been asked to, and is gone after
 * a grace period in any case.
 */
const graceMs = 5_000

export function stopWithParent(): void {
  if (process.channel === undefined) return
  process.on('disconnect', () => {
    setTimeout(() => process.exit(1), graceMs).unref()
    process.kill(process.pid, 'SIGTERM')
  })
  // Listening for the end must not keep a child alive that has nothing else to do.
  process.channel.unref()
}
