/** `palisade volume …`: create, list, show, grow, delete, verify, fence, admit, clear-reservations. */
import type { Command } from 'commander'
import { StorageError } from '../base/errors.ts'
import { smallestBlockBytes } from '../base/limits.ts'
import type { ReplicaStatus } from '../control/messages/admin.ts'
import type { VolumeMap } from '../volume/map.ts'
import {
  addVerb,
  changeDeadlineMs,
  queryDeadlineMs,
  type VerbOptions,
  withManager,
  withProgress,
} from './manager-connection.ts'
import { printJson, printLines, table } from './output.ts'
import { replicaJson, replicaTable } from './replica-text.ts'
import { reservationLines } from './reservation-text.ts'
import { shutOutText } from './shut-out-text.ts'
import { approximateSize } from './size.ts'
import { type Admin, change, layout, parseVolumeSize, summary } from './volume-change.ts'
import { addCreate } from './volume-create.ts'
import { volumeJson } from './volume-json.ts'
import { addVerify } from './volume-verify.ts'

export function addVolumeCommand(program: Command): void {
  const volume = program.command('volume').description('virtual disks')
  addCreate(volume)
  addReading(volume)
  addGrow(volume)
  addDelete(volume)
  addVerify(volume)
  addAdmission(volume, 'fence')
  addAdmission(volume, 'admit')
  addClearReservations(volume)
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
    const replicas = status.replicas.map(replicaJson)
    printJson({ ...volumeJson(map), change, behind, shutOut, replicas })
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
    ...copyLines(map, status.replicas),
  ])
}

/** How the copies stand; of a volume with one copy the map says it all. */
function copyLines(map: VolumeMap, replicas: readonly ReplicaStatus[]): string[] {
  if (map.copies === 1) return []
  const shown = replicas.map((replica) => ({ replica }))
  return ['', ...replicaTable(shown, process.stdout.isTTY === true)]
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
