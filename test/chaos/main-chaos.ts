/**
 * `make chaos`: random faults on a mirrored volume under a verifying load, for as many rounds as one
 * has time for; prints the distribution of stalls by kind of fault. Ends with 0 only when nothing
 * was lost or stale, no initiator saw an error, and no command took 5 s; with 1 where something of
 * that happened, with 2 for options that make no sense, with 3 where a round could not be done.
 */
import { randomInt } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { faults, runChaos } from './chaos.ts'
import type { Fault } from './faults.ts'
import { type Life, losePower } from './power-loss.ts'
import { type Round, stallTable } from './stalls.ts'

const longestStallMs = 5_000

const usage = `Usage: main-chaos.js [--rounds N] [--seed S] [--gateways-only] [--only TEXT] [--logs DIR]
       main-chaos.js --power-losses N [--seed S]

  --rounds N        so many faults, every kind equally often, in random order (200)
  --gateways-only   two gateways and a host with a path through each, and no shim
  --only TEXT       the kinds with TEXT in their names; may be given again
  --logs DIR        what all processes said up to the end of each round with a stall above 3 s
  --power-losses N  everything loses its power N times instead
  --seed S          the same faults in the same order as in a former run

Kinds: ${faults.map(({ name }) => name).join('; ')}`

interface Options {
  readonly rounds: number
  readonly seed: number
  readonly powerLosses: number | undefined
  readonly gatewaysOnly: boolean
  readonly kinds: readonly Fault[]
  readonly logs: string | undefined
}

const options = readOptions()
if (options === undefined) process.exitCode = 2
else {
  const interruption = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => interruption.abort())
  }
  try {
    const held = await (options.powerLosses === undefined ? chaos : power)(
      options,
      interruption.signal,
    )
    process.exitCode = held ? 0 : 1
  } catch (error) {
    console.error(`seed ${options.seed}: ${error instanceof Error ? error.message : error}`)
    process.exitCode = 3
  }
  // A command that never ended must not keep this process.
  process.exit()
}

function readOptions(): Options | undefined {
  const text = { type: 'string' } as const
  try {
    const { values } = parseArgs({
      options: {
        rounds: { ...text, default: '200' },
        seed: text,
        'power-losses': text,
        'gateways-only': { type: 'boolean', default: false },
        only: { ...text, multiple: true },
        logs: text,
      },
    })
    const losses = values['power-losses']
    return {
      rounds: count('--rounds', values.rounds),
      seed: values.seed === undefined ? randomInt(2 ** 31) : count('--seed', values.seed, 0),
      powerLosses: losses === undefined ? undefined : count('--power-losses', losses),
      gatewaysOnly: values['gateways-only'],
      kinds: kindsOf(values.only),
      logs: values.logs,
    }
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n\n${usage}`)
    return undefined
  }
}

function count(option: string, text: string, least = 1): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN
  if (Number.isSafeInteger(value) && value >= least) return value
  throw new Error(`${option}: "${text}" is not a whole number of at least ${least}`)
}

function kindsOf(texts: readonly string[] | undefined): readonly Fault[] {
  if (texts === undefined) return faults
  for (const text of texts) {
    if (!faults.some(({ name }) => name.includes(text)))
      throw new Error(`--only: no kind "${text}"`)
  }
  return faults.filter(({ name }) => texts.some((text) => name.includes(text)))
}

async function chaos(of: Options, signal: AbortSignal): Promise<boolean> {
  const { seed, rounds, gatewaysOnly, kinds, logs } = of
  if (logs !== undefined) mkdirSync(logs, { recursive: true })
  console.log(`seed ${seed}, ${rounds} rounds`)
  const done: Round[] = []
  const tell = (round: Round): void => {
    done.push(round)
    console.log(`${done.length}/${rounds} ${lineOf(round)}`)
  }
  const slow = (index: number, said: string): void => {
    writeFileSync(join(logs ?? '.', `round-${index + 1}.log`), said)
  }
  const run = { seed, rounds, gatewaysOnly, kinds, tell, signal }
  try {
    const result = await runChaos(logs === undefined ? run : { ...run, slow })
    const { errors, stale, commands } = result
    for (const each of [...errors, ...stale]) console.log(each)
    const longest = Math.max(...done.map(({ stallMs }) => stallMs))
    const sums = `${commands} commands, ${errors.length} errors, ${stale.length} lost or stale`
    console.log(`${sums}, longest stall ${longest.toFixed(0)} ms`)
    return errors.length === 0 && stale.length === 0 && longest < longestStallMs
  } finally {
    console.log(stallTable(done))
  }
}

function lineOf({ fault, faultMs, stallMs, afterMoveMs, recoveryMs, parked }: Round): string {
  const moved = afterMoveMs === undefined ? '' : ` (${afterMoveMs.toFixed(0)} ms after the move)`
  const writes = parked === 0 ? '' : `, ${parked} writes moved`
  const stall = `stall ${stallMs.toFixed(0)} ms${moved}`
  return `${fault.name} (${(faultMs / 1_000).toFixed(1)} s): ${stall}, in sync after ${recoveryMs.toFixed(0)} ms${writes}`
}

async function power({ seed, powerLosses = 1 }: Options, signal: AbortSignal): Promise<boolean> {
  console.log(`seed ${seed}, ${powerLosses} losses of power`)
  let toldFaults = 0
  const tell = ({ moment, servedAfterMs, ms, wrong }: Life, index: number): void => {
    const served =
      servedAfterMs === undefined ? 'not served' : `served ${servedAfterMs.toFixed(0)} ms`
    const life = `${(ms / 1_000).toFixed(1)} s`
    console.log(`${index + 1}/${powerLosses} ${moment}: ${served} after all were started, ${life}`)
    for (const each of wrong) console.log(each)
    toldFaults += wrong.length
  }
  const wrong = await losePower({ seed, losses: powerLosses, tell, signal })
  for (const each of wrong.slice(toldFaults)) console.log(each)
  console.log(wrong.length === 0 ? 'nothing lost, copies equal' : `${wrong.length} faults`)
  return wrong.length === 0
}
