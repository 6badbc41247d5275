/** A Log for tests that do not look at it. */
import type { Log } from '../../src/ports/log.ts'

export const quietLog: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  with: () => quietLog,
}
