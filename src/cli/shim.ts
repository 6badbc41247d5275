/**
 * `palisade shim` and `palisade gateway`: the composition root of a front end, for initiators of this
 * host and, beside others, for initiators elsewhere. It takes the directory, which holds nothing
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
import { parseAddress } from '../base/address.ts'
import { crc32c } from '../base/crc32c.ts'
import { StorageError } from '../base/errors.ts'
import { isName, namePatternText } from '../volume/names.ts'
import { parseAddressOption } from './address-option.ts'
import { loginPolicy } from './chap-file.ts'
import { clientIdentity } from './client-identity.ts'
import { applyConfigFile, collect, parseCount, parseSeconds, requireOption } from './config-file.ts'
import { printJson, printLines } from './output.ts'
import { type ListenOption, parsePortalOption } from './portal-option.ts'
import { withProgramOptions } from './program-options.ts'
import { untilStopped } from './until-stopped.ts'

interface ShimCommandOptions {
  readonly dir?: string
  readonly manager?: string
  readonly portal: readonly string[]
  readonly volume: readonly string[]
  readonly group?: string
  readonly hold?: string
  readonly chap?: string
  readonly status: string
  readonly json?: boolean
  readonly logLevel: string
}

type Kind = 'shim' | 'gateway'

interface Settings {
  readonly kind: Kind
  /** Of a gateway; absent: one that its identity gives. */
  readonly group: number | undefined
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
  readonly kind: Kind
  readonly client: string
  readonly iscsi: readonly string[]
  readonly grpc: string
}

const directoryFormat = { program: 'shim', version: 1 } as const
/** TargetPortalGroupTag; 1 is that of the programs that are no gateways. RFC 7143 13.9. */
const groups: readonly [least: number, most: number] = [2, 65_535]
const logoutGraceMs = 1_000

export function addShimCommand(program: Command): void {
  const command = program
    .command('shim')
    .description('let stock initiators of this host attach volumes')
  addFrontOptions(command, 'shim')
}

export function addGatewayCommand(program: Command): void {
  const command = program
    .command('gateway')
    .description('let initiators elsewhere attach volumes, on which nothing is installed')
    .option('--group <N>', 'portal group, another one for each gateway (drawn from its identity)')
    .addHelpText(
      'after',
      '\nRun it on managers and storage servers. Discovery at any gateway lists the portals of all;' +
        '\nan initiator that attaches through several of them has as many paths (dm-multipath, MPIO),' +
        '\none active and the others in standby (ALUA).',
    )
  addFrontOptions(command, 'gateway')
}

function addFrontOptions(command: Command, kind: Kind): void {
  command
    .option('--dir <dir>', 'directory of the client identity')
    .option('--manager <host:port>', 'control address of the manager (or PALISADE_MANAGER)')
    .option(
      '--portal <host:port>',
      kind === 'shim'
        ? 'serve initiators here; may be repeated; LISTEN[=ADVERTISED][,group=N]'
        : 'serve initiators here; may be repeated; LISTEN[=ADVERTISED]',
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
    await runShim(readSettings(options, kind), options.json === true)
  })
}

function readSettings(options: ShimCommandOptions, kind: Kind): Settings {
  const manager = requireOption(options.manager ?? process.env.PALISADE_MANAGER, '--manager')
  const portals = requireOption(options.portal, '--portal HOST:PORT')
  const misnamed = options.volume.find((name) => !isName(name))
  if (misnamed !== undefined) {
    throw new StorageError('invalid', `--volume: "${misnamed}" is not a name: ${namePatternText}`)
  }
  const { group } = options
  const listening = portals.map(parsePortalOption)
  if (kind === 'gateway') for (const one of listening) checkGatewayPortal(one)
  return {
    kind,
    group: group === undefined ? undefined : parseCount(group, '--group', groups),
    directory: requireOption(options.dir, '--dir DIR'),
    manager: parseAddressOption(manager, '--manager'),
    portals: listening,
    volumes: options.volume,
    holdMs: options.hold === undefined ? undefined : parseSeconds(options.hold, '--hold'),
    chap: options.chap,
    status: parseAddressOption(options.status, '--status'),
    logLevel: options.logLevel,
  }
}

/** What it listens on is told to initiators by other gateways too. */
function checkGatewayPortal({ listen, place }: ListenOption): void {
  if (place.portalGroupTag !== undefined) {
    throw new StorageError('invalid', '--portal: a gateway is one portal group, see --group')
  }
  const { host } = parseAddress(place.advertised ?? listen)
  if (host === '0.0.0.0' || host === '::') {
    const form = `${listen}=ADDRESS:PORT`
    throw new StorageError('invalid', `--portal ${listen}: tell where initiators reach it: ${form}`)
  }
}

/** The same after each start, and hardly ever that of another gateway: the manager says if it is. */
function groupOf(client: string): number {
  const [least, most] = groups
  return least + (crc32c([Buffer.from(client)]) % (most - least + 1))
}

async function runShim(settings: Settings, json: boolean): Promise<void> {
  const lock = await lockDirectory(settings.directory, directoryFormat)
  try {
    const client = await clientIdentity(settings.directory)
    const log = pinoLog({ level: settings.logLevel, fields: { program: settings.kind } })
    const { manager, volumes, holdMs, kind, group = groupOf(client) } = settings
    const gateway = kind === 'gateway' ? { gateway: { group } } : {}
    const policy = await loginPolicy(settings.chap)
    const shim = new Shim(
      {
        network: new NodeNetwork(log),
        rpc: new GrpcRpc(),
        clock: nodeClock,
        random: nodeRandom,
        log,
      },
      { client, manager, volumes, policy, ...gateway, ...(holdMs !== undefined && { holdMs }) },
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
  return { kind: settings.kind, client, iscsi, grpc }
}

function sayReady({ kind, client, iscsi, grpc }: Running, json: boolean): void {
  if (json) {
    const portals = [
      ...iscsi.map((address) => ({ kind: 'iscsi', address })),
      { kind: 'grpc', address: grpc },
    ]
    printJson({ ready: true, role: kind, name: kind, pid: process.pid, client, portals })
    return
  }
  printLines([`${kind} ready on ${iscsi.join(', ')}`, `  client ${client}`, `  status ${grpc}`])
}
