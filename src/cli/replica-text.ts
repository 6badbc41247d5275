/**
 * Copies of a volume for people and scripts: how each stands, with a bar where one is being brought
 * up. Pure text; whether bars are drawn is for the caller, who knows where it is printed.
 */
import type { ReplicaStatus } from '../control/messages/admin.ts'
import { table } from './output.ts'
import { approximateSize } from './size.ts'

const barWidth = 20

/** `[########............]  40 %` */
export function progressBar(done: number, total: number): string {
  const share = total === 0 ? 1 : Math.min(1, done / total)
  const filled = Math.floor(share * barWidth)
  const percent = String(Math.floor(share * 100)).padStart(3)
  return `[${'#'.repeat(filled)}${'.'.repeat(barWidth - filled)}] ${percent} %`
}

/** `3 s`, `2 min 5 s`, `1 h 20 min`. */
export function durationText(seconds: number): string {
  const whole = Math.ceil(seconds)
  if (whole < 60) return `${whole} s`
  const minutes = Math.floor(whole / 60)
  if (minutes < 60) return whole % 60 === 0 ? `${minutes} min` : `${minutes} min ${whole % 60} s`
  const hours = Math.floor(minutes / 60)
  return minutes % 60 === 0 ? `${hours} h` : `${hours} h ${minutes % 60} min`
}

/** Null where nothing moves, so nothing can be said. */
export function secondsLeft({ behindBytes, bytesPerSecond }: ReplicaStatus): number | null {
  return bytesPerSecond > 0 && behindBytes > 0 ? Math.ceil(behindBytes / bytesPerSecond) : null
}

/** What remains of one copy, in words: `12 MiB behind, 50 MiB/s, 3 s left`. */
export function progressText(replica: ReplicaStatus): string {
  const { behindBytes, bytesPerSecond, comparingBytes, diskFailed } = replica
  const seconds = secondsLeft(replica)
  return [
    ...(behindBytes > 0 ? [`${approximateSize(behindBytes)} behind`] : []),
    ...(bytesPerSecond > 0 ? [`${approximateSize(bytesPerSecond)}/s`] : []),
    ...(seconds === null ? [] : [`${durationText(seconds)} left`]),
    ...(comparingBytes > 0 ? [`${approximateSize(comparingBytes)} to be compared`] : []),
    ...(diskFailed ? ['the disk returned errors'] : []),
    ...replacementText(replica),
  ].join(', ')
}

function replacementText({ replacedInMs }: ReplicaStatus): string[] {
  if (replacedInMs === undefined) return []
  return [
    replacedInMs === 0 ? 'to be replaced' : `replaced in ${durationText(replacedInMs / 1000)}`,
  ]
}

/** Bytes that it has of what it was to get when it began. */
function barOf({ state, copiedBytes, behindBytes }: ReplicaStatus): string {
  if (state !== 'syncing') return ''
  return `${progressBar(copiedBytes, copiedBytes + behindBytes)} `
}

export interface ShownReplica {
  readonly replica: ReplicaStatus
  /** Absent where all are of one volume. */
  readonly volume?: string
}

export function replicaTable(shown: readonly ShownReplica[], bars: boolean): string[] {
  const named = shown.some(({ volume }) => volume !== undefined)
  const rows = shown.map(({ replica, volume = '' }) => [
    ...(named ? [volume] : []),
    replica.startBlock,
    replica.server,
    replica.primary ? 'primary' : 'copy',
    replica.state,
    `${bars ? barOf(replica) : ''}${progressText(replica)}`.trim(),
  ])
  const head = ['start', 'server', 'role', 'state', 'progress']
  return table(named ? ['volume', ...head] : head, rows)
}

/** Keys may be added, never changed. */
export function replicaJson(replica: ReplicaStatus) {
  return {
    segment: replica.segmentId,
    start: replica.startBlock,
    server: replica.server,
    primary: replica.primary,
    state: replica.state,
    behindBytes: replica.behindBytes,
    totalBytes: replica.totalBytes,
    copiedBytes: replica.copiedBytes,
    bytesPerSecond: replica.bytesPerSecond,
    secondsLeft: secondsLeft(replica),
    comparingBytes: replica.comparingBytes,
    diskFailed: replica.diskFailed,
    replacedInSeconds: replica.replacedInMs === undefined ? null : replica.replacedInMs / 1000,
  }
}

/** `in sync`, or `s2 syncing, 12 MiB behind; s3 gone`. */
export function copiesText(replicas: readonly ReplicaStatus[]): string {
  const wrong = replicas.filter(({ state }) => state !== 'in-sync')
  if (wrong.length === 0) return 'in sync'
  const servers = [...new Set(wrong.map(({ server }) => server))].map((server) => {
    const here = wrong.filter((each) => each.server === server)
    const states = [...new Set(here.map(({ state }) => state))].join(' and ')
    const bytes = here.reduce((sum, { behindBytes }) => sum + behindBytes, 0)
    return `${server} ${states}${bytes > 0 ? `, ${approximateSize(bytes)} behind` : ''}`
  })
  return servers.join('; ')
}
