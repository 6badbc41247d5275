/** `palisade recovery`: which copies are being brought up, and the two settings of that. */
import type { Command } from 'commander'
import { StorageError } from '../base/errors.ts'
import { mirror, pageBytes } from '../base/limits.ts'
import type { RecoveryReply } from '../control/messages/admin.ts'
import { addVerb, changeDeadlineMs, type VerbOptions, withManager } from './manager-connection.ts'
import { printJson, printLines } from './output.ts'
import { durationText, replicaJson, replicaTable } from './replica-text.ts'
import { approximateSize, parseSize } from './size.ts'

interface RecoveryOptions extends VerbOptions {
  readonly limit?: string
  readonly grace?: string
}

export function addRecoveryCommand(program: Command): void {
  const limit = approximateSize(mirror.recoveryBytesPerSecond)
  const grace = durationText(mirror.recoveryGraceMs / 1000)
  addVerb(program, 'recovery', 'copies that are brought up or replaced; sets how fast and when')
    .option(
      '--limit <SIZE/s>',
      `the most that each server copies in a second (${limit}/s), or none`,
    )
    .option('--grace <DURATION>', `how long a copy may be away before it is replaced (${grace})`)
    .addHelpText('after', recoveryHelp)
    .action(recovery)
}

const recoveryHelp = `
Settings are kept by the manager, also over restarts, and servers heed them within a second.
A DURATION is a number with s, min, h or d; plain: seconds. A copy that comes back within its
grace gets only what it missed. After it the manager makes a new copy on another server in
another failure domain; the space for that is what \`manager --reserve\` keeps free.
Clients go on meanwhile, and the default limit leaves them most of what disks can do.

Examples:
  palisade recovery
  palisade recovery --limit 200MiB/s
  palisade recovery --limit none --grace 30min`

async function recovery(options: RecoveryOptions): Promise<void> {
  const request = {
    ...(options.limit !== undefined && { bytesPerSecond: parseLimit(options.limit) }),
    ...(options.grace !== undefined && { graceMs: parseDuration(options.grace, '--grace') }),
  }
  const reply = await withManager(options, (admin) => admin.recovery(request, changeDeadlineMs))
  if (options.json) printJson(recoveryJson(reply))
  else printLines(recoveryLines(reply, process.stdout.isTTY === true))
}

/** Bytes a second; 0 for no limit. */
export function parseLimit(text: string): number {
  if (text === 'none') return 0
  const rule = { field: '--limit', multipleOfBytes: 1, atLeastBytes: pageBytes }
  return parseSize(text.replace(/\/s$/, ''), rule)
}

const secondsIn = { '': 1, s: 1, min: 60, h: 3_600, d: 86_400 } as const

/** Whole milliseconds. */
export function parseDuration(text: string, field: string): number {
  const match = /^([0-9]+(?:\.[0-9]+)?) ?(s|min|h|d|)$/.exec(text)
  const factor = secondsIn[match?.[2] as keyof typeof secondsIn]
  if (match === null || factor === undefined) {
    const form = 'a number with s, min, h or d'
    throw new StorageError('invalid', `${field}: "${text}" is not ${form}`)
  }
  return Math.round(Number(match[1]) * factor * 1000)
}

function recoveryJson({ settings, replicas }: RecoveryReply) {
  return {
    limitBytesPerSecond: settings.bytesPerSecond === 0 ? null : settings.bytesPerSecond,
    graceSeconds: settings.graceMs / 1000,
    replicas: replicas.map(({ volume, replica }) => ({ volume, ...replicaJson(replica) })),
  }
}

export function recoveryLines({ settings, replicas }: RecoveryReply, bars: boolean): string[] {
  const { bytesPerSecond, graceMs } = settings
  const limit =
    bytesPerSecond === 0 ? 'none' : `${approximateSize(bytesPerSecond)}/s on each server`
  return [
    `limit  ${limit}`,
    `grace  ${durationText(graceMs / 1000)}`,
    '',
    ...(replicas.length === 0 ? ['every copy is in sync'] : replicaTable(replicas, bars)),
  ]
}
