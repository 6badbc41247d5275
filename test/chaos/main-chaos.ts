/**
 * `make chaos`: random faults on a mirrored volume under a verifying load, for as many rounds as one
 * has time for; prints the distribution of stalls by kind of fault. Ends with 0 only when nothing
 * was lost or stale, no initiator saw an error, and no command took 5 s.
 *
 * Usage: main-chaos.js [--rounds N] [--seed S]
 */
import { randomInt } from 'node:crypto'
import { parseArgs } from 'node:util'
import { runChaos, stallTable } from './chaos.ts'

const longestStallMs = 5_000

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '200' }, seed: { type: 'string' } },
})
const seed = Number(values.seed ?? randomInt(2 ** 31))
const rounds = Number(values.rounds)
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
const held = result.errors.length === 0 && result.stale.length === 0 && longest < longestStallMs
process.exitCode = held ? 0 : 1
