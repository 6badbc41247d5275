/**
 * `make sim`: simulates clusters, one a seed, and prints a line for each violation. Options: --seed
 * (the first), --seeds (how many), --trace (everything that happens), --mirrors, --twice (each seed
 * two times: the same must happen), --keep-going, --verbose, --brief (not what happened before).
 */
import { parseArgs } from 'node:util'
import { simulate } from './simulation.ts'

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    seeds: { type: 'string', default: '1' },
    trace: { type: 'boolean', default: false },
    mirrors: { type: 'boolean', default: false },
    twice: { type: 'boolean', default: false },
    'keep-going': { type: 'boolean', default: false },
    verbose: { type: 'boolean', default: false },
    brief: { type: 'boolean', default: false },
  },
})

const first = Number(values.seed)
const count = Number(values.seeds)
const startMs = performance.now()
const total = { events: 0, operations: 0, virtualMs: 0, failed: 0 }
const { mirrors } = values
for (let seed = first; seed < first + count; seed++) {
  const print = values.trace ? (line: string) => console.log(line) : undefined
  const result = await simulate({ seed, mirrors, ...(print && { print }) })
  total.events += result.events
  total.operations += result.operations
  total.virtualMs += result.virtualMs
  if (values.verbose) {
    const { fingerprint, events, operations, plan } = result
    console.log(`seed ${seed} ${fingerprint} ${events} events ${operations} operations ${plan}`)
  }
  if (values.twice) {
    const again = await simulate({ seed, mirrors })
    if (again.fingerprint !== result.fingerprint) {
      console.log(`seed ${seed}: two runs differ: ${result.fingerprint} ${again.fingerprint}`)
      total.failed++
    }
  }
  if (result.violations.length === 0) continue
  total.failed++
  console.log(`seed ${seed}: ${result.plan}`)
  for (const { by, what, atMs } of result.violations.slice(0, 3)) {
    console.log(`seed ${seed}: at ${atMs.toFixed(0)} ms (${by}) ${what}`)
  }
  if (!values.trace && !values['keep-going']) {
    if (!values.brief) console.log(result.notes.slice(-60).join('\n'))
    break
  }
}
const seconds = (performance.now() - startMs) / 1_000
console.log(
  `${count} seeds from ${first}: ${total.failed} with violations; ${total.operations} operations, ` +
    `${total.events} events, ${(total.virtualMs / 1_000).toFixed(0)} s of virtual time ` +
    `in ${seconds.toFixed(1)} s`,
)
process.exitCode = total.failed > 0 ? 1 : 0
