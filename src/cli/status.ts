/** `palisade status`: what a manager knows of the whole system; exit 1 when something needs a person. */
import type { Command } from 'commander'
import type { ReplicaStatus, StatusReply, VolumeStatus } from '../control/messages/admin.ts'
import { clusterInitiators } from './cluster-initiators.ts'
import { exitCode } from './exit-codes.ts'
import { gatewayJson, gatewayTable } from './gateway-table.ts'
import { initiatorTable, type VolumeInitiator } from './initiator-table.ts'
import {
  addVerb,
  managerAddress,
  queryDeadlineMs,
  type VerbOptions,
  withManager,
} from './manager-connection.ts'
import { printJson, printLines, table } from './output.ts'
import { copiesText, replicaJson, replicaTable } from './replica-text.ts'
import { serverJson, serverTable } from './server.ts'
import { printShimStatus } from './shim-status.ts'
import { shutOutText } from './shut-out-text.ts'
import { approximateSize } from './size.ts'

const statusHelp = `
Servers, volumes with their copies, and gateways: the portals of each, the sessions that initiators
have with it, and for how many initiators of which volumes it is the active one. What needs a person
is marked with "!", and the exit status is 1 then. --shim also takes the status address of a gateway.`

interface StatusOptions extends VerbOptions {
  readonly shim?: string
}

export function addStatusCommand(program: Command): void {
  addVerb(program, 'status', 'the state of the whole system')
    .option('--shim <HOST:PORT>', 'of this shim, at its status address, instead of the manager')
    .addHelpText('after', statusHelp)
    .action(printStatus)
}

async function printStatus(options: StatusOptions): Promise<void> {
  if (options.shim !== undefined) {
    await printShimStatus(options.shim, options.json === true)
    return
  }
  const status = await withManager(options, (admin) => admin.status({}, queryDeadlineMs))
  const problems = findProblems(status)
  const initiators = await clusterInitiators(options)
  if (options.json) {
    printJson({ ...statusJson(status, problems), ...(initiators !== undefined && { initiators }) })
  } else {
    const address = await managerAddress(options)
    const bars = process.stdout.isTTY === true
    printLines(statusLines(address, { status, problems, initiators: initiators ?? [], bars }))
  }
  if (problems.length > 0) process.exitCode = exitCode.failed
}

/** What an operator should look at. Warnings are facts of the set-up, not problems. */
export function findProblems(status: StatusReply): string[] {
  return [
    ...status.servers
      .filter((one) => !one.reachable && !one.declaredDead)
      .map((one) => `server ${one.server.name} does not answer; is its process running?`),
    ...status.pendingFences.map((fence) => {
      const who = fence.waitingFor.join(', ') || 'a server'
      const advice = 'bring it back, or `server declare-dead` it if its machine is off'
      return `the fence of ${fence.client} from ${fence.volume} waits for ${who}: ${advice}`
    }),
    ...status.volumes
      .filter((volume) => volume.behind.length > 0)
      .map((volume) => `volume ${volume.name}: ${volume.behind.join(', ')} lacks the newest map`),
    ...status.volumes.flatMap(copyProblems),
  ]
}

/** A copy that is being brought up needs nobody; one that is away or on a bad disk may. */
function copyProblems({ name, replicas }: VolumeStatus): string[] {
  const of = (found: readonly ReplicaStatus[]) => new Set(found.map(({ server }) => server))
  const failed = of(replicas.filter(({ diskFailed }) => diskFailed))
  const away = replicas.filter(({ state }) => state === 'silent' || state === 'gone')
  const isMirrored = replicas.some(({ primary }) => !primary)
  return [
    ...[...failed].map((server) => {
      return `volume ${name}: the disk of ${server} returned errors; replace it`
    }),
    ...[...of(isMirrored ? away : [])].map((server) => {
      const { state } = away.find((each) => each.server === server)!
      return `volume ${name}: the copy on ${server} is ${state}`
    }),
  ]
}

function statusJson(status: StatusReply, problems: readonly string[]) {
  return {
    term: status.term,
    generation: status.generation,
    servers: status.servers.map(serverJson),
    volumes: status.volumes.map((volume) => ({
      name: volume.name,
      id: volume.volumeId,
      generation: volume.generation,
      sizeBytes: volume.sizeBytes,
      change: volume.change,
      behind: volume.behind,
      shutOut: volume.shutOut,
      replicas: volume.replicas.map(replicaJson),
    })),
    pendingFences: status.pendingFences,
    shutOut: status.shutOut,
    watchingClients: status.watchingClients,
    managementPath: {
      portals: status.managementPath,
      connections: status.relayedConnections,
      connectionsTotal: status.relayedConnectionsTotal,
    },
    gateways: status.gateways.map(gatewayJson),
    reports: status.reports,
    warnings: status.warnings,
    problems,
  }
}

function calmLine(recovering: readonly string[]): string {
  return recovering.length === 0
    ? 'everything is in order'
    : 'nothing is to be done; copies are being brought up'
}

/** Copies that are not what they should be. */
function recoveringLines({ volumes }: StatusReply, bars: boolean): string[] {
  const shown = volumes.flatMap(({ name: volume, replicas }) => {
    const wrong = replicas.filter(({ state, comparingBytes }) => {
      return state !== 'in-sync' || comparingBytes > 0
    })
    return wrong.map((replica) => ({ volume, replica }))
  })
  return shown.length === 0 ? [] : ['', ...replicaTable(shown, bars)]
}

export interface Shown {
  readonly status: StatusReply
  readonly problems: readonly string[]
  readonly initiators: readonly VolumeInitiator[]
  /** Draws progress for a terminal. */
  readonly bars?: boolean
}

export function statusLines(
  address: string,
  { status, problems, initiators, bars = false }: Shown,
): string[] {
  const relayed = `${status.relayedConnections} now, ${status.relayedConnectionsTotal} so far`
  const recovering = recoveringLines(status, bars)
  const volumes = status.volumes.map((volume) => [
    volume.name,
    approximateSize(volume.sizeBytes),
    volume.generation,
    volume.change || 'none',
    copiesText(volume.replicas),
    shutOutText(volume.shutOut),
  ])
  return [
    `manager          ${address}, term ${status.term}, newest generation ${status.generation}`,
    `clients          ${status.watchingClients} watching`,
    `management path  ${status.managementPath.join(' ') || 'none'} (connections: ${relayed})`,
    `changes          ${status.shutOut.changes}, clients shut out ${shutOutText(status.shutOut)}`,
    '',
    ...serverTable(status.servers),
    '',
    ...table(['volume', 'size', 'generation', 'change', 'copies', 'shut out'], volumes),
    ...recovering,
    ...gatewayTable(status.gateways),
    ...initiatorTable(initiators),
    '',
    ...status.warnings.map((warning) => `warning: ${warning}`),
    ...(problems.length === 0 ? [calmLine(recovering)] : problems.map((one) => `! ${one}`)),
  ]
}
