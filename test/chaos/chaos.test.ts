/**
 * Each kind of fault once, under a verifying load on two copies of three servers, through a shim and
 * through two gateways: nothing lost, nothing stale, no error at the initiators, no command longer
 * than 5 s. `make chaos` for more.
 */
import { randomInt } from 'node:crypto'
import t from 'tap'
import { runChaos } from './chaos.ts'
import { type Life, losePower } from './power-loss.ts'
import { type Round, stallTable } from './stalls.ts'

const longestStallMs = 5_000
const losses = 7
/** Longer than it takes to find out; `make chaos` takes its time. */
const longestMs = 3_000
t.setTimeout(580_000)

t.test('every kind of fault once', { timeout: 570_000 }, async (t) => {
  const seed = randomInt(2 ** 31)
  t.comment(`seed ${seed}`)
  const tell = ({ fault, stallMs, parked }: Round): void => {
    const stall = `longest stall ${stallMs.toFixed(0)} ms`
    t.ok(stallMs < longestStallMs, `${fault.name}: ${stall}, ${parked} writes moved`)
  }
  const result = await runChaos({ seed, tell, longestMs })
  t.strictSame(result.errors, [], 'no error at the initiators')
  t.strictSame(result.stale, [], 'every acknowledged write is read back')
  const moved = result.rounds.filter(({ parked }) => parked > 0)
  t.ok(moved.length > 0, `writes were sent again through the other gateway ${moved.length} times`)
  t.comment(`${result.commands} commands`)
  for (const line of stallTable(result.rounds).split('\n')) t.comment(line)
})

t.test(
  'everything loses its power, once at each kind of moment',
  { timeout: 300_000 },
  async (t) => {
    const seed = randomInt(2 ** 31)
    t.comment(`seed ${seed}`)
    const tell = ({ moment, servedAfterMs }: Life): void => {
      const served =
        servedAfterMs === undefined ? 'not served' : `served ${servedAfterMs.toFixed(0)} ms`
      t.comment(`${moment}: ${served} after the start`)
    }
    t.strictSame(await losePower({ seed, losses, tell }), [], 'flushed data are there')
  },
)
