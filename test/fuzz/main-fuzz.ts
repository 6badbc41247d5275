/**
 * `make fuzz ARGS='--seconds N --seed S'`: cases by chance, half of the time against the target in
 * this process, half against one of its own. `--case JSON` plays one case, as a failure printed it.
 */
import { parseArgs } from 'node:util'
import { fuzzCases } from './case-arbitrary.ts'
import { fuzz } from './fuzz.ts'
import type { FuzzCase } from './fuzz-case.ts'
import { hostileCases, playHostile } from './hostile-target.ts'
import { playInMemory } from './memory-target.ts'
import { ProcessTarget } from './process-target.ts'

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string' },
    case: { type: 'string' },
  },
})
const seed = values.seed === undefined ? Date.now() >>> 0 : Number(values.seed)
const seconds = Number(values.seconds) / 2

if (values.case !== undefined) {
  const played = JSON.parse(values.case) as FuzzCase
  console.log((await playInMemory(played)).join('\n'))
} else {
  console.log(`seed ${seed}`)
  report('in this process', await fuzz(fuzzCases, playInMemory, { seconds, seed }))
  report(
    'of hostile targets',
    await fuzz(hostileCases, playHostile, { seconds: seconds / 8, seed }),
  )
  const target = await ProcessTarget.start()
  report(
    'in a process of its own',
    await fuzz(fuzzCases, target.play, { seconds, seed, shrinks: false }),
  )
  console.log(target.summary)
  await target.stop()
}

function report(where: string, { runs, failure }: Awaited<ReturnType<typeof fuzz>>): void {
  console.log(`${runs} cases ${where}: ${failure ?? 'nothing broke'}`)
  if (failure !== undefined) process.exitCode = 1
}
