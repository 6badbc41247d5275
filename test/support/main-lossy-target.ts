/**
 * The `palisade target` of a machine that is about to lose its power: unflushed writes live in this
 * process only. SIGKILL loses them all; SIGUSR2 lets any part of them reach the disk and ends the
 * process. Each start is another boot. PALISADE_TEST_SEED chooses what is lost,
 * PALISADE_TEST_FAIL_FLUSH the flush that fails, counted from 1 after the start.
 */
import { randomUUID } from 'node:crypto'
import { Command } from 'commander'
import { NodeBlockFiles } from '../../src/adapters/node-block-files.ts'
import { type ManagedOptions, runManaged } from '../../src/cli/target-managed.ts'
import { FaultPlan, seededRandom } from './fault-plan.ts'
import { LossyBlockFiles } from './lossy-block-files.ts'

const gather = (value: string, before: readonly string[]): string[] => [...before, value]

async function main(): Promise<void> {
  const program = new Command()
    .argument('<verb>')
    .option('--name <name>')
    .option('--dir <dir>')
    .option('--manager <address>')
    .option('--control <address>')
    .option('--capacity <size>')
    .option('--portal <address>', '', gather, [])
    .option('--log-level <level>')
    .option('--json')
    .parse()
  const random = seededRandom(Number(process.env.PALISADE_TEST_SEED ?? '1'))
  const failing = process.env.PALISADE_TEST_FAIL_FLUSH
  const plan = new FaultPlan({
    random,
    ...(failing === undefined ? {} : { failFlushAt: Number(failing) }),
  })
  await runManaged(program.opts<ManagedOptions>(), (directory) => {
    const files = new LossyBlockFiles(new NodeBlockFiles(directory), plan)
    process.once('SIGUSR2', () => {
      plan.stop()
      files.crash().then(
        () => process.exit(42),
        () => process.exit(43),
      )
    })
    return { files, bootId: randomUUID() }
  })
}

await main()
