/** `palisade target`: a storage server, or with --standalone a plain target without a manager. */
import { type Command, Option } from 'commander'
import { StorageError } from '../base/errors.ts'
import type { StandaloneOptions } from './target-standalone.ts'

type TargetOptions = StandaloneOptions & { readonly standalone?: boolean }

const gather = (value: string, before: readonly string[]): string[] => [...before, value]

export function addTargetCommand(program: Command): void {
  program
    .command('target')
    .description('serve blocks over iSCSI')
    .option('--standalone', 'export files as LUNs, with no manager')
    .option('--portal <host:port>', 'listen here; may be given twice', gather, [])
    .option(
      '--lun <file[=size][,thin]>',
      'standalone: a LUN, from 0 in order; thin: a page store in a directory',
      gather,
      [],
    )
    .option('--iqn <iqn>', 'standalone: target name')
    .option('--json', 'print one JSON line when ready')
    .addOption(
      new Option('--log-level <level>', 'what goes to standard error')
        .choices(['silent', 'error', 'warn', 'info', 'debug'])
        .default('info'),
    )
    .action(async (options: TargetOptions) => {
      if (!options.standalone) throw new StorageError('invalid', 'give --standalone')
      const { runStandalone } = await import('./target-standalone.ts')
      await runStandalone(options)
    })
}
