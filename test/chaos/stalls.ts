/** How long commands stalled, by kind of fault, beside what the design aims at (section 8 there). */
import type { Fault } from './faults.ts'

export interface Round {
  readonly fault: Fault
  /** Until it was undone. */
  readonly faultMs: number
  /** The longest command from the fault until everything was in sync again. */
  readonly stallMs: number
  /** Of commands that the host sent again on its other path: from when it had given up the first. */
  readonly afterMoveMs: number | undefined
  readonly recoveryMs: number
  /** Writes that were sent again on the other path while the first may still have had them. */
  readonly parked: number
}

const head = [
  'fault',
  'rounds',
  'aim, ms',
  'stall, median',
  '90 %',
  'longest',
  'longest from when the host moved',
  'in sync after, median',
]

export function stallTable(rounds: readonly Round[]): string {
  const kinds = [...new Set(rounds.map(({ fault }) => fault))]
  kinds.sort((left, right) => (left.name < right.name ? -1 : 1))
  const rows = kinds.map((fault) => {
    const of = rounds.filter((each) => each.fault === fault)
    const stalls = ascending(of.map(({ stallMs }) => stallMs))
    const moves = of.flatMap(({ afterMoveMs }) => afterMoveMs ?? [])
    const recoveries = ascending(of.map(({ recoveryMs }) => recoveryMs))
    return [
      fault.name,
      String(of.length),
      aim(fault),
      quantile(stalls, 0.5),
      quantile(stalls, 0.9),
      quantile(stalls, 1),
      moves.length === 0 ? '' : Math.max(...moves).toFixed(0),
      quantile(recoveries, 0.5),
    ]
  })
  return [head, head.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n')
}

function aim({ aimMs }: Fault): string {
  if (aimMs === undefined) return ''
  const [from, to] = aimMs
  return from === to ? String(to) : `${from} to ${to}`
}

function ascending(values: readonly number[]): number[] {
  return [...values].sort((left, right) => left - right)
}

/** The smallest value that so many are not above. */
function quantile(sorted: readonly number[], fraction: number): string {
  return (sorted[Math.max(0, Math.ceil(sorted.length * fraction) - 1)] ?? 0).toFixed(0)
}
