/** What became of a volume's front commands. Plain counters for the status; never reset. */
export class RouterCounters {
  commands = 0
  /** Commands that had to wait for a server, a map or a proof of life. */
  held = 0
  /** The longest time from acceptance to answer of a held command that was answered GOOD. */
  longestStallMs = 0
  /** Pieces sent again: after their session was lost, and after an answer that asked for it. */
  resentAfterLoss = 0
  readonly repeated = new Map<string, number>()
  /** COMPARE AND WRITE and ORWRITE of which nobody knows whether they had their effect. */
  outcomeUnknown = 0
  busy = 0
  notReady = 0
  conflicts = 0
  dropped = 0
  alarms = 0

  repeat(why: string): void {
    this.repeated.set(why, (this.repeated.get(why) ?? 0) + 1)
  }
}
