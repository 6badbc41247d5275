/** `palisade status`: what a manager knows of the whole system; exit 1 when something needs a person. */
import type { Command } from 'commander'
import type { StatusReply } from '../control/messages/admin.ts'
import { clusterInitiators } from './cluster-initiators.ts'
import { exitCode } from './exit-codes.ts'
import { initiatorTable, type VolumeInitiator } from './initiator-table.ts'
import {
  addVerb,
  managerAddress,
  queryDeadlineMs,
  type VerbOptions,
  withManager,
} from './manager-connection.ts'
import { printJson, printLines, table } from './output.ts'
import { serverJson, serverTable } from './server.ts'
import { printShimStatus } from './shim-status.ts'
import { shutOutText } from './shut-out-text.ts'
import { approximateSize } from './size.ts'

interface StatusOptions extends VerbOptions {
  readonly shim?: string
}

export function addStatusCommand(program: Command): void {
  addVerb(program, 'status', 'the state of the whole system')
    .option('--shim <HOST:PORT>', 'of this shim, at its status address, instead of the manager')
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
    printLines(statusLines(address, { status, problems, initiators: initiators ?? [] }))
  }
  if (problems.length > 0) process.exitCode = exitCode.failed
}

/** What an operator should look at. Warnings are facts of the set-up, not problems. */
function findProblems(status: StatusReply): string[] {
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
    })),
    pendingFences: status.pendingFences,
    shutOut: status.shutOut,
    watchingClients: status.watchingClients,
    managementPath: {
      portals: status.managementPath,
      connections: status.relayedConnections,
      connectionsTotal: status.relayedConnectionsTotal,
    },
    reports: status.reports,
    warnings: status.warnings,
    problems,
  }
}

interface Shown {
  readonly status: StatusReply
  readonly problems: readonly string[]
  readonly initiators: readonly VolumeInitiator[]
}

function statusLines(address: string, { status, problems, initiators }: Shown): string[] {
  const relayed = `${status.relayedConnections} now, ${status.relayedConnectionsTotal} so far`
  const volumes = status.volumes.map((volume) => [
    volume.name,
    approximateSize(volume.sizeBytes),
    volume.generation,
    volume.change || 'none',
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
    ...table(['volume', 'size', 'generation', 'change', 'shut out'], volumes),
    ...initiatorTable(initiators),
    '',
    ...status.warnings.map((warning) => `warning: ${warning}`),
    ...(problems.length === 0 ? ['everything is in order'] : problems.map((one) => `! ${one}`)),
  ]
}
