/**
 * `make sim`: simulates clusters, one a seed, and prints a line for each violation.
 *
 *   --seed N --seeds N   the first, and how many
 *   --jobs N             processes that share them; all: one for each core
 *   --single, --mirrors  one copy of everything; several. Otherwise the seed decides
 *   --theme NAME         the schedule (themes.ts) of all seeds; mix: the general mix of faults
 *   --drawn              of a theme: only the seeds that draw it by themselves
 *   --trace              everything that happens
 *   --twice              each seed two times: the same must happen
 *   --keep-going         after a violation too
 *   --verbose, --brief   a line a seed; no story of a violation
 */
import { spawn } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { drawnTheme, type Result, type SimulationOptions, simulate } from './simulation.ts'
import type { ThemeName } from './themes.ts'

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    seeds: { type: 'string', default: '1' },
    jobs: { type: 'string', default: '1' },
    single: { type: 'boolean', default: false },
    theme: { type: 'string' },
    mirrors: { type: 'boolean', default: false },
    drawn: { type: 'boolean', default: false },
    /** Between seeds of one process. */
    step: { type: 'string', default: '1' },
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
const cores = Math.max(2, availableParallelism())
const jobs = Math.min(values.jobs === 'all' ? cores : Number(values.jobs), count)
const isJob = process.env.SIM_JOB === '1'
const startMs = performance.now()
const storyLines = 60
const totalsMark = 'totals '
const doneMark = 'done'
const progressSeeds = 100
/** Young objects are many and short-lived. */
const jobFlags = ['--max-semi-space-size=64']

function options(seed: number): SimulationOptions {
  const { single, mirrors, theme } = values
  return {
    seed,
    ...((single || mirrors) && { mirrors }),
    ...(theme !== undefined && { theme: theme as ThemeName | 'mix' }),
  }
}

async function runSeeds(): Promise<Totals> {
  const totals: Totals = { seeds: 0, failed: 0, operations: 0, events: 0, virtualMs: 0 }
  for (let seed = first; seed < first + count; seed += Number(values.step)) {
    if (values.drawn && drawnTheme(seed) !== values.theme) continue
    const print = values.trace ? (line: string) => console.log(line) : undefined
    const result = await simulate({ ...options(seed), ...(print && { print }) })
    totals.seeds++
    totals.events += result.events
    totals.operations += result.operations
    totals.virtualMs += result.virtualMs
    if (isJob) console.log(doneMark)
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
  const again = await simulate(options(seed))
  if (again.fingerprint === fingerprint) return true
  console.log(`seed ${seed}: two runs differ: ${fingerprint} ${again.fingerprint}`)
  return false
}

function seconds(): string {
  return ((performance.now() - startMs) / 1_000).toFixed(1)
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

/** The same program, each with every n-th seed, so that all end at about the same time. */
async function runJobs(): Promise<Totals> {
  const totals: Totals = { seeds: 0, failed: 0, operations: 0, events: 0, virtualMs: 0 }
  const flags = ['single', 'mirrors', 'drawn', 'twice', 'keep-going', 'verbose', 'brief'] as const
  const kept = flags.filter((flag) => values[flag]).map((flag) => `--${flag}`)
  if (values.theme !== undefined) kept.push('--theme', values.theme)
  const parts = Array.from({ length: jobs }, (_, i) => {
    const own = ['--seed', first + i, '--seeds', count - i, '--step', jobs].map(String)
    return runJob([...jobFlags, fileURLToPath(import.meta.url), ...own, ...kept])
  })
  for (const part of await Promise.all(parts)) {
    if (part === undefined) continue
    for (const key of Object.keys(totals) as (keyof Totals)[]) totals[key] += part[key]
  }
  return totals
}

let done = 0

async function runJob(args: readonly string[]): Promise<Totals | undefined> {
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, SIM_JOB: '1' },
  })
  let totals: Totals | undefined
  for await (const line of createInterface(child.stdout)) {
    if (line.startsWith(totalsMark)) totals = JSON.parse(line.slice(totalsMark.length))
    else if (line !== doneMark) console.log(line)
    else if (++done % progressSeeds === 0) console.log(`${done} seeds after ${seconds()} s`)
  }
  if (totals === undefined) process.exitCode = 1
  return totals
}

const totals = jobs > 1 ? await runJobs() : await runSeeds()
if (isJob) console.log(totalsMark + JSON.stringify(totals))
else {
  const { seeds, failed, operations, events, virtualMs } = totals
  console.log(
    `${seeds} seeds from ${first}: ${failed} with violations; ${operations} operations, ` +
      `${events} events, ${(virtualMs / 1_000).toFixed(0)} s of virtual time ` +
      `in ${seconds()} s`,
  )
}
if (totals.failed > 0) process.exitCode = 1
