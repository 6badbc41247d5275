/** `palisade status --shim`: what a shim says of its volumes, paths and counters. */
import { StorageError } from '../base/errors.ts'
import type { FrontVolumeStatus, PathStatus, ShimStatusReply } from '../control/messages/shim.ts'
import { parseAddressOption } from './address-option.ts'
import { initiatorsOf, initiatorTable } from './initiator-table.ts'
import { queryDeadlineMs } from './manager-connection.ts'
import { printJson, printLines, table } from './output.ts'
import { approximateSize } from './size.ts'

export async function printShimStatus(address: string, json: boolean): Promise<void> {
  const status = await askShim(parseAddressOption(address, '--shim'))
  if (json) printJson(status)
  else printLines(shimLines(address, status))
}

export async function askShim(address: string): Promise<ShimStatusReply> {
  const [{ GrpcRpc }, { shimStatusClient }] = await Promise.all([
    import('../adapters/grpc-rpc.ts'),
    import('../control/services.ts'),
  ])
  const channel = new GrpcRpc().channel(address)
  try {
    return await shimStatusClient(channel).show({}, queryDeadlineMs)
  } catch (thrown) {
    if (!(thrown instanceof StorageError) || thrown.code !== 'unreachable') throw thrown
    const advice = 'is it running, and is this its status address (the ready line tells)?'
    throw new StorageError('unreachable', `no answer from a shim at ${address}: ${advice}`)
  } finally {
    channel.close()
  }
}

function shimLines(address: string, status: ShimStatusReply): string[] {
  const manager = status.managerConnected ? 'connected' : 'NOT CONNECTED: maps may be out of date'
  return [
    `shim             ${address}, client ${status.client}`,
    `manager          ${manager}`,
    `management path  ${status.managementPath.join(' ') || 'none'}`,
    ...(status.sentElsewhere > 0 ? [`sent elsewhere   ${status.sentElsewhere} logins`] : []),
    ...status.volumes.flatMap(volumeLines),
    ...initiatorTable(initiatorsOf(status)),
  ]
}

function volumeLines(volume: FrontVolumeStatus): string[] {
  const repeats = volume.repeats.map(({ reason, count }) => `${reason} ${count}`).join(', ')
  const fenced = volume.fenced ? ', FENCED' : ''
  return [
    '',
    `volume ${volume.name}: generation ${volume.generation}, sessions ${volume.sessions}${fenced}`,
    `  commands ${volume.commands}, under way ${volume.live}, held now ${volume.held}`,
    `  held so far ${volume.heldTotal}, longest ${volume.longestStallMs.toFixed(0)} ms`,
    `  sent again after a loss ${volume.resent}; repeated: ${repeats || 'none'}`,
    `  busy ${volume.busy}, conflicts ${volume.conflicts}, dropped ${volume.dropped}`,
    ...(volume.outcomeUnknown > 0 ? [`  outcome unknown ${volume.outcomeUnknown}`] : []),
    ...(volume.alarms > 0 ? [`  ! ${volume.alarms} alarms: see the log`] : []),
    ...table(['server', 'route', 'portal', 'direct', 'relayed', 'breaks'], volume.paths.map(row)),
  ]
}

function row(path: PathStatus): (string | number)[] {
  const { server, route, portal, direct, management, breaks } = path
  const sent = (one: PathStatus['direct']) => `${one.commands} (${approximateSize(one.bytes)})`
  return [server, route, portal, sent(direct), sent(management), breaks]
}
