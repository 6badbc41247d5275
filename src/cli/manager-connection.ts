/**
 * How a verb finds its manager: `--manager`, else an explicit `--dir` of `palisade up`, else
 * PALISADE_MANAGER, else the default directory where one stands here. And one call to it, with
 * errors that say what to do next.
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Command } from 'commander'
import { StorageError, toError } from '../base/errors.ts'
import type { AdminClient } from '../control/services.ts'
import { parseAddressOption } from './address-option.ts'
import { clusterFileName, defaultDirectory, readCluster } from './up/cluster-file.ts'

export interface ManagerOptions {
  readonly manager?: string
  readonly dir?: string
}

export interface VerbOptions extends ManagerOptions {
  readonly json?: boolean
}

/** A verb that talks to a manager, with the options that every one of them has. */
export function addVerb(parent: Command, name: string, description: string): Command {
  return parent
    .command(name)
    .description(description)
    .option('--manager <HOST:PORT>', 'control address of the manager (or PALISADE_MANAGER)')
    .option('--dir <DIR>', 'directory of a `palisade up` on this machine')
    .option('--json', 'print JSON')
}

export async function managerAddress(options: ManagerOptions): Promise<string> {
  if (options.manager !== undefined) return parseAddressOption(options.manager, '--manager')
  const directory = clusterDirectory(options)
  if (directory !== undefined) return fromDirectory(directory)
  const fromEnvironment = process.env.PALISADE_MANAGER
  if (fromEnvironment) return parseAddressOption(fromEnvironment, 'PALISADE_MANAGER')
  throw new StorageError(
    'invalid',
    'no manager: give --manager HOST:PORT, --dir DIR of a `palisade up`, or set PALISADE_MANAGER',
  )
}

/** Directory of the `palisade up` whose manager is meant; undefined: it is given by address. */
export function clusterDirectory(options: ManagerOptions): string | undefined {
  if (options.manager !== undefined || options.dir !== undefined) return options.dir
  const isHere =
    !process.env.PALISADE_MANAGER && existsSync(join(defaultDirectory, clusterFileName))
  return isHere ? defaultDirectory : undefined
}

async function fromDirectory(directory: string): Promise<string> {
  const cluster = await readCluster(directory)
  if (cluster !== undefined) return cluster.manager.control
  const why = 'holds no cluster: start one there with `palisade up --dir`, or give --manager'
  throw new StorageError('not-found', `--dir: ${directory} ${why}`)
}

/** Runs `call` with a client of the manager; the connection ends with it. */
export async function withManager<Result>(
  options: ManagerOptions,
  call: (admin: AdminClient) => Promise<Result>,
): Promise<Result> {
  const address = await managerAddress(options)
  const [{ GrpcRpc }, { adminClient }] = await Promise.all([
    import('../adapters/grpc-rpc.ts'),
    import('../control/services.ts'),
  ])
  const channel = new GrpcRpc().channel(address)
  try {
    return await call(adminClient(channel))
  } catch (thrown) {
    throw withAdvice(thrown, address)
  } finally {
    channel.close()
  }
}

function withAdvice(thrown: unknown, address: string): Error {
  if (!(thrown instanceof StorageError)) return toError(thrown)
  if (thrown.code === 'unreachable') {
    const advice = 'is it running, and is this its control address (not its iSCSI portal)?'
    return new StorageError('unreachable', `no answer from a manager at ${address}: ${advice}`)
  }
  if (thrown.code === 'deadline') {
    const advice = 'the outcome is unknown; `palisade status` tells what became of it'
    return new StorageError('deadline', `the manager at ${address} did not answer: ${advice}`)
  }
  return thrown
}

/** Answers that need no change. */
export const queryDeadlineMs = 10_000
/** A change closes, commits and activates; it gives up by itself before this. */
export const changeDeadlineMs = 60_000

const firstNoticeMs = 2_000

/** Says on standard error what a long change of a volume is waiting for. */
export async function withProgress<Result>(
  admin: AdminClient,
  volume: string,
  work: Promise<Result>,
): Promise<Result> {
  const started = performance.now()
  const timer = setInterval(() => {
    const seconds = Math.round((performance.now() - started) / 1000)
    admin.showVolume({ name: volume }, queryDeadlineMs).then(
      ({ status }) => {
        const behind = status.behind.length > 0 ? `, waiting for ${status.behind.join(', ')}` : ''
        process.stderr.write(`${volume}: ${status.change || 'working'}${behind} (${seconds} s)\n`)
      },
      () => process.stderr.write(`${volume}: waiting for the manager (${seconds} s)\n`),
    )
  }, firstNoticeMs)
  try {
    return await work
  } finally {
    clearInterval(timer)
  }
}
