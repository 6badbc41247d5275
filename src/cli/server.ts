/** `palisade server …`: add, list, show, remove, declare-dead. */
import type { Command } from 'commander'
import type { ServerStatus } from '../control/messages/admin.ts'
import { parseAddressOption } from './address-option.ts'
import {
  addVerb,
  changeDeadlineMs,
  queryDeadlineMs,
  type VerbOptions,
  withManager,
} from './manager-connection.ts'
import { printJson, printLines, table } from './output.ts'
import { approximateSize } from './size.ts'

export function addServerCommand(program: Command): void {
  const server = program.command('server').description('storage servers')
  addVerb(
    server,
    'add <NAME|HOST:PORT>',
    'adopt a server: by name once it has registered, or by its control address',
  ).action(addServer)
  addVerb(server, 'list', 'all servers').action(listServers)
  addVerb(server, 'show <NAME>', 'one server').action(showServer)
  addVerb(server, 'remove <NAME>', 'forget a server that holds no data').action(removeServer)
  addVerb(
    server,
    'declare-dead <NAME>',
    'vouch that the machine is off, so that fences need not wait for it',
  ).action(declareDead)
}

async function addServer(which: string, options: VerbOptions): Promise<void> {
  const request = which.includes(':')
    ? { address: parseAddressOption(which, 'server'), name: '' }
    : { address: '', name: which }
  const { server } = await withManager(options, (admin) =>
    admin.addServer(request, changeDeadlineMs),
  )
  show(options, server, `added ${server.server.name}`)
}

async function listServers(options: VerbOptions): Promise<void> {
  const { servers } = await withManager(options, (admin) => admin.listServers({}, queryDeadlineMs))
  if (options.json) printJson(servers.map(serverJson))
  else printLines(serverTable(servers))
}

async function showServer(name: string, options: VerbOptions): Promise<void> {
  const { server } = await withManager(options, (admin) =>
    admin.showServer({ name }, queryDeadlineMs),
  )
  show(options, server, `server ${name}`)
}

async function removeServer(name: string, options: VerbOptions): Promise<void> {
  await withManager(options, (admin) => admin.removeServer({ name }, changeDeadlineMs))
  if (options.json) printJson({ name, removed: true })
  else printLines([`removed ${name}`])
}

async function declareDead(name: string, options: VerbOptions): Promise<void> {
  const { server } = await withManager(options, (admin) =>
    admin.declareDead({ name }, changeDeadlineMs),
  )
  show(options, server, `declared ${name} dead`)
}

function show(options: VerbOptions, server: ServerStatus, title: string): void {
  if (options.json) printJson(serverJson(server))
  else printLines([title, '', ...serverTable([server])])
}

export function serverJson(status: ServerStatus) {
  const { server } = status
  return {
    name: server.name,
    id: server.serverId,
    state: state(status),
    adopted: status.adopted,
    reachable: status.reachable,
    control: server.control,
    portals: server.portals,
    capacityBytes: server.capacityBytes,
    freeBytes: server.freeBytes,
    plannedBytes: status.plannedBytes,
    volumes: status.volumes,
    version: server.version,
    lastHeard: status.lastHeardMs === 0 ? null : new Date(status.lastHeardMs).toISOString(),
  }
}

function state(status: ServerStatus): string {
  if (status.declaredDead) return 'declared dead'
  if (!status.reachable) return 'not reachable'
  return status.adopted ? 'ok' : 'not added'
}

export function serverTable(servers: readonly ServerStatus[]): string[] {
  const rows = servers.map((status) => [
    status.server.name,
    state(status),
    approximateSize(status.server.capacityBytes),
    approximateSize(status.plannedBytes),
    status.volumes.length,
    status.server.portals.join(' '),
  ])
  return table(['name', 'state', 'capacity', 'planned', 'volumes', 'portals'], rows)
}
