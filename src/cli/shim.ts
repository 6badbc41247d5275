/**
 * `palisade shim`: the composition root of the shim. It takes the directory, which holds nothing
 * but the client's identity, and serves when the manager has listed the volumes.
 */
import type { Command } from 'commander'
import { Shim } from '../../initiator-shim/shim.ts'
import { collectAtOnce } from '../adapters/collector.ts'
import { GrpcRpc } from '../adapters/grpc-rpc.ts'
import { lockDirectory } from '../adapters/instance-lock.ts'
import { nodeClock } from '../adapters/node-clock.ts'
import { NodeNetwork } from '../adapters/node-network.ts'
import { nodeRandom } from '../adapters/node-random.ts'
import { pinoLog } from '../adapters/pino-log.ts'
import { StorageError } from '../base/errors.ts'
import { isName, namePatternText } from '../volume/names.ts'
import { parseAddressOption } from './address-option.ts'
import { loginPolicy } from './chap-file.ts'
import { clientIdentity } from './client-identity.ts'
import { applyConfigFile, collect, parseSeconds, requireOption } from './config-file.ts'
import { printJson, printLines } from './output.ts'
import { type ListenOption, parsePortalOption } from './portal-option.ts'
import { withProgramOptions } from './program-options.ts'
import { untilStopped } from './until-stopped.ts'

interface ShimCommandOptions {
  readonly dir?: string
  readonly manager?: string
  readonly portal: readonly string[]
  readonly volume: readonly string[]
  readonly hold?: string
  readonly chap?: string
  readonly status: string
  readonly json?: boolean
  readonly logLevel: string
}

interface Settings {
  readonly directory: string
  readonly manager: string
  readonly portals: readonly ListenOption[]
  readonly volumes: readonly string[]
  readonly holdMs: number | undefined
  readonly chap: string | undefined
  readonly status: string
  readonly logLevel: string
}

interface Running {
  readonly client: string
  readonly iscsi: readonly string[]
  readonly grpc: string
}

const directoryFormat = { program: 'shim', version: 1 } as const
const logoutGraceMs = 1_000

export function addShimCommand(program: Command): void {
  const command = program
    .command('shim')
    .description('let stock initiators of this host attach volumes')
    .option('--dir <dir>', 'directory of the client identity')
    .option('--manager <host:port>', 'control address of the manager (or PALISADE_MANAGER)')
    .option(
      '--portal <host:port>',
      'serve initiators here; may be repeated; LISTEN[=ADVERTISED][,group=N]',
      collect,
      [],
    )
    .option('--volume <name>', 'offer this volume only; may be given several times', collect, [])
    .option('--hold <secs>', 'hold commands that no server takes for so long, then NOT READY')
    .option('--chap <file>', 'users and secrets; initiators must log in with CHAP')
    .option('--status <host:port>', 'serve the status here', '127.0.0.1:0')
  withProgramOptions(command).action(async () => {
    await applyConfigFile(command)
    const options = command.opts<ShimCommandOptions>()
    collectAtOnce()
    await runShim(readSettings(options), options.json === true)
  })
}

function readSettings(options: ShimCommandOptions): Settings {
  const manager = requireOption(options.manager ?? process.env.PALISADE_MANAGER, '--manager')
  const portals = requireOption(options.portal, '--portal HOST:PORT')
  const misnamed = options.volume.find((name) => !isName(name))
  if (misnamed !== undefined) {
    throw new StorageError('invalid', `--volume: "${misnamed}" is not a name: ${namePatternText}`)
  }
  return {
    directory: requireOption(options.dir, '--dir DIR'),
    manager: parseAddressOption(manager, '--manager'),
    portals: portals.map(parsePortalOption),
    volumes: options.volume,
    holdMs: options.hold === undefined ? undefined : parseSeconds(options.hold, '--hold'),
    chap: options.chap,
    status: parseAddressOption(options.status, '--status'),
    logLevel: options.logLevel,
  }
}

async function runShim(settings: Settings, json: boolean): Promise<void> {
  const lock = await lockDirectory(settings.directory, directoryFormat)
  try {
    const client = await clientIdentity(settings.directory)
    const log = pinoLog({ level: settings.logLevel, fields: { program: 'shim' } })
    const { manager, volumes, holdMs } = settings
    const policy = await loginPolicy(settings.chap)
    const shim = new Shim(
      {
        network: new NodeNetwork(log),
        rpc: new GrpcRpc(),
        clock: nodeClock,
        random: nodeRandom,
        log,
      },
      { client, manager, volumes, policy, ...(holdMs !== undefined && { holdMs }) },
    )
    sayReady(await serve(shim, settings, client), json)
    await untilStopped(async () => {
      await shim.stop(logoutGraceMs)
      await lock.release()
    })
  } catch (error) {
    await lock.release()
    throw error
  }
}

/** Ports are taken first, so that one in use is found out before anything else is waited for. */
async function serve(shim: Shim, settings: Settings, client: string): Promise<Running> {
  const grpc = await shim.listenStatus(settings.status)
  const iscsi: string[] = []
  try {
    for (const { listen, place } of settings.portals) {
      const address = await shim.listen(listen, place)
      iscsi.push(place.advertised ?? address)
    }
    await shim.start()
  } catch (error) {
    await shim.stop(0)
    throw error
  }
  return { client, iscsi, grpc }
}

function sayReady({ client, iscsi, grpc }: Running, json: boolean): void {
  if (json) {
    const portals = [
      ...iscsi.map((address) => ({ kind: 'iscsi', address })),
      { kind: 'grpc', address: grpc },
    ]
    printJson({ ready: true, role: 'shim', name: 'shim', pid: process.pid, client, portals })
    return
  }
  printLines([`shim ready on ${iscsi.join(', ')}`, `  client ${client}`, `  status ${grpc}`])
}
