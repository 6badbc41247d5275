/**
 * `palisade up`: one machine, the embedded default. A manager, storage servers and a shim, each its
 * own process, kept alive until SIGINT or SIGTERM. Owns the directory and what is printed; the
 * processes belong to up/running-cluster.ts.
 */
import { statfs } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { Command } from 'commander'
import { lockDirectory } from '../adapters/instance-lock.ts'
import { StorageError } from '../base/errors.ts'
import { MIB, pageBytes } from '../base/limits.ts'
import { parseAddressOption } from './address-option.ts'
import { loginPolicy } from './chap-file.ts'
import { collect, parseCount } from './config-file.ts'
import { exitCode } from './exit-codes.ts'
import { printJson, printLines } from './output.ts'
import { parseSize } from './size.ts'
import {
  type Cluster,
  clusterAddresses,
  clusterDirectoryFormat,
  defaultDirectory,
  readCluster,
  writeCluster,
} from './up/cluster-file.ts'
import { freeAddresses, whyNotFree } from './up/free-address.ts'
import { type AskedCluster, planCluster } from './up/plan-cluster.ts'
import { readyJson, readyLines } from './up/ready-report.ts'
import { RunningCluster } from './up/running-cluster.ts'
import { mostServers, parseVolumeOptions, type WantedVolume } from './up/volume-option.ts'

interface UpOptions {
  readonly dir: string
  readonly servers?: string
  readonly gateways?: string
  readonly portal: readonly string[]
  readonly chap?: string
  readonly volume: readonly string[]
  readonly capacity?: string
  readonly json?: boolean
}

const mostGateways = 16

/** A server that is worth starting holds at least this. */
const leastCapacityBytes = 64 * MIB

export function addUpCommand(program: Command): void {
  program
    .command('up')
    .description('a whole cluster on this machine: manager, storage servers, shim')
    .option('--dir <DIR>', 'where it keeps its state', defaultDirectory)
    .option('--servers <N>', 'number of storage servers (3, or as many as there are)')
    .option('--gateways <N>', 'so many gateways instead of the shim: as many paths for initiators')
    .option(
      '--portal <HOST:PORT>',
      'where initiators attach (a free port of 127.0.0.1); may be given twice',
      collect,
      [],
    )
    .option('--chap <FILE>', 'only the users in this file may attach; none: everybody again')
    .option(
      '--volume <NAME=SIZE[,…]>',
      'make this volume; also stripe=N, unit=SIZE, mirror=N, block=4096, removable, read-only; may be repeated',
      collect,
      [],
    )
    .option(
      '--capacity <SIZE>',
      'what each new server may store (its share of the free disk space)',
    )
    .option('--json', 'print one line of JSON when ready')
    .action(up)
}

async function up(options: UpOptions): Promise<void> {
  const asked = parseAsked(options)
  const volumes = parseVolumeOptions(options.volume)
  const lock = await lockDirectory(options.dir, clusterDirectoryFormat)
  try {
    const known = await readCluster(options.dir)
    const cluster = await plan(options.dir, known, asked)
    await checkAddresses(cluster)
    // A bad file is said here and now, not in the log of a shim that starts again and again.
    await loginPolicy(cluster.shim.chap)
    await serve(options, cluster, volumes)
  } finally {
    await lock.release()
  }
}

interface Asked extends Omit<AskedCluster, 'capacityBytes'> {
  readonly capacityBytes?: number
}

function parseAsked(options: UpOptions): Asked {
  const { servers, gateways, capacity } = options
  const rule = {
    field: '--capacity',
    multipleOfBytes: pageBytes,
    atLeastBytes: leastCapacityBytes,
  } as const
  return {
    ...(servers === undefined
      ? {}
      : { servers: parseCount(servers, '--servers', [1, mostServers]) }),
    ...(gateways === undefined
      ? {}
      : { gateways: parseCount(gateways, '--gateways', [1, mostGateways]) }),
    ...parsePortals(options.portal),
    ...(options.chap === undefined ? {} : { chap: parseChap(options.chap) }),
    ...(capacity === undefined ? {} : { capacityBytes: parseSize(capacity, rule) }),
  }
}

function parsePortals(texts: readonly string[]): Pick<Asked, 'portal' | 'secondPortal'> {
  const [portal, secondPortal, ...more] = texts.map((text) => parseAddressOption(text, '--portal'))
  if (more.length > 0) {
    throw new StorageError('invalid', `--portal: given ${texts.length} times, at most twice`)
  }
  if (secondPortal?.endsWith(':0')) {
    throw new StorageError('invalid', `--portal ${secondPortal}: the second one needs a port`)
  }
  return {
    ...(portal === undefined ? {} : { portal }),
    ...(secondPortal === undefined ? {} : { secondPortal }),
  }
}

/** The programs run elsewhere: the path has to mean the same to them. */
function parseChap(file: string): string | null {
  return file === 'none' ? null : resolve(file)
}

async function plan(directory: string, known: Cluster | undefined, asked: Asked): Promise<Cluster> {
  const taken = known === undefined ? [] : clusterAddresses(known).map(({ address }) => address)
  const draw = freeAddresses(asked.portal === undefined ? taken : [...taken, asked.portal])
  // Port 0 would be another one after each start; initiators need the same.
  const portal = asked.portal?.endsWith(':0') ? undefined : asked.portal
  const { portal: _, ...rest } = asked
  const fixed = portal === undefined ? rest : { ...rest, portal }
  const capacityBytes = asked.capacityBytes ?? (await shareOfDisk(directory, asked.servers ?? 3))
  return planCluster(known, { ...fixed, capacityBytes }, draw)
}

/** The free space, divided: thin volumes of all servers together never outgrow the disk. */
async function shareOfDisk(directory: string, servers: number): Promise<number> {
  const { bavail, bsize } = await statfs(directory)
  const share = Math.floor((bavail * bsize) / servers / pageBytes) * pageBytes
  return Math.max(share, leastCapacityBytes)
}

async function checkAddresses(cluster: Cluster): Promise<void> {
  for (const { owner, address } of clusterAddresses(cluster)) {
    const why = await whyNotFree(address)
    if (why === undefined) continue
    const advice =
      why === 'EADDRINUSE'
        ? 'another program listens there: stop that one'
        : `cannot listen there (${why})`
    throw new StorageError('address-in-use', `${address}, the address of the ${owner}: ${advice}`)
  }
}

async function serve(
  options: UpOptions,
  cluster: Cluster,
  wanted: readonly WantedVolume[],
): Promise<void> {
  const running = new RunningCluster(options.dir, cluster, say)
  const asked = stopAsked(running)
  try {
    const volumes = await running.start(wanted, () => writeCluster(options.dir, cluster))
    const state = { directory: options.dir, cluster, volumes, programs: running.programs }
    if (options.json) printJson(readyJson(state))
    else printLines(readyLines(state))
    await asked
  } catch (thrown) {
    await running.stop()
    throw thrown
  }
  if (!options.json) printLines(['stopping'])
  if (!(await running.stop())) process.exitCode = exitCode.failed
}

/** Resolves at the first signal; a second one ends everything at once. */
function stopAsked(running: RunningCluster): Promise<void> {
  let signals = 0
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.on(signal, () => {
        signals += 1
        resolve()
        if (signals < 2) return
        running.kill()
        process.exit(exitCode.failed)
      })
    }
  })
}

function say(line: string): void {
  process.stderr.write(`palisade up: ${line}\n`)
}
