/** At which moments the power fails: what goes on then, and how long one waits for it. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { HandCluster } from '../support/hand-cluster.ts'
import type { Administrator } from './administrator.ts'

export interface Doings {
  readonly cluster: HandCluster
  readonly administrator: Administrator
  readonly random: () => number
  /** Writes, unmaps and flushes until a command fails, or `rest`. Never rejects for that. */
  readonly load: () => Promise<void>
  readonly rest: () => void
}

export interface Act {
  /** Now the power fails. */
  readonly reached: Promise<void>
  /** What was going on has noticed. */
  readonly ended: Promise<void>
}

export interface Moment {
  readonly name: string
  /** Absent: before everything is up again. */
  readonly act?: (doings: Doings) => Act
}

const longestLoadMs = 500
const longestCallMs = 60
/** A dead copy is given up within it. */
const longestAloneMs = 3_000
const longestReturnMs = 1_500
/** Regions are cleared when nothing was written for 3 s, after a flush, which comes every 5 s. */
const longestRestMs = 6_000

const moments: readonly Moment[] = [
  { name: 'while everything is started' },
  { name: 'under load', act: underLoad },
  { name: 'a volume is created or deleted', act: calling((who) => who.createOrDelete()) },
  { name: 'the volume grows', act: calling((who) => who.grow()) },
  { name: 'the volume is closed for a change', act: calling((who) => who.closingChange()) },
  { name: 'a copy is missing, or returns', act: withoutCopy },
  { name: 'marks are being cleared', act: clearing },
]

/** Every kind equally often, in any order. */
export function drawMoments(count: number, random: () => number): Moment[] {
  const drawn = Array.from({ length: count }, (_, i) => moments[i % moments.length]!)
  return drawn
    .map((moment) => ({ moment, at: random() }))
    .sort((left, right) => left.at - right.at)
    .map(({ moment }) => moment)
}

function underLoad({ load, random }: Doings): Act {
  return { reached: sleep(random() * longestLoadMs), ended: load() }
}

/** During the call, or right after its answer. */
function calling(call: (who: Administrator) => Promise<void>): (doings: Doings) => Act {
  return ({ load, random, administrator }) => {
    const loading = load()
    const calls = sleep(random() * longestCallMs).then(() => call(administrator))
    const reached =
      random() < 0.5
        ? sleep(2 * random() * longestCallMs)
        : calls.then(() => sleep(random() * longestCallMs))
    // A call that the power cut off has no answer; what it may have done is checked.
    const noticed = calls.catch(() => undefined)
    return { reached, ended: Promise.all([loading, noticed]).then(() => undefined) }
  }
}

function withoutCopy({ load, random, cluster }: Doings): Act {
  const server = cluster.servers[random() < 0.5 ? 0 : 1]!
  const ended = load()
  const happens = async (): Promise<void> => {
    await sleep(random() * longestLoadMs)
    server.process.kill('SIGKILL')
    await sleep(random() * longestAloneMs)
    if (random() < 0.5) return
    await cluster.restartServer(server)
    await sleep(random() * longestReturnMs)
  }
  return { reached: happens(), ended }
}

function clearing({ load, rest, random }: Doings): Act {
  const ended = load()
  const happens = async (): Promise<void> => {
    await sleep(random() * longestLoadMs)
    rest()
    await ended
    await sleep(random() * longestRestMs)
  }
  return { reached: happens(), ended }
}
