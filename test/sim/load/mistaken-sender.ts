/**
 * Somebody on the network who speaks to servers as our own programs do and knows the newest
 * generation, but does not keep to the map: a shim of another make, or one with an error. A server
 * has to refuse him by what he is and whom he asks; what is answered GOOD is part of the history.
 */
import type { Leg } from '../../../src/leg/leg.ts'
import { openLeg } from '../../../src/leg/open-leg.ts'
import { encodeGenerationHeader } from '../../../src/volume/generation-header.ts'
import { clientIqn, replicationIqn } from '../../../src/volume/names.ts'
import type { Cluster } from '../cluster/cluster.ts'
import type { SimServer } from '../cluster/sim-server.ts'
import { Machine } from '../world/machine.ts'
import type { SimProcess } from '../world/sim-process.ts'
import { read16, write16 } from './cdbs.ts'
import type { Ending, Operation } from './history.ts'
import { readStamp, sectorBytes, stampedBlocks } from './stamps.ts'

export interface Mistake {
  readonly kind: 'read' | 'write'
  /** FenceFlag; with `replication` he goes to the target that only primaries use. */
  readonly flags: number
}

const name = 'x'
const volumeNumber = 1
const pauseMs = 25

export class MistakenSender {
  readonly client = clientIqn('22222222-2222-4222-8222-222222222222')
  readonly #cluster: Cluster
  readonly #process: SimProcess
  #logins = 0
  #stopped = false

  constructor(cluster: Cluster) {
    this.#cluster = cluster
    const machine = new Machine(cluster.world, name)
    cluster.network.attach(machine, [name])
    this.#process = machine.start(name)
  }

  /** Sends to that server, over and over, for so long. */
  sendTo(server: SimServer, mistake: Mistake, ms: number): void {
    const endMs = this.#cluster.world.nowMs + ms
    this.#run(server, mistake, endMs).catch((error: unknown) =>
      this.#cluster.violations.report(name, error),
    )
  }

  /** From now on he is shut out. */
  async beFenced(): Promise<void> {
    const { admin, history, world, volumes } = this.#cluster
    const [volume] = volumes
    await admin.fence({ volume: volume!.name, client: this.client }, 5_000)
    history.add({ what: 'fenced', client: name, volume: volumeNumber, atMs: world.nowMs })
  }

  stop(): void {
    this.#stopped = true
  }

  async #run(server: SimServer, mistake: Mistake, endMs: number): Promise<void> {
    const { world } = this.#cluster
    let leg: Leg | undefined
    while (!this.#stopped && world.nowMs < endMs) {
      if (leg?.open !== true) leg = await this.#logIn(server, mistake)
      if (leg !== undefined) await this.#send(leg, server, mistake)
      await new Promise<void>((resolve) => void this.#process.clock.after(pauseMs, resolve))
    }
    leg?.close()
  }

  async #logIn(server: SimServer, { flags }: Mistake): Promise<Leg | undefined> {
    const iqn = this.#replica(server)?.replica.iqn
    if (iqn === undefined) return undefined
    const opening = await openLeg({
      network: this.#cluster.network.of(this.#process),
      clock: this.#process.clock,
      address: server.portals[0]!,
      initiatorName: this.client,
      isid: Buffer.from([0x80, 0, 0, 0, 0, 1]),
      targetName: flags === 0 ? iqn : replicationIqn(server.name),
      fenced: { loginNumber: 1_000 + ++this.#logins },
    })
    return opening.kind === 'open' ? opening.leg : undefined
  }

  /** What the committed map says of the first segment there. */
  #replica({ serverId }: SimServer) {
    const map = this.#cluster.maps.all.get(volumeNumber)
    const replica = map?.segments[0]?.replicas.find((each) => each.serverId === serverId)
    return map === undefined || replica === undefined ? undefined : { map, replica }
  }

  async #send(leg: Leg, server: SimServer, { kind, flags }: Mistake): Promise<void> {
    const held = this.#replica(server)
    if (held === undefined) return
    const { history, world, volumes } = this.#cluster
    const operation: Operation = {
      ...{ number: history.nextNumber(), kind, initiator: `${name}/v1`, client: name },
      ...{ volume: volumeNumber, lba: volumes[0]!.hot[0]!, blocks: 1, forced: false },
    }
    const { lba, number } = operation
    history.add({ what: 'begin', operation, atMs: world.nowMs })
    const stamp = { volume: volumeNumber, lba, operation: number }
    const { answer } = leg.submit({
      lun: flags === 0 ? held.replica.lun : held.replica.number,
      header: encodeGenerationHeader(BigInt(held.map.generation), flags),
      ...(kind === 'read'
        ? { cdb: read16(lba, 1), dataInBytes: sectorBytes }
        : { cdb: write16(lba, 1, false), dataOut: [stampedBlocks(stamp, 1)] }),
    })
    const given = await answer
    if (given.kind !== 'status') this.#end(operation, 'in-doubt')
    else if (given.status !== 0) this.#end(operation, 'failed')
    else this.#good(operation, Buffer.concat(given.dataIn))
  }

  #good(operation: Operation, data: Buffer): void {
    const { kind, volume, lba } = operation
    if (kind !== 'read') {
      this.#end(operation, 'good')
      return
    }
    const stamp = readStamp(data, volume, lba)
    this.#end(operation, 'good', [typeof stamp === 'string' ? -1 : stamp])
  }

  #end(operation: Operation, ending: Ending, seen?: readonly number[]): void {
    const { history, world } = this.#cluster
    world.note(`${name}: ${operation.kind} ${operation.number} ${ending} ${seen ?? ''}`)
    history.add({
      ...{ what: 'end', operation, ending, atMs: world.nowMs },
      ...(seen !== undefined && { seen }),
    })
  }
}
