/** `palisade server …`: add, set-domain, list, show, remove, declare-dead. */
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
  )
    .option('--domain <DOMAIN>', 'what it fails with, a rack for example: one copy there at most')
    .action(addServer)
  addVerb(
    server,
    'set-domain <NAME> <DOMAIN>',
    'say what a server fails with; "" makes it a failure domain of its own',
  ).action(setDomain)
  addVerb(server, 'list', 'all servers').action(listServers)
  addVerb(server, 'show <NAME>', 'one server').action(showServer)
  addVerb(server, 'remove <NAME>', 'forget a server that holds no data').action(removeServer)
  addVerb(
    server,
    'declare-dead <NAME>',
    'vouch that the machine is off, so that fences need not wait for it',
  ).action(declareDead)
}

interface AddOptions extends VerbOptions {
  readonly domain?: string
}

async function addServer(which: string, options: AddOptions): Promise<void> {
  const { domain = '' } = options
  const request = which.includes(':')
    ? { address: parseAddressOption(which, 'server'), name: '', domain }
    : { address: '', name: which, domain }
  const { server } = await withManager(options, (admin) =>
    admin.addServer(request, changeDeadlineMs),
  )
  show(options, server, `added ${server.server.name}`)
}

async function setDomain(name: string, domain: string, options: VerbOptions): Promise<void> {
  const { server } = await withManager(options, (admin) =>
    admin.setDomain({ name, domain }, changeDeadlineMs),
  )
  const where = domain === '' ? 'a failure domain of its own' : `in failure domain ${domain}`
  show(options, server, `server ${name} is ${where}`)
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
    reservedBytes: status.reservedBytes,
    domain: status.domain,
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
    status.domain || '-',
    approximateSize(status.server.capacityBytes),
    approximateSize(status.plannedBytes),
    approximateSize(status.reservedBytes),
    status.volumes.length,
    status.server.portals.join(' '),
  ])
  const head = ['name', 'state', 'domain', 'capacity', 'planned', 'reserved', 'volumes', 'portals']
  return table(head, rows)
}
