/**
 * The simulator in every run of the tests: the seeds that `make sim` runs, on all cores. A violation
 * is printed with its seed and its story, and the seed replays it.
 */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const seeds = 2_000

const timeout = 1_700_000

t.setTimeout(timeout)

t.test(`no violation in ${seeds} seeds`, { timeout }, async (t) => {
  const program = fileURLToPath(new URL('main-sim.js', import.meta.url))
  const share = ['--seeds', String(seeds), '--jobs', 'all', '--keep-going']
  const child = spawn(process.execPath, [program, ...share], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
  const failed = new Set<string>()
  let last = ''
  for await (const line of createInterface(child.stdout)) {
    const [, seed] = /^seed (\d+): at /.exec(line) ?? []
    if (seed !== undefined) failed.add(`make sim SEED=${seed} SEEDS=1`)
    t.comment(line)
    last = line
  }
  t.equal(await ended, 0)
  t.same([...failed], [], 'replays of what went wrong')
  t.match(last, new RegExp(`^${seeds} seeds from 1: 0 with violations`))
})
