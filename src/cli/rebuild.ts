/**
 * `palisade manager rebuild`: makes a lost configuration store anew, in an empty directory, from
 * what the storage servers keep. The manager is started after it, on the same directory.
 */
import { join } from 'node:path'
import type { Command } from 'commander'
import { GrpcRpc } from '../adapters/grpc-rpc.ts'
import { lockDirectory } from '../adapters/instance-lock.ts'
import { openLmdb } from '../adapters/lmdb-key-value.ts'
import type { StoreContent } from '../management/configuration-store.ts'
import { rebuild } from '../management/rebuild.ts'
import { parseAddressOption } from './address-option.ts'
import { collect, requireOption } from './config-file.ts'
import { printJson, printLines } from './output.ts'

interface RebuildCommandOptions {
  readonly dir?: string
  readonly server: readonly string[]
  readonly lost: readonly string[]
  readonly json?: boolean
}

export function addRebuildCommand(
  manager: Command,
  format: { readonly program: string; readonly version: number },
): void {
  manager
    .command('rebuild')
    .usage('--dir DIR --server HOST:PORT... [--lost NAME...]')
    .description(
      'make a lost configuration store anew from what storage servers keep: in an empty --dir, ' +
        'which a manager takes up afterwards. Every server that a volume names has to answer',
    )
    .option(
      '--server <host:port>',
      'where a storage server takes calls; given once for each',
      collect,
      [],
    )
    .option(
      '--lost <NAME>',
      'server that is gone for good, by your word: if it ever held a newer state of a volume ' +
        'than the others, what was written since is lost; may be given several times',
      collect,
      [],
    )
    .action(async (_options: unknown, command: Command) => {
      await runRebuild(command.optsWithGlobals<RebuildCommandOptions>(), format)
    })
}

async function runRebuild(
  options: RebuildCommandOptions,
  format: { readonly program: string; readonly version: number },
): Promise<void> {
  const directory = requireOption(options.dir, '--dir DIR')
  const servers = requireOption(options.server, '--server HOST:PORT').map((text) =>
    parseAddressOption(text, '--server'),
  )
  const lock = await lockDirectory(directory, format)
  try {
    const keyValue = await openLmdb(join(directory, 'configuration.lmdb'))
    const ports = { keyValue, rpc: new GrpcRpc() }
    report(await rebuild(ports, { servers, lost: options.lost }), options.json === true)
  } finally {
    await lock.release()
  }
}

function report({ servers, maps, counter }: StoreContent, json: boolean): void {
  const usable = maps.filter(({ deleted }) => !deleted)
  const volumes = usable.map(({ name }) => name)
  const lost = servers.filter(({ declaredDead }) => declaredDead).map(({ name }) => name)
  const found = servers.filter(({ declaredDead }) => !declaredDead).map(({ name }) => name)
  if (json) {
    printJson({ rebuilt: true, volumes, servers: found, lost, counter })
    return
  }
  const list = (names: readonly string[]): string => names.join(', ') || 'none'
  printLines([
    `rebuilt: volumes ${list(volumes)}`,
    `servers: ${list(found)}; declared lost: ${list(lost)}`,
    'no server keeps failure domains or recovery settings: set them again once the manager runs',
  ])
}
