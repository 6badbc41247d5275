/** `palisade volume create`: what the volume is to be, and where its copies are to lie. */
import { type Command, Option } from 'commander'
import { StorageError } from '../base/errors.ts'
import { blockSizes, mirror, smallestBlockBytes } from '../base/limits.ts'
import type { Partition } from '../control/messages/admin.ts'
import type { StalePolicy } from '../volume/map.ts'
import { collect, parseCount, parseSeconds } from './config-file.ts'
import { addVerb, changeDeadlineMs, type VerbOptions } from './manager-connection.ts'
import { parseSize, parseStripeUnit } from './size.ts'
import { change, parseVolumeSize } from './volume-change.ts'

export function addCreate(parent: Command): void {
  addVerb(parent, 'create <NAME>', 'make a volume: linear, striped, or placed by hand; mirrored')
    .option('--size <SIZE>', 'for example 10GiB; KiB to TiB binary, kB to TB decimal, plain: bytes')
    .option('--stripe <N>', 'stripe over N different servers')
    .option(
      '--mirror <N>',
      `copies of each block, 1 to ${mirror.mostCopies}, each in another failure domain`,
    )
    .option('--stripe-unit <SIZE>', 'how much of it lies on one server in a row (64KiB)')
    .option(
      '--partition <SERVER[+SERVER…]=SIZE>',
      'a part of the volume on this server, with copies on the others; may be repeated',
      collect,
      [],
    )
    .addOption(blockSizeOption())
    .option('--removable', 'a medium that initiators can eject and load again')
    .option('--read-only', 'nobody may write it')
    .addOption(staleOption())
    .option('--hold <SECS>', 'how long commands wait while no server can serve them (60)')
    .option('--lease <SECS>', 'how long the copies of a mirror confirm one another (2)')
    .addHelpText('after', createHelp)
    .action(createVolume)
}

const createHelp = `
Each copy of a mirror lies on another server in another failure domain (server add
--domain). Copies that --partition does not name are placed where the most space is free.
Space is planned as if every thin page were written, so no disk runs full by surprise.
While anything is mirrored, a part of each server (manager --reserve) is left alone by
volumes: it is for the copies that replace lost ones.

Examples:
  palisade volume create db --size 100GiB --mirror 2
  palisade volume create fast --size 1TiB --mirror 2 --stripe 4
  palisade volume create here --mirror 2 --partition s1+s2=10GiB --partition s3+s1=10GiB`

function blockSizeOption(): Option {
  const sizes = blockSizes.map(String)
  const text = 'logical blocks of so many bytes; physical ones are 4096'
  return new Option('--block-size <BYTES>', text).choices(sizes).default(String(smallestBlockBytes))
}

function staleOption(): Option {
  const text = 'what servers do with a request of another generation'
  return new Option('--stale <POLICY>', text).choices(['reject', 'ignore']).default('reject')
}

interface CreateOptions extends VerbOptions {
  readonly size?: string
  readonly stripe?: string
  readonly stripeUnit?: string
  readonly mirror?: string
  readonly partition: readonly string[]
  readonly blockSize: string
  readonly removable?: boolean
  readonly readOnly?: boolean
  readonly stale: StalePolicy
  readonly hold?: string
  readonly lease?: string
}

async function createVolume(name: string, options: CreateOptions): Promise<void> {
  const blockBytes = Number(options.blockSize)
  const partitions = options.partition.map((text) => parsePartition(text, blockBytes))
  if (options.size === undefined && partitions.length === 0) {
    throw new StorageError('invalid', '--size is missing: for example --size 10GiB')
  }
  const request = {
    name,
    sizeBytes: options.size === undefined ? 0 : parseVolumeSize(options.size, blockBytes),
    stripe: options.stripe === undefined ? 0 : parseCount(options.stripe, '--stripe', [2, 64]),
    stripeUnitBytes:
      options.stripeUnit === undefined ? 0 : parseStripeUnit(options.stripeUnit, '--stripe-unit'),
    partitions,
    mirror:
      options.mirror === undefined
        ? 0
        : parseCount(options.mirror, '--mirror', [1, mirror.mostCopies]),
    blockBytes,
    removable: options.removable === true,
    readOnly: options.readOnly === true,
    stalePolicy: options.stale,
    holdMs: options.hold === undefined ? 0 : parseSeconds(options.hold, '--hold'),
    leaseMs: options.lease === undefined ? 0 : parseSeconds(options.lease, '--lease'),
  }
  await change(options, name, 'created', (admin) => admin.createVolume(request, changeDeadlineMs))
}

/** `SERVER=SIZE`, or `SERVER+SERVER=SIZE`: the first one leads. */
export function parsePartition(text: string, blockBytes: number): Partition {
  const [names = '', size, ...rest] = text.split('=')
  const [server = '', ...others] = names.split('+')
  if (size === undefined || rest.length > 0 || [server, ...others].includes('')) {
    throw new StorageError('invalid', `--partition: "${text}" is not SERVER[+SERVER…]=SIZE`)
  }
  const field = `--partition ${names}`
  return { server, others, sizeBytes: parseSize(size, { field, multipleOfBytes: blockBytes }) }
}
