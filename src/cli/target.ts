/** `palisade target`: a storage server, or with --standalone a plain target without a manager. */
import type { Command } from 'commander'
import { collectAtOnce } from '../adapters/collector.ts'
import { StorageError } from '../base/errors.ts'
import { applyConfigFile, collect } from './config-file.ts'
import { withProgramOptions } from './program-options.ts'
import type { ManagedOptions } from './target-managed.ts'
import type { StandaloneOptions } from './target-standalone.ts'

type TargetOptions = StandaloneOptions & ManagedOptions & { readonly standalone?: boolean }

/** Options that mean nothing to the other kind of target. */
const standaloneOnly = ['lun', 'iqn', 'chap', 'redirect'] as const
const managedOnly = ['name', 'dir', 'manager', 'control', 'capacity'] as const

export function addTargetCommand(program: Command): void {
  const command = program
    .command('target')
    .description('serve blocks over iSCSI')
    .option('--standalone', 'export files as LUNs, with no manager')
    .option('--name <name>', 'server: its name, the same for good')
    .option('--dir <dir>', 'server: directory of its identity, records and pages')
    .option('--manager <host:port>', 'server: where the manager serves its calls')
    .option('--control <host:port>', 'server: serve the manager here; LISTEN=ADVERTISED')
    .option('--capacity <size>', 'server: size of the page store; may grow')
    .option(
      '--portal <host:port>',
      'listen here; may be repeated; LISTEN=ADVERTISED; standalone: with ,group=N',
      collect,
      [],
    )
    .option(
      '--lun <file[=size][,word]>',
      'standalone: a LUN, from 0 in order; words: thin (a page store in a directory), ' +
        'read-only, removable, block=4096',
      collect,
      [],
    )
    .option('--iqn <iqn>', 'standalone: target name')
    .option('--chap <file>', 'standalone: users and secrets; initiators must log in with CHAP')
    .option(
      '--redirect <iqn=host:port[,permanent]>',
      'standalone: this target is served there; may be repeated',
      collect,
      [],
    )
  withProgramOptions(command).action(async () => {
    await applyConfigFile(command)
    const options = command.opts<TargetOptions>()
    refuseForeign(options)
    collectAtOnce()
    if (options.standalone) {
      const { runStandalone } = await import('./target-standalone.ts')
      await runStandalone(options)
    } else {
      const { runManaged } = await import('./target-managed.ts')
      await runManaged(options)
    }
  })
}

/** An option that would be passed over in silence is more likely a mistake than meant so. */
function refuseForeign(options: TargetOptions): void {
  const foreign = options.standalone ? managedOnly : standaloneOnly
  const given = foreign.find((name) => {
    const value = options[name]
    return Array.isArray(value) ? value.length > 0 : value !== undefined
  })
  if (given === undefined) return
  const why = options.standalone ? 'has no meaning with --standalone' : 'needs --standalone'
  throw new StorageError('invalid', `--${given} ${why}`)
}
