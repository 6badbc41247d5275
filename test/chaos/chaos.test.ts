/**
 * Each kind of fault once, under a verifying load on two copies of three servers: nothing lost,
 * nothing stale, no error at the initiator, no command longer than 5 s. `make chaos` for more.
 */
import { randomInt } from 'node:crypto'
import t from 'tap'
import { runChaos, stallTable } from './chaos.ts'
import { faults } from './faults.ts'
import { losePower } from './power-loss.ts'

const longestStallMs = 5_000
t.setTimeout(580_000)

t.test('every kind of fault once', { timeout: 570_000 }, async (t) => {
  const seed = randomInt(2 ** 31)
  t.comment(`seed ${seed}`)
  const tell = ({ fault, stallMs }: { fault: string; stallMs: number }): void => {
    t.ok(stallMs < longestStallMs, `${fault}: longest stall ${stallMs.toFixed(0)} ms`)
  }
  const result = await runChaos({ seed, rounds: faults, tell })
  t.strictSame(result.errors, [], 'no error at the initiator')
  t.strictSame(result.stale, [], 'every acknowledged write is read back')
  t.comment(`${result.commands} commands`)
  for (const line of stallTable(result.rounds).split('\n')) t.comment(line)
})

t.test('everything loses its power, four times', { timeout: 300_000 }, async (t) => {
  const seed = randomInt(2 ** 31)
  t.comment(`seed ${seed}`)
  const tell = (loss: number, servedAfterMs: number): void => {
    t.comment(`life ${loss}: served after ${servedAfterMs.toFixed(0)} ms`)
  }
  t.strictSame(await losePower({ seed, losses: 4, tell }), [], 'flushed data are there')
})
