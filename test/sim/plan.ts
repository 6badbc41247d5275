/**
 * What one seed is about: how large the cluster is, what initiators do, and which faults there are.
 * Few seeds have all of them (swarm testing): a fault that is always there hides what only its
 * absence shows.
 */

import type { ClearingTimes } from '../../targets/mirror/clearing-choice.ts'
import { type FaultName, faultNames } from './faults/faults.ts'
import type { LoadWeights } from './load/sim-initiator.ts'
import type { Chance } from './world/chance.ts'

export interface VolumePlan {
  readonly name: string
  readonly pages: number
  readonly stripe: number
  readonly mirror: number
  readonly leaseMs: number
}

export interface Plan {
  readonly servers: number
  readonly shims: number
  /** Beside the shims, for initiators of their own that have a path through each. */
  readonly gateways: number
  readonly volumes: readonly VolumePlan[]
  /** Initiators of each shim for each volume. */
  readonly initiators: number
  readonly workers: number
  readonly thinkMs: number
  readonly weights: LoadWeights
  readonly capacityPages: number
  readonly clocksDiffer: boolean
  readonly fast: boolean
  readonly faults: readonly FaultName[]
  readonly faultEveryMs: number
  readonly loadMs: number
  readonly pings: number
  /** An initiator has a session with each portal, not with one after the other. */
  readonly portalsAtOnce: boolean
  /** So likely an initiator returns to its first path when that works again. */
  readonly failsBack: number
  /** So likely an initiator asks for the path that it goes to; otherwise its I/O has to move it. */
  readonly asksForPath: number
  /** So likely an initiator whose patience is over asks for an abort, before it breaks off. */
  readonly aborts: number
  /** So likely an initiator comes back under another ISID each time, as libiscsi does. */
  readonly newIsids: number
  /** Portals of a front end that its initiators try in turn. */
  readonly frontPortals: number
  readonly patienceMs: number
  /** Most places where operations meet. */
  readonly hotPlaces: number
  /** So many of the clients read and nothing else: no write of theirs waits, and they with it. */
  readonly readers: number
  /** Where operations meet, in the place of what is drawn. */
  readonly places?: readonly number[]
  /** How soon marks are taken back, where that is not to take its usual time. */
  readonly clearing?: ClearingTimes
}

const pageKib = 64
/** More workers than so many are slower each: faults should come between operations, too. */
const soMany = 6

export function drawPlan(chance: Chance, mirrors: boolean): Plan {
  const servers = chance.pick([1, 2, 2, 3, 3, 4])
  const pageCounts = [2, 8, 24, 70]
  const volumes = Array.from({ length: chance.pick([1, 1, 2]) }, (_, i): VolumePlan => {
    const mirror = mirrors ? chance.pick([1, 2, 2, 3].filter((copies) => copies <= servers)) : 1
    const stripe = chance.happens(0.4) ? Math.min(servers, chance.pick([1, 2, 3])) : 0
    const pages = Math.max(chance.pick(pageCounts), stripe)
    return {
      name: `v${i + 1}`,
      pages,
      stripe,
      mirror,
      leaseMs: chance.pick([0, 500, 2_000, 5_000]),
    }
  })
  const weights: LoadWeights = {
    read: chance.between(0.5, 3),
    write: chance.between(1, 3),
    large: chance.happens(0.4) ? 0.15 : 0,
    unmap: chance.happens(0.5) ? chance.between(0.05, 0.5) : 0,
    same: chance.happens(0.3) ? 0.1 : 0,
    compare: chance.happens(0.5) ? chance.between(0.1, 1) : 0,
    flush: chance.happens(0.7) ? chance.between(0.05, 0.4) : 0,
    forced: chance.pick([0, 0.1, 0.5]),
    letGo: chance.pick([0, 0, 0.2]),
  }
  const shims = chance.pick([1, 1, 2])
  const initiators = chance.pick([1, 1, 2])
  const workers = chance.pick([1, 2, 3])
  const crowd = shims * initiators * workers * volumes.length
  const kinds =
    chance.below(10) === 0 ? [] : chance.some(faultNames, chance.pick([0.06, 0.12, 0.25, 0.5]))
  return {
    servers,
    shims,
    volumes,
    initiators,
    workers,
    thinkMs: chance.skewed(15, 150) * Math.max(1, crowd / soMany),
    weights,
    capacityPages: chance.happens(0.3) ? 0 : 1_000,
    clocksDiffer: chance.happens(0.5),
    fast: chance.happens(0.8),
    faults: kinds,
    faultEveryMs: chance.skewed(250, 2_500),
    loadMs: chance.happens(0.15) ? chance.skewed(8_000, 20_000) : chance.skewed(2_500, 9_000),
    pings: chance.pick([0, 0.5, 1]),
    portalsAtOnce: false,
    failsBack: 0.4,
    asksForPath: 0.6,
    aborts: 0.5,
    patienceMs: chance.skewed(1_000, 40_000),
    newIsids: chance.pick([0, 0.5]),
    frontPortals: chance.pick([1, 2]),
    hotPlaces: 1 + chance.below(5),
    readers: 0,
    gateways: chance.happens(0.2) ? 2 : 0,
  }
}

export function planText(plan: Plan): string {
  const volumes = plan.volumes.map(
    ({ pages, stripe, mirror }) => `${pages * pageKib}K/stripe ${stripe}/copies ${mirror}`,
  )
  const size = `${plan.servers} servers, ${plan.shims} shims, ${volumes.join(' and ')}`
  return `${size}; faults every ${plan.faultEveryMs.toFixed(0)} ms: ${plan.faults.join(' ') || 'none'}`
}
