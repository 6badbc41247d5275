/**
 * Passes bytes between two streams, both ways, as fast as the slower side takes them. What ends
 * one side ends the other: in order after all that it had sent, at once after an error.
 */
import type { ByteStream } from '../../ports/network.ts'

/** `over` is called once, when both sides have ended. */
export function relay(near: ByteStream, far: ByteStream, over: () => void): void {
  let open = 2
  const ended = (): void => {
    open -= 1
    if (open === 0) over()
  }
  pass(near, far, ended)
  pass(far, near, ended)
}

function pass(from: ByteStream, to: ByteStream, ended: () => void): void {
  from.receive({
    data: (chunk) => {
      if (to.write([chunk])) return
      from.pause()
      void to.drained().then(() => from.resume())
    },
    ended: (cause) => {
      if (cause === undefined) to.close()
      else to.destroy()
      ended()
    },
  })
}
