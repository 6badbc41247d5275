/**
 * A manager in the hands of a test: speaks the same calls as the real one and decides what the test
 * says, step by step, so that a request can be held back between any two of them.
 */
import { EventEmitter, once } from 'node:events'
import { GrpcRpc } from '../../src/adapters/grpc-rpc.ts'
import { StorageError } from '../../src/base/errors.ts'
import type { AskReply, AskRequest, RegisterRequest } from '../../src/control/messages/client.ts'
import type { CloseReply, DescribeReply, Order } from '../../src/control/messages/server.ts'
import {
  type StorageServerClient,
  serveConfiguration,
  storageServerClient,
} from '../../src/control/services.ts'
import type { RpcChannel, RpcListener } from '../../src/ports/rpc.ts'
import type { VolumeMap } from '../../src/volume/map.ts'

const deadlineMs = 10_000

export class TestManager {
  readonly #rpc = new GrpcRpc()
  readonly #events = new EventEmitter()
  readonly #channels = new Map<string, RpcChannel>()
  #listener: RpcListener | undefined
  #number = 0
  term = 1
  /** What is committed, by volume. */
  readonly maps = new Map<string, VolumeMap>()
  /** The newest registration of each server, by name. */
  readonly servers = new Map<string, RegisterRequest>()
  readonly asked: AskRequest[] = []
  /** Answers a server that asks; by default the committed map, or wait while there is none. */
  verdict: (request: AskRequest) => AskReply = ({ volume }) => {
    const map = this.maps.get(volume.volumeId)
    if (map === undefined) return { wait: true }
    if (volume.serving && volume.generation === map.generation) return { wait: true }
    return { activate: { order: this.nextOrder(), map: this.#withIncarnations(map, volume) } }
  }

  static async start(address = '127.0.0.1:0'): Promise<TestManager> {
    const manager = new TestManager()
    const unavailable = async (): Promise<never> => {
      throw new StorageError('refused', 'this manager serves storage servers only')
    }
    manager.#listener = await manager.#rpc.serve(
      address,
      serveConfiguration({
        register: async (request) => {
          manager.servers.set(request.server.name, request)
          manager.#events.emit('registered')
          return { adopted: true, term: manager.term, recoveryBytesPerSecond: 0 }
        },
        condition: unavailable,
        ask: async (request) => {
          manager.asked.push(request)
          manager.#events.emit('asked')
          return manager.verdict(request)
        },
        getMap: unavailable,
        changeSharedState: unavailable,
        attend: unavailable,
        activateFrontEnd: unavailable,
        report: unavailable,
        watch: (_request, sink) => sink.end(),
      }),
    )
    return manager
  }

  get address(): string {
    return this.#listener?.address ?? ''
  }

  nextOrder(): Order {
    this.#number += 1
    return { term: this.term, number: this.#number }
  }

  /** Waits until a server has registered so that `matches` holds. */
  async registered(
    name: string,
    matches: (request: RegisterRequest) => boolean = () => true,
  ): Promise<RegisterRequest> {
    for (;;) {
      const request = this.servers.get(name)
      if (request !== undefined && matches(request)) return request
      await once(this.#events, 'registered')
    }
  }

  /** Waits for the next question of a server. */
  async nextAsk(): Promise<AskRequest> {
    await once(this.#events, 'asked')
    const request = this.asked.at(-1)
    if (request === undefined) throw new Error('nobody asked')
    return request
  }

  server(name: string): StorageServerClient {
    const control = this.servers.get(name)?.server.control
    if (control === undefined) throw new Error(`${name} has not registered`)
    let channel = this.#channels.get(control)
    if (channel === undefined) {
      channel = this.#rpc.channel(control)
      this.#channels.set(control, channel)
    }
    return storageServerClient(channel)
  }

  close(name: string, volumeId: string): Promise<CloseReply> {
    return this.server(name).close({ order: this.nextOrder(), volumeId }, deadlineMs)
  }

  /** Commits the map and makes the server take it up. */
  async activate(name: string, map: VolumeMap): Promise<void> {
    this.maps.set(map.volumeId, map)
    await this.server(name).activate({ order: this.nextOrder(), map }, deadlineMs)
  }

  /** The full change at one server: close, commit, activate. */
  async change(name: string, map: VolumeMap): Promise<void> {
    await this.close(name, map.volumeId)
    await this.activate(name, map)
  }

  describe(name: string): Promise<DescribeReply> {
    return this.server(name).describe({}, deadlineMs)
  }

  async stop(): Promise<void> {
    for (const channel of this.#channels.values()) channel.close()
    await this.#listener?.close()
  }

  /** As the real one does when a store lost something: the map names the store of today. */
  #withIncarnations(map: VolumeMap, { incarnations }: AskRequest['volume']): VolumeMap {
    const told = new Map(incarnations.map((each) => [each.segmentId, each.incarnation]))
    let lost = false
    const segments = map.segments.map((segment) => {
      const [replica] = segment.replicas
      const incarnation = told.get(segment.segmentId)
      if (replica === undefined || incarnation === undefined) return segment
      if (incarnation === replica.incarnation) return segment
      lost = true
      const replicas = [{ ...replica, incarnation }]
      return { ...segment, replicas, epoch: segment.epoch + 1 }
    })
    if (!lost) return map
    const next = { ...map, segments, generation: map.generation + 1 }
    this.maps.set(map.volumeId, next)
    return next
  }
}
