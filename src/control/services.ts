/**
 * The services between our own programs: `StorageServer` is served by a storage server and dialled
 * by the manager; `Configuration` is served by the manager and dialled by servers and front ends;
 * `Admin` is served by the manager and dialled by the command line, which also dials `ShimStatus` of
 * a front end.
 */
import type { RpcChannel, RpcMethod } from '../ports/rpc.ts'
import * as admin from './messages/admin.ts'
import * as client from './messages/client.ts'
import * as server from './messages/server.ts'
import * as shim from './messages/shim.ts'
import {
  type Client,
  clientOf,
  type Handlers,
  serveMethods,
  serverStream,
  unary,
} from './service.ts'

const storageServer = {
  name: 'StorageServer',
  methods: {
    close: unary(server.closeRequestCodec, server.closeReplyCodec),
    activate: unary(server.activateRequestCodec, server.activateReplyCodec),
    reopen: unary(server.reopenRequestCodec, server.reopenReplyCodec),
    describe: unary(server.describeRequestCodec, server.describeReplyCodec),
    verify: unary(server.verifyRequestCodec, server.verifyReplyCodec),
    records: unary(server.recordsRequestCodec, server.recordsReplyCodec),
  },
} as const

const configuration = {
  name: 'Configuration',
  methods: {
    register: unary(client.registerRequestCodec, client.registerReplyCodec),
    condition: unary(client.conditionRequestCodec, client.conditionReplyCodec),
    ask: unary(client.askRequestCodec, client.askReplyCodec),
    getMap: unary(client.getMapRequestCodec, client.getMapReplyCodec),
    watch: serverStream(client.watchRequestCodec, client.watchEventCodec),
    changeSharedState: unary(
      client.changeSharedStateRequestCodec,
      client.changeSharedStateReplyCodec,
    ),
    attend: unary(client.attendRequestCodec, client.attendReplyCodec),
    activateFrontEnd: unary(client.activateFrontEndRequestCodec, client.activateFrontEndReplyCodec),
    report: unary(client.reportRequestCodec, client.reportReplyCodec),
  },
} as const

const adminService = {
  name: 'Admin',
  methods: {
    createVolume: unary(admin.createVolumeRequestCodec, admin.volumeReplyCodec),
    listVolumes: unary(admin.listVolumesRequestCodec, admin.listVolumesReplyCodec),
    showVolume: unary(admin.showVolumeRequestCodec, admin.showVolumeReplyCodec),
    growVolume: unary(admin.growVolumeRequestCodec, admin.volumeReplyCodec),
    deleteVolume: unary(admin.deleteVolumeRequestCodec, admin.deleteVolumeReplyCodec),
    fence: unary(admin.fenceRequestCodec, admin.volumeReplyCodec),
    clearReservations: unary(admin.clearReservationsRequestCodec, admin.volumeReplyCodec),
    admit: unary(admin.admitRequestCodec, admin.volumeReplyCodec),
    addServer: unary(admin.addServerRequestCodec, admin.serverReplyCodec),
    setDomain: unary(admin.setDomainRequestCodec, admin.serverReplyCodec),
    listServers: unary(admin.listServersRequestCodec, admin.listServersReplyCodec),
    showServer: unary(admin.showServerRequestCodec, admin.serverReplyCodec),
    removeServer: unary(admin.removeServerRequestCodec, admin.removeServerReplyCodec),
    declareDead: unary(admin.declareDeadRequestCodec, admin.serverReplyCodec),
    verifyVolume: unary(admin.verifyVolumeRequestCodec, admin.verifyVolumeReplyCodec),
    recovery: unary(admin.recoveryRequestCodec, admin.recoveryReplyCodec),
    status: unary(admin.statusRequestCodec, admin.statusReplyCodec),
  },
} as const

const shimStatus = {
  name: 'ShimStatus',
  methods: {
    show: unary(shim.shimStatusRequestCodec, shim.shimStatusReplyCodec),
  },
} as const

export type StorageServerHandlers = Handlers<typeof storageServer.methods>
export type StorageServerClient = Client<typeof storageServer.methods>
export type ConfigurationHandlers = Handlers<typeof configuration.methods>
export type ConfigurationClient = Client<typeof configuration.methods>
export type AdminHandlers = Handlers<typeof adminService.methods>
export type AdminClient = Client<typeof adminService.methods>
export type ShimStatusHandlers = Handlers<typeof shimStatus.methods>
export type ShimStatusClient = Client<typeof shimStatus.methods>

export function serveStorageServer(handlers: StorageServerHandlers): RpcMethod[] {
  return serveMethods(storageServer, handlers)
}
export function storageServerClient(channel: RpcChannel): StorageServerClient {
  return clientOf(storageServer, channel)
}

export function serveConfiguration(handlers: ConfigurationHandlers): RpcMethod[] {
  return serveMethods(configuration, handlers)
}
export function configurationClient(channel: RpcChannel): ConfigurationClient {
  return clientOf(configuration, channel)
}

export function serveAdmin(handlers: AdminHandlers): RpcMethod[] {
  return serveMethods(adminService, handlers)
}
export function adminClient(channel: RpcChannel): AdminClient {
  return clientOf(adminService, channel)
}

export function serveShimStatus(handlers: ShimStatusHandlers): RpcMethod[] {
  return serveMethods(shimStatus, handlers)
}
export function shimStatusClient(channel: RpcChannel): ShimStatusClient {
  return clientOf(shimStatus, channel)
}
