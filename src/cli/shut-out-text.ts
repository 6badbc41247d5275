/** For how long changes shut clients out, for people. Counted since the manager's start. */
import type { ShutOut } from '../control/messages/admin.ts'

export function shutOutText(shutOut: ShutOut): string {
  if (shutOut.changes === 0) return 'never'
  return `at most ${shutOut.maxMs.toFixed(1)} ms, last ${shutOut.lastMs.toFixed(1)} ms`
}
