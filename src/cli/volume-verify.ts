/**
 * `palisade volume verify`: compares the copies of a volume while it is in use. The primaries do the
 * work and go on with it if this command is interrupted; the command starts it and looks on.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Command } from 'commander'
import type { VerifiedSegment } from '../control/messages/admin.ts'
import { exitCode } from './exit-codes.ts'
import { addVerb, queryDeadlineMs, type VerbOptions, withManager } from './manager-connection.ts'
import { printJson, printLines, table } from './output.ts'
import { durationText, progressBar } from './replica-text.ts'
import { approximateSize } from './size.ts'
import type { Admin } from './volume-change.ts'

interface VerifyOptions extends VerbOptions {
  readonly repair?: boolean
}

const pollMs = 500
const noticeMs = 10_000

export function addVerify(parent: Command): void {
  addVerb(parent, 'verify <NAME>', 'compare the copies of a mirrored volume while it is in use')
    .option('--repair', 'write what the primary has over what differs')
    .addHelpText('after', verifyHelp)
    .action(verifyVolume)
}

const verifyHelp = `
Every block of each copy that is in sync is compared with the primary's. Exit status 0: all
are equal, or were made so by --repair; 1: some differ, or could not be compared.`

async function verifyVolume(name: string, options: VerifyOptions): Promise<void> {
  const repair = options.repair === true
  const segments = await withManager(options, async (admin) => {
    await admin.verifyVolume({ name, start: true, repair }, queryDeadlineMs)
    return untilDone(admin, name, progressPrinter(name, options))
  })
  const failed = segments.some((each) => !isClean(each))
  if (options.json) printJson(verifyJson(name, segments, !failed))
  else printLines(verifyLines(name, segments))
  if (failed) process.exitCode = exitCode.failed
}

type Tell = (segments: readonly VerifiedSegment[]) => void

async function untilDone(
  admin: Admin,
  name: string,
  tell: Tell,
): Promise<readonly VerifiedSegment[]> {
  for (;;) {
    const request = { name, start: false, repair: false }
    const { segments } = await admin.verifyVolume(request, queryDeadlineMs)
    if (segments.every(({ verification }) => verification.state !== 'running')) return segments
    tell(segments)
    await sleep(pollMs)
  }
}

/** One line that is drawn anew on a terminal; elsewhere a line now and then. */
function progressPrinter(name: string, { json }: VerifyOptions): Tell {
  if (json === true) return () => undefined
  if (process.stderr.isTTY) {
    return (segments) => process.stderr.write(`\r\x1b[K${progressLine(name, segments)}`)
  }
  let nextMs = performance.now() + noticeMs
  return (segments) => {
    if (performance.now() < nextMs) return
    nextMs = performance.now() + noticeMs
    process.stderr.write(`${progressLine(name, segments)}\n`)
  }
}

export function progressLine(name: string, segments: readonly VerifiedSegment[]): string {
  const sum = (field: 'comparedBytes' | 'totalBytes' | 'bytesPerSecond' | 'differingPages') =>
    segments.reduce((total, { verification }) => total + verification[field], 0)
  const compared = sum('comparedBytes')
  const total = sum('totalBytes')
  const rate = sum('bytesPerSecond')
  const eta = rate > 0 ? `, ${durationText((total - compared) / rate)} left` : ''
  const pages = sum('differingPages')
  const found = pages === 0 ? '' : `, ${pages} pages differ`
  const done = `${approximateSize(compared)} of ${approximateSize(total)}`
  return `${name}: ${progressBar(compared, total)} ${done}, ${approximateSize(rate)}/s${eta}${found}`
}

function isClean({ verification }: VerifiedSegment): boolean {
  return verification.state === 'done' && verification.repairedPages === verification.differingPages
}

/** Why a segment was not compared, for people. */
function outcome({ verification }: VerifiedSegment): string {
  const { state, cause, differingPages, repairedPages, comparedBytes } = verification
  switch (state) {
    case 'done': {
      if (differingPages === 0) return `equal, ${approximateSize(comparedBytes)} compared`
      const left = differingPages - repairedPages
      const what = left === 0 ? 'all repaired' : `${left} not repaired`
      return `${differingPages} pages differed, ${what}`
    }
    case 'alone':
      return 'not compared: no other copy is in sync'
    case 'none':
      return 'not compared: its primary changed or was restarted meanwhile'
    case 'failed':
      return `not compared to the end: ${cause}`
    case 'running':
      return 'under way'
  }
}

export function verifyLines(name: string, segments: readonly VerifiedSegment[]): string[] {
  const rows = segments.map((each) => [each.startBlock, each.server, outcome(each)])
  const named = segments.flatMap(({ startBlock, named }) =>
    named.map(({ server, lba, blocks }) => {
      return `segment at ${startBlock}: ${blocks} blocks at ${lba} differed on ${server}`
    }),
  )
  const good = segments.every(isClean)
  return [
    ...table(['start', 'primary', 'outcome'], rows),
    ...(named.length === 0 ? [] : ['', ...named]),
    '',
    good ? `the copies of ${name} are equal` : `the copies of ${name} are not known to be equal`,
  ]
}

function verifyJson(name: string, segments: readonly VerifiedSegment[], equal: boolean) {
  return {
    name,
    equal,
    segments: segments.map(({ server, startBlock, verification, named }) => ({
      segment: verification.segmentId,
      start: startBlock,
      primary: server,
      state: verification.state,
      cause: verification.cause,
      totalBytes: verification.totalBytes,
      comparedBytes: verification.comparedBytes,
      differingPages: verification.differingPages,
      repairedPages: verification.repairedPages,
      named,
    })),
  }
}
