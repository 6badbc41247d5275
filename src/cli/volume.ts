/** `palisade volume …`: create, list, show, grow, delete, fence, admit, clear-reservations. */
import { type Command, Option } from 'commander'
import { StorageError } from '../base/errors.ts'
import { blockSizes, smallestBlockBytes } from '../base/limits.ts'
import type { StalePolicy, VolumeMap } from '../volume/map.ts'
import { collect, parseCount, parseSeconds } from './config-file.ts'
import {
  addVerb,
  changeDeadlineMs,
  queryDeadlineMs,
  type VerbOptions,
  withManager,
  withProgress,
} from './manager-connection.ts'
import { printJson, printLines, table } from './output.ts'
import { reservationLines } from './reservation-text.ts'
import { shutOutText } from './shut-out-text.ts'
import { approximateSize, formatSize, parseSize, parseStripeUnit } from './size.ts'
import { volumeJson } from './volume-json.ts'

export function addVolumeCommand(program: Command): void {
  const volume = program.command('volume').description('virtual disks')
  addCreate(volume)
  addReading(volume)
  addGrow(volume)
  addDelete(volume)
  addAdmission(volume, 'fence')
  addAdmission(volume, 'admit')
  addClearReservations(volume)
}

function addCreate(parent: Command): void {
  addVerb(parent, 'create <NAME>', 'make a volume: linear, striped, or placed by hand')
    .option('--size <SIZE>', 'for example 10GiB; KiB to TiB binary, kB to TB decimal, plain: bytes')
    .option('--stripe <N>', 'stripe over N different servers')
    .option('--stripe-unit <SIZE>', 'how much of it lies on one server in a row (64KiB)')
    .option('--partition <SERVER=SIZE>', 'a part of the volume on this server', collect, [])
    .addOption(blockSizeOption())
    .option('--removable', 'a medium that initiators can eject and load again')
    .option('--read-only', 'nobody may write it')
    .addOption(staleOption())
    .option('--hold <SECS>', 'how long commands wait while no server can serve them (60)')
    .option(
      '--lease <SECS>',
      'how long replicas confirm one another (2); no effect before there are mirrors',
    )
    .action(createVolume)
}

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
    blockBytes,
    removable: options.removable === true,
    readOnly: options.readOnly === true,
    stalePolicy: options.stale,
    holdMs: options.hold === undefined ? 0 : parseSeconds(options.hold, '--hold'),
    leaseMs: options.lease === undefined ? 0 : parseSeconds(options.lease, '--lease'),
  }
  await change(options, name, 'created', (admin) => admin.createVolume(request, changeDeadlineMs))
}

function parseVolumeSize(text: string, blockBytes: number): number {
  return parseSize(text, { field: '--size', multipleOfBytes: blockBytes })
}

function parsePartition(text: string, blockBytes: number): { server: string; sizeBytes: number } {
  const [server, size, ...rest] = text.split('=')
  if (!server || size === undefined || rest.length > 0) {
    throw new StorageError('invalid', `--partition: "${text}" is not SERVER=SIZE`)
  }
  const field = `--partition ${server}`
  return { server, sizeBytes: parseSize(size, { field, multipleOfBytes: blockBytes }) }
}

type Admin = Parameters<Parameters<typeof withManager>[1]>[0]
type Changed = { readonly map: VolumeMap; readonly shutOutMs: number }

async function change(
  options: VerbOptions,
  name: string,
  done: string,
  make: (admin: Admin) => Promise<Changed>,
): Promise<void> {
  const reply = await withManager(options, (admin) => withProgress(admin, name, make(admin)))
  if (options.json) {
    printJson({ ...volumeJson(reply.map), shutOutMs: reply.shutOutMs })
    return
  }
  const shutOut =
    reply.shutOutMs > 0 ? `, clients shut out for ${reply.shutOutMs.toFixed(1)} ms` : ''
  printLines([`${done} ${summary(reply.map)}${shutOut}`])
}

function summary(map: VolumeMap): string {
  const size = formatSize(map.blocks * map.blockBytes)
  return `${map.name}: ${size}, ${layout(map)}, generation ${map.generation}`
}

/** `linear on server-1`, `3 stripes on a, b, c`. */
function layout(map: VolumeMap): string {
  const stripes = Math.max(0, ...map.segments.map((segment) => segment.stripe?.count ?? 0))
  const servers = map.segments.flatMap((segment) => segment.replicas.map((one) => one.server))
  const where = [...new Set(servers)].join(', ')
  return `${stripes > 0 ? `${stripes} stripes` : 'linear'} on ${where}`
}

function addReading(parent: Command): void {
  addVerb(parent, 'list', 'all volumes').action(async (options: VerbOptions) => {
    const ask = (admin: Admin) => admin.listVolumes({}, queryDeadlineMs)
    const { maps } = await withManager(options, ask)
    if (options.json) printJson(maps.map(volumeJson))
    else printLines(table(['name', 'size', 'layout', 'generation', 'iqn'], maps.map(listRow)))
  })
  addVerb(parent, 'show <NAME>', 'the map of a volume').action(showVolume)
}

function listRow(map: VolumeMap): (string | number)[] {
  const size = approximateSize(map.blocks * map.blockBytes)
  return [map.name, size, layout(map), map.generation, map.iqn]
}

async function showVolume(name: string, options: VerbOptions): Promise<void> {
  const { map, status } = await withManager(options, (admin) =>
    admin.showVolume({ name }, queryDeadlineMs),
  )
  if (options.json) {
    const { change, behind, shutOut } = status
    printJson({ ...volumeJson(map), change, behind, shutOut })
    return
  }
  const fenced = map.admissions.filter((one) => one.fenced).map((one) => one.client)
  printLines([
    summary(map),
    `iqn         ${map.iqn}, LUN 0`,
    `identity    ${map.volumeId}`,
    `blocks      ${map.blockBytes} bytes${traits(map)}`,
    `policies    --stale ${map.stalePolicy}, --hold ${map.holdMs / 1000}, --lease ${map.leaseMs / 1000}`,
    `fenced      ${fenced.join(', ') || 'nobody'}`,
    ...reservationLines(map),
    `shut out    ${shutOutText(status.shutOut)}, by ${status.shutOut.changes} changes`,
    ...(status.change === '' ? [] : [`change      ${status.change}`]),
    ...(status.behind.length === 0 ? [] : [`behind      ${status.behind.join(', ')}`]),
    '',
    ...mapTable(map),
  ])
}

function traits({ removable, readOnly }: VolumeMap): string {
  return `${removable ? ', removable' : ''}${readOnly ? ', read-only' : ''}`
}

export function mapTable(map: VolumeMap): string[] {
  const rows = map.segments.flatMap((segment) =>
    segment.replicas.map((replica) => [
      segment.start,
      segment.blocks,
      segment.stripe === undefined ? '-' : `${segment.stripe.index + 1}/${segment.stripe.count}`,
      replica.server,
      replica.lun,
      replica.state,
      replica.portals.join(' '),
    ]),
  )
  return table(['start', 'blocks', 'column', 'server', 'lun', 'state', 'portals'], rows)
}

function addGrow(parent: Command): void {
  addVerb(parent, 'grow <NAME>', 'make a volume larger, while it is in use')
    .option('--size <SIZE>', 'the new size of the whole volume')
    .action(async (name: string, options: VerbOptions & { readonly size?: string }) => {
      if (options.size === undefined) {
        throw new StorageError('invalid', '--size is missing: the new size, for example 20GiB')
      }
      // What its blocks need beyond that is for the manager to say, who knows their size.
      const sizeBytes = parseVolumeSize(options.size, smallestBlockBytes)
      const grow = (admin: Admin) => admin.growVolume({ name, sizeBytes }, changeDeadlineMs)
      await change(options, name, 'grew', grow)
    })
}

function addDelete(parent: Command): void {
  addVerb(parent, 'delete <NAME>', 'give up a volume and its data')
    .option('--force', 'also while clients use it: they are fenced first')
    .action(async (name: string, options: VerbOptions & { readonly force?: boolean }) => {
      const request = { name, force: options.force === true }
      await withManager(options, (admin) =>
        withProgress(admin, name, admin.deleteVolume(request, changeDeadlineMs)),
      )
      if (options.json) printJson({ name, deleted: true })
      else printLines([`deleted ${name}`])
    })
}

function addAdmission(parent: Command, kind: 'fence' | 'admit'): void {
  const does = kind === 'fence' ? 'shut a client out of a volume' : 'let a fenced client in again'
  addVerb(parent, `${kind} <NAME> <CLIENT>`, `${does}; CLIENT is its InitiatorName`).action(
    async (volume: string, client: string, options: VerbOptions) => {
      const done = kind === 'fence' ? `fenced ${client} from` : `admitted ${client} to`
      await change(options, volume, done, (admin) =>
        admin[kind]({ volume, client }, changeDeadlineMs),
      )
    },
  )
}

function addClearReservations(parent: Command): void {
  const does = 'end all reservations and registrations of initiators, where their holder is gone'
  addVerb(parent, 'clear-reservations <NAME>', does).action(
    async (volume: string, options: VerbOptions) => {
      await change(options, volume, 'cleared the reservations of', (admin) =>
        admin.clearReservations({ volume }, changeDeadlineMs),
      )
    },
  )
}
