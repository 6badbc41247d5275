#!/usr/bin/env node
/**
 * The `palisade` command: finds the verb, loads only its file, turns what is thrown into a message
 * and an exit status (exit-codes.ts). The verbs are the composition roots of the programs and the
 * clients of a manager, one file each.
 */
import { Command, CommanderError } from 'commander'
import { StorageError, toError } from '../base/errors.ts'
import { exitCode, exitCodeOf } from './exit-codes.ts'
import { stopWithParent } from './parent-watch.ts'
import { version } from './version.ts'

type AddCommand = (program: Command) => void

/** Loaded one by one, because the gRPC and LMDB packages cost more than most verbs do. */
const verbs: Readonly<Record<string, () => Promise<AddCommand>>> = {
  up: async () => (await import('./up.ts')).addUpCommand,
  manager: async () => (await import('./manager.ts')).addManagerCommand,
  target: async () => (await import('./target.ts')).addTargetCommand,
  shim: async () => (await import('./shim.ts')).addShimCommand,
  gateway: async () => (await import('./shim.ts')).addGatewayCommand,
  volume: async () => (await import('./volume.ts')).addVolumeCommand,
  server: async () => (await import('./server.ts')).addServerCommand,
  recovery: async () => (await import('./recovery.ts')).addRecoveryCommand,
  status: async () => (await import('./status.ts')).addStatusCommand,
}

async function main(argv: readonly string[]): Promise<void> {
  stopWithParent()
  const program = new Command('palisade')
    .description('a scale-out iSCSI block store')
    .version(version, '-V, --version')
    .exitOverride()
    .configureHelp({ showGlobalOptions: false })
    .addHelpText('after', '\nExit status: 0 ok, 1 failed, 2 usage, 3 unreachable, 4 not found,')
    .addHelpText('after', '5 directory or address in use.')
  const asked = verbs[argv[2] ?? '']
  const loaded = asked === undefined ? Object.values(verbs) : [asked]
  for (const load of loaded) (await load())(program)
  overrideExits(program)
  try {
    await program.parseAsync(argv)
  } catch (thrown) {
    process.exitCode = report(thrown, argv.includes('--json'))
  }
}

/** Subcommands inherit settings only when made by their parent; ours are made by their own files. */
function overrideExits(command: Command): void {
  command.exitOverride()
  for (const child of command.commands) overrideExits(child)
}

function report(thrown: unknown, json: boolean): number {
  // Commander has printed its own message; help and --version end with code 0.
  if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? 0 : exitCode.usage
  const error = toError(thrown)
  const code = thrown instanceof StorageError ? thrown.code : 'failed'
  const bug = !(thrown instanceof StorageError)
  if (json) process.stderr.write(`${JSON.stringify({ error: { code, message: error.message } })}\n`)
  else process.stderr.write(`palisade: ${error.message}\n`)
  if (bug) process.stderr.write(`${error.stack ?? ''}\n`)
  return exitCodeOf(thrown)
}

await main(process.argv)
