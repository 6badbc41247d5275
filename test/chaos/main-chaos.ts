/**
 * `make chaos`: random faults on a mirrored volume under a verifying load, for as many rounds as one
 * has time for; prints the distribution of stalls by kind of fault. Ends with 0 only when nothing
 * was lost or stale, no initiator saw an error, and no command took 5 s.
 *
 * Usage: main-chaos.js [--rounds N] [--power-losses N] [--seed S]
 */
import { randomInt } from 'node:crypto'
import { parseArgs } from 'node:util'
import { runChaos, stallTable } from './chaos.ts'
import { losePower } from './power-loss.ts'

const longestStallMs = 5_000

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '200' },
    'power-losses': { type: 'string' },
    seed: { type: 'string' },
  },
})
const seed = Number(values.seed ?? randomInt(2 ** 31))
const losses = values['power-losses']
const held = losses === undefined ? await chaos(Number(values.rounds)) : await power(Number(losses))
process.exitCode = held ? 0 : 1

async function chaos(rounds: number): Promise<boolean> {
  console.log(`seed ${seed}, ${rounds} rounds`)
  const result = await runChaos({
    seed,
    rounds,
    tell: ({ fault, stallMs, recoveryMs }, i) => {
      const times = `stall ${stallMs.toFixed(0)} ms, in sync after ${recoveryMs.toFixed(0)} ms`
      console.log(`${i + 1}/${rounds} ${fault}: ${times}`)
    },
  })
  console.log(stallTable(result.rounds))
  for (const each of [...result.errors, ...result.stale]) console.log(each)
  const longest = Math.max(...result.rounds.map(({ stallMs }) => stallMs))
  console.log(
    `${result.commands} commands, ${result.errors.length} errors, ${result.stale.length} stale, ` +
      `longest stall ${longest.toFixed(0)} ms`,
  )
  return result.errors.length === 0 && result.stale.length === 0 && longest < longestStallMs
}

async function power(losses: number): Promise<boolean> {
  console.log(`seed ${seed}, ${losses} losses of power`)
  const tell = (life: number, servedAfterMs: number): void => {
    console.log(`life ${life} of ${losses + 1}: served after ${servedAfterMs.toFixed(0)} ms`)
  }
  const faults = await losePower({ seed, losses, tell })
  for (const fault of faults) console.log(fault)
  console.log(faults.length === 0 ? 'nothing lost, copies equal' : `${faults.length} faults`)
  return faults.length === 0
}
