/** What went over the paths to one server, by route. Plain counters for the status; never reset. */

import type { Route } from '../../src/leg/probe-race.ts'

export interface RouteCounters {
  commands: number
  bytes: number
  logins: number
}

export class PathCounters {
  readonly direct: RouteCounters = { commands: 0, bytes: 0, logins: 0 }
  readonly management: RouteCounters = { commands: 0, bytes: 0, logins: 0 }
  /** Sessions that broke or were given up. */
  breaks = 0
  /** Working sessions through the management path replaced by direct ones. */
  returns = 0
  /** Times and total in which no session stood while commands waited. */
  stalls = 0
  stalledMs = 0
  longestStallMs = 0

  sent(route: Route, bytes: number): void {
    const counters = this[route]
    counters.commands++
    counters.bytes += bytes
  }

  stalled(ms: number): void {
    this.stalls++
    this.stalledMs += ms
    this.longestStallMs = Math.max(this.longestStallMs, ms)
  }
}
