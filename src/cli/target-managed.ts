/**
 * `palisade target` without --standalone: a storage server under a manager. The composition root:
 * it takes the directory, opens what is in it, and starts the server on Node's clock, network and
 * files.
 */
import { join } from 'node:path'
import { StorageServer } from '../../targets/storage-server.ts'
import { readBootId } from '../adapters/boot-id.ts'
import { GrpcRpc } from '../adapters/grpc-rpc.ts'
import { lockDirectory } from '../adapters/instance-lock.ts'
import { openLmdb } from '../adapters/lmdb-key-value.ts'
import { NodeBlockFiles } from '../adapters/node-block-files.ts'
import { nodeClock } from '../adapters/node-clock.ts'
import { nodeDigest } from '../adapters/node-digest.ts'
import { NodeNetwork } from '../adapters/node-network.ts'
import { nodeRandom } from '../adapters/node-random.ts'
import { pinoLog } from '../adapters/pino-log.ts'
import { parseAddress } from '../base/address.ts'
import { StorageError } from '../base/errors.ts'
import { pageBytes } from '../base/limits.ts'
import { isName, namePatternText } from '../volume/names.ts'
import { parseAddressOption } from './address-option.ts'
import { requireOption } from './config-file.ts'
import { printJson, printLines } from './output.ts'
import { serverIdentity } from './server-identity.ts'
import { parseSize } from './size.ts'
import { untilStopped } from './until-stopped.ts'
import { version } from './version.ts'

export interface ManagedOptions {
  readonly name?: string
  readonly dir?: string
  readonly manager?: string
  readonly portal: readonly string[]
  readonly control?: string
  readonly capacity?: string
  readonly json?: boolean
  readonly logLevel?: string
}

const directoryFormat = { program: 'server', version: 1 } as const
const logoutGraceMs = 1_000
const mostPortals = 2

export async function runManaged(options: ManagedOptions): Promise<void> {
  const settings = readSettings(options)
  const releases: (() => Promise<void>)[] = []
  const release = async (): Promise<void> => {
    for (const run of releases.splice(0).reverse()) await run()
  }
  try {
    const server = await start(settings, releases)
    sayReady(options.json === true, settings.name, server)
    await untilStopped(release)
  } catch (error) {
    await release()
    throw error
  }
}

interface Settings {
  readonly name: string
  readonly directory: string
  readonly manager: string
  readonly portals: readonly { readonly listen: string; readonly advertised?: string }[]
  readonly control: { readonly listen: string; readonly advertised?: string }
  readonly capacityBytes: number
  readonly logLevel: string
}

function readSettings(options: ManagedOptions): Settings {
  const name = requireOption(options.name, '--name NAME')
  if (!isName(name)) {
    throw new StorageError('invalid', `--name: "${name}" is not a name: ${namePatternText}`)
  }
  const portals = requireOption(options.portal, '--portal LISTEN[=ADVERTISED]')
  if (portals.length > mostPortals) {
    throw new StorageError('invalid', `--portal: given ${portals.length} times, at most twice`)
  }
  const capacity = requireOption(options.capacity, '--capacity SIZE')
  return {
    name,
    directory: requireOption(options.dir, '--dir DIR'),
    manager: parseAddressOption(requireOption(options.manager, '--manager HOST:PORT'), '--manager'),
    portals: portals.map((text) => readListen(text, '--portal')),
    control: readListen(requireOption(options.control, '--control HOST:PORT'), '--control'),
    capacityBytes: parseSize(capacity, { field: '--capacity', multipleOfBytes: pageBytes }),
    logLevel: options.logLevel ?? 'info',
  }
}

/** `LISTEN[=ADVERTISED]`; nobody can be told to come to a wildcard address. */
function readListen(text: string, field: string): Settings['control'] {
  const [listenText = '', advertisedText, ...rest] = text.split('=')
  if (rest.length > 0) {
    throw new StorageError('invalid', `${field}: "${text}" is not LISTEN[=ADVERTISED]`)
  }
  const listen = parseAddressOption(listenText, field)
  if (advertisedText !== undefined) {
    return { listen, advertised: parseAddressOption(advertisedText, field) }
  }
  const { host, port } = parseAddress(listen)
  if (host === '0.0.0.0' || host === '::') {
    const advice = `say where clients reach it, as in ${listen}=10.0.0.1:${port}`
    throw new StorageError('invalid', `${field}: ${listen} listens everywhere: ${advice}`)
  }
  return { listen }
}

/** What was acquired is in `releases`, also when this rejects. */
async function start(
  settings: Settings,
  releases: (() => Promise<void>)[],
): Promise<StorageServer> {
  const { name, directory, manager, portals, control, capacityBytes, logLevel } = settings
  const log = pinoLog({ level: logLevel, fields: { program: 'server', server: name } })
  const lock = await lockDirectory(directory, directoryFormat)
  releases.push(() => lock.release())
  const serverId = await serverIdentity(directory, name)
  const records = await openLmdb(join(directory, 'volumes.lmdb'))
  releases.push(() => records.close())
  const metadata = await openLmdb(join(directory, 'meta.lmdb'))
  releases.push(() => metadata.close())
  const files = new NodeBlockFiles(directory)
  const server = await StorageServer.start(
    {
      clock: nodeClock,
      log,
      network: new NodeNetwork(log),
      rpc: new GrpcRpc(),
      records,
      digest: nodeDigest,
      store: { files, metadata, random: nodeRandom, bootId: readBootId(), capacityBytes },
    },
    { serverId, name, portals, control, manager, version, processId: nodeRandom.uuid() },
  )
  releases.push(() => server.stop(logoutGraceMs))
  return server
}

function sayReady(json: boolean, name: string, server: StorageServer): void {
  const portals = [
    ...server.portals.map((address) => ({ kind: 'iscsi', address })),
    { kind: 'grpc', address: server.control },
  ]
  if (json) {
    printJson({ ready: true, role: 'server', name, pid: process.pid, portals })
    return
  }
  printLines([
    `storage server ${name} ready on ${server.portals.join(', ')}`,
    `  control ${server.control}`,
  ])
}
