/**
 * `make sim`: simulates clusters, one a seed, and prints a line for each violation.
 *
 *   --seed N --seeds N   the first, and how many
 *   --jobs N             processes that share them
 *   --single             one copy of everything
 *   --theme NAME         the schedule (themes.ts) of all seeds; mix: the general mix of faults
 *   --trace              everything that happens
 *   --twice              each seed two times: the same must happen
 *   --keep-going         after a violation too
 *   --verbose, --brief   a line a seed; no story of a violation
 */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { type Result, simulate } from './simulation.ts'
import type { ThemeName } from './themes.ts'

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    seeds: { type: 'string', default: '1' },
    jobs: { type: 'string', default: '1' },
    single: { type: 'boolean', default: false },
    theme: { type: 'string' },
    mirrors: { type: 'boolean', default: true },
    trace: { type: 'boolean', default: false },
    twice: { type: 'boolean', default: false },
    'keep-going': { type: 'boolean', default: false },
    verbose: { type: 'boolean', default: false },
    brief: { type: 'boolean', default: false },
  },
})

interface Totals {
  seeds: number
  failed: number
  operations: number
  events: number
  virtualMs: number
}

const first = Number(values.seed)
const count = Number(values.seeds)
const jobs = Math.min(Number(values.jobs), count)
const mirrors = values.mirrors && !values.single
const theme = values.theme === undefined ? {} : { theme: values.theme as ThemeName | 'mix' }
const storyLines = 60
const totalsMark = 'totals '

async function runSeeds(): Promise<Totals> {
  const totals: Totals = { seeds: 0, failed: 0, operations: 0, events: 0, virtualMs: 0 }
  for (let seed = first; seed < first + count; seed++) {
    const print = values.trace ? (line: string) => console.log(line) : undefined
    const result = await simulate({ seed, mirrors, ...theme, ...(print && { print }) })
    totals.seeds++
    totals.events += result.events
    totals.operations += result.operations
    totals.virtualMs += result.virtualMs
    if (values.verbose) describe(result)
    const sound = result.violations.length === 0 && (await isRepeatable(result))
    if (sound) continue
    totals.failed++
    tell(result)
    if (!values['keep-going']) break
  }
  return totals
}

async function isRepeatable({ seed, fingerprint }: Result): Promise<boolean> {
  if (!values.twice) return true
  const again = await simulate({ seed, mirrors, ...theme })
  if (again.fingerprint === fingerprint) return true
  console.log(`seed ${seed}: two runs differ: ${fingerprint} ${again.fingerprint}`)
  return false
}

function describe({ seed, fingerprint, events, operations, plan }: Result): void {
  console.log(`seed ${seed} ${fingerprint} ${events} events ${operations} operations ${plan}`)
}

function tell({ seed, plan, violations, notes }: Result): void {
  console.log(`seed ${seed}: ${plan}`)
  for (const { by, what, atMs } of violations.slice(0, 3)) {
    console.log(`seed ${seed}: at ${atMs.toFixed(0)} ms (${by}) ${what}`)
  }
  if (!values.brief && !values.trace) console.log(notes.slice(-storyLines).join('\n'))
}

/** The same program, each with a part of the seeds. */
async function runJobs(): Promise<Totals> {
  const share = Math.ceil(count / jobs)
  const parts = Array.from({ length: jobs }, async (_, i) => {
    const from = first + i * share
    const own = Math.min(share, first + count - from)
    if (own <= 0) return undefined
    const flags = ['single', 'twice', 'keep-going', 'verbose', 'brief'] as const
    const kept = flags.filter((flag) => values[flag]).map((flag) => `--${flag}`)
    if (values.theme !== undefined) kept.push('--theme', values.theme)
    const args = ['--seed', String(from), '--seeds', String(own), ...kept]
    return runJob([fileURLToPath(import.meta.url), ...args])
  })
  const totals: Totals = { seeds: 0, failed: 0, operations: 0, events: 0, virtualMs: 0 }
  for (const part of await Promise.all(parts)) {
    if (part === undefined) continue
    for (const key of Object.keys(totals) as (keyof Totals)[]) totals[key] += part[key]
  }
  return totals
}

async function runJob(args: readonly string[]): Promise<Totals | undefined> {
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, SIM_JOB: '1' },
  })
  let totals: Totals | undefined
  for await (const line of createInterface(child.stdout)) {
    if (line.startsWith(totalsMark)) totals = JSON.parse(line.slice(totalsMark.length))
    else console.log(line)
  }
  if (totals === undefined) process.exitCode = 1
  return totals
}

const startMs = performance.now()
const totals = jobs > 1 ? await runJobs() : await runSeeds()
const seconds = (performance.now() - startMs) / 1_000
if (process.env.SIM_JOB === '1') console.log(totalsMark + JSON.stringify(totals))
else {
  const { seeds, failed, operations, events, virtualMs } = totals
  console.log(
    `${seeds} seeds from ${first}: ${failed} with violations; ${operations} operations, ` +
      `${events} events, ${(virtualMs / 1_000).toFixed(0)} s of virtual time ` +
      `in ${seconds.toFixed(1)} s`,
  )
}
if (totals.failed > 0) process.exitCode = 1
