/**
 * `palisade manager`: the composition root of the manager. It takes the directory, opens the
 * configuration store in it, and starts the manager on Node's clock and network. A manager whose
 * store fails ends at once, with what it was about to answer unanswered: its supervisor starts it
 * again, and what is in the store is the truth.
 */
import { join } from 'node:path'
import type { Command } from 'commander'
import { GrpcRpc } from '../adapters/grpc-rpc.ts'
import { type InstanceLock, lockDirectory } from '../adapters/instance-lock.ts'
import { openLmdb } from '../adapters/lmdb-key-value.ts'
import { nodeClock } from '../adapters/node-clock.ts'
import { NodeNetwork } from '../adapters/node-network.ts'
import { nodeRandom } from '../adapters/node-random.ts'
import { pinoLog } from '../adapters/pino-log.ts'
import { manager as limits } from '../base/limits.ts'
import { Manager, type ManagerOptions, type ManagerPorts } from '../management/manager.ts'
import { parseAddressOption } from './address-option.ts'
import { applyConfigFile, collect, parseCount, requireOption } from './config-file.ts'
import { exitCode } from './exit-codes.ts'
import { printJson, printLines } from './output.ts'
import { withProgramOptions } from './program-options.ts'
import { addRebuildCommand } from './rebuild.ts'
import { untilStopped } from './until-stopped.ts'

export interface ManagerCommandOptions {
  readonly dir?: string
  readonly control?: string
  readonly portal: readonly string[]
  readonly domain?: string
  readonly reserve?: string
  readonly json?: boolean
  readonly logLevel: string
}

const directoryFormat = { program: 'manager', version: 1 } as const

export function addManagerCommand(program: Command): void {
  const command = program
    .command('manager')
    .description('run the management server: configuration, allocation, the management path')
    .option('--dir <dir>', 'directory of the configuration store')
    .option('--control <host:port>', 'serve servers, clients and the command line here')
    .option(
      '--portal <host:port>',
      'iSCSI portal of the management path; may be given several times',
      collect,
      [],
    )
    .option('--domain <DOMAIN>', 'failure domain of this machine, as with `server add --domain`')
    .option(
      '--reserve <PERCENT>',
      'share of each server that volumes leave free, once anything is mirrored, for the copies ' +
        `that replace lost ones (${limits.reservedShare * 100}); nothing is ever promised twice`,
    )
  withProgramOptions(command).action(async () => {
    await applyConfigFile(command)
    await runManager(command.opts<ManagerCommandOptions>())
  })
  addRebuildCommand(command, directoryFormat)
}

/** `wrap` gives the manager other ports: a test may give some that end the process. */
export async function runManager(
  options: ManagerCommandOptions,
  wrap: (ports: ManagerPorts) => ManagerPorts = (ports) => ports,
): Promise<void> {
  const directory = requireOption(options.dir, '--dir DIR')
  const control = parseAddressOption(requireOption(options.control, '--control'), '--control')
  const portals = requireOption(options.portal, '--portal HOST:PORT').map((text) =>
    parseAddressOption(text, '--portal'),
  )
  const reservedShare =
    options.reserve === undefined
      ? limits.reservedShare
      : parseCount(options.reserve, '--reserve', [0, 90]) / 100
  const settings = { control, portals, reservedShare, domain: options.domain ?? '' }
  const lock = await lockDirectory(directory, directoryFormat)
  try {
    const manager = await startManager(options, { directory, settings, wrap })
    sayReady(manager, options.json === true)
    await untilStopped(() => stop(manager, lock))
  } catch (error) {
    await lock.release()
    throw error
  }
}

async function startManager(
  options: ManagerCommandOptions,
  where: {
    readonly directory: string
    readonly settings: ManagerOptions
    readonly wrap: (ports: ManagerPorts) => ManagerPorts
  },
): Promise<Manager> {
  const log = pinoLog({ level: options.logLevel, fields: { program: 'manager' } })
  const keyValue = await openLmdb(join(where.directory, 'configuration.lmdb'))
  try {
    const manager = await Manager.start(
      where.wrap({
        keyValue,
        rpc: new GrpcRpc(),
        network: new NodeNetwork(log),
        clock: nodeClock,
        random: nodeRandom,
        log,
      }),
      where.settings,
    )
    void manager.storeFailed.then((error) => {
      log.error('the configuration store failed', { error })
      process.exit(exitCode.failed)
    })
    return manager
  } catch (error) {
    await keyValue.close()
    throw error
  }
}

async function stop(manager: Manager, lock: InstanceLock): Promise<void> {
  await manager.stop()
  await lock.release()
}

function sayReady(manager: Manager, json: boolean): void {
  const { control } = manager
  const iscsi = manager.portals.map((address) => ({ kind: 'iscsi', address }))
  if (json) {
    const portals = [{ kind: 'grpc', address: control }, ...iscsi]
    printJson({ ready: true, role: 'manager', name: 'manager', pid: process.pid, portals })
  } else {
    printLines([
      `manager ready: calls at ${control}, management path at ${manager.portals.join(', ')}`,
    ])
  }
}
