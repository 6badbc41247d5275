/**
 * A replica on another server, as its segment's primary reaches it: `Partner` in SCSI commands over
 * the link to that server, LUN = number of the replica, each stamped with generation and flag. Every
 * answer is judged here. The commands of one call go out in one turn.
 */
import { assert } from '../../src/base/assert.ts'
import { mirror as limits } from '../../src/base/limits.ts'
import type { LegAnswer } from '../../src/leg/leg-command.ts'
import { totalBytes } from '../../src/scsi/data-out.ts'
import type { BlockExtent } from '../../src/scsi/logical-unit.ts'
import { Status } from '../../src/scsi/result.ts'
import { LOGICAL_UNIT_NOT_SUPPORTED, sameSense } from '../../src/scsi/sense.ts'
import { decodeSense } from '../../src/scsi/sense-format.ts'
import { encodeGenerationHeader, FenceFlag } from '../../src/volume/generation-header.ts'
import { decodeRefusal, Reason } from '../../src/volume/refusal.ts'
import { encodeRequestIdentity } from '../../src/volume/request-identity.ts'
import type { Leases } from './leases.ts'
import type { MaskSet } from './mask-set.ts'
import {
  type ClearWhat,
  type Partner,
  type PartnerCall,
  PartnerFailure,
  type PartnerWrite,
} from './partner.ts'
import {
  clearCommands,
  digestCommands,
  flushCommand,
  type PartnerCommand,
  readCommands,
  readMasksCommand,
  takeMasksCommand,
  unmapCommands,
  writeCommands,
} from './partner-commands.ts'
import type { PartnerLink } from './partner-link.ts'
import { decodeMasks, digestBytes, maskBytes, masksBytes } from './replication-data.ts'

export interface LinkPartnerOptions {
  readonly link: PartnerLink
  readonly leases: Leases
  /** Of the replica there. */
  readonly number: number
  readonly blocks: number
  readonly blockBytes: number
}

const reasons: Readonly<Record<Reason, string>> = {
  [Reason.SENDER_OLDER]: 'it has a newer generation',
  [Reason.SENDER_NEWER]: 'it has an older generation',
  [Reason.CLOSED]: 'it is closed',
  [Reason.NOT_PRIMARY]: 'it takes this server for no primary',
  [Reason.HEADER]: 'it misses the generation header',
  [Reason.INTERRUPTED]: 'it was interrupted',
  [Reason.NOT_ADMITTED]: 'this server is fenced',
}

export class LinkPartner implements Partner {
  readonly serverId: string
  readonly #options: LinkPartnerOptions
  #changed: Promise<void> | undefined
  #stamp:
    | { readonly generation: number; readonly flags: number; readonly header: Buffer }
    | undefined

  constructor(options: LinkPartnerOptions) {
    assert(options.number <= limits.replicasOnServer, `replica number ${options.number} is no LUN`)
    this.serverId = options.link.serverId
    this.#options = options
  }

  get up(): boolean {
    return this.#options.link.up
  }

  /** One promise for all who wait, however often they come back before it resolves. */
  changed(): Promise<void> {
    this.#changed ??= new Promise((resolve) => {
      this.#options.link.changed.once(() => {
        this.#changed = undefined
        resolve()
      })
    })
    return this.#changed
  }

  abandon(): void {
    this.#options.link.abandon()
  }

  async write(call: PartnerWrite, lba: number, data: readonly Buffer[]): Promise<void> {
    const { blockBytes } = this.#options
    await this.#runAll(call, writeCommands(call, { lba, blockBytes }, data))
  }

  async unmap(call: PartnerCall, extents: readonly BlockExtent[]): Promise<void> {
    await this.#runAll(call, unmapCommands(extents))
  }

  async flush(call: PartnerCall): Promise<void> {
    await this.#run(call, flushCommand())
  }

  read(call: PartnerCall, lba: number, blocks: number): Promise<Buffer[]> {
    return this.#readAll(call, readCommands({ lba, blocks }, this.#options.blockBytes))
  }

  async digests(call: PartnerCall, lba: number, blocks: number): Promise<Buffer[]> {
    const commands = digestCommands({ lba, blocks }, this.#options.blockBytes)
    const all = Buffer.concat(await this.#readAll(call, commands))
    return Array.from({ length: all.length / digestBytes }, (_, i) =>
      all.subarray(i * digestBytes, (i + 1) * digestBytes),
    )
  }

  async masks(call: PartnerCall): Promise<MaskSet> {
    const { blocks, blockBytes } = this.#options
    const data = await this.#run(call, readMasksCommand(masksBytes(blocks, blockBytes)))
    const masks = decodeMasks(Buffer.concat(data), maskBytes(blocks, blockBytes))
    if (masks === undefined) throw this.#failure('failed', 'its masks make no sense')
    return masks
  }

  async takeMasks(call: PartnerCall, masks: MaskSet): Promise<void> {
    await this.#run(call, takeMasksCommand(masks))
  }

  /**
   * The list goes with the command, and so it is carried out in the order of the session: before
   * every write that is sent after it.
   */
  async clear(call: PartnerCall, regions: readonly number[], of: ClearWhat): Promise<void> {
    const commands = clearCommands(regions, of)
    const { immediateBytes } = this.#options.link
    if (this.up && commands.some(({ dataOut }) => totalBytes(dataOut ?? []) > immediateBytes)) {
      throw this.#failure('failed', 'its session takes no immediate data')
    }
    await this.#runAll(call, commands)
  }

  /** Settles when all have: their buffers are borrowed until then. */
  async #runAll(
    call: PartnerCall,
    commands: readonly PartnerCommand[],
  ): Promise<(readonly Buffer[])[]> {
    const outcomes = await Promise.allSettled(commands.map((command) => this.#run(call, command)))
    return outcomes.map((outcome) => {
      if (outcome.status === 'rejected') throw outcome.reason
      return outcome.value
    })
  }

  async #readAll(call: PartnerCall, commands: readonly PartnerCommand[]): Promise<Buffer[]> {
    const answers = await this.#runAll(call, commands)
    for (const [index, data] of answers.entries()) {
      if (totalBytes(data) !== commands[index]!.dataInBytes) {
        throw this.#failure('failed', 'it answered with less than it was asked for')
      }
    }
    return answers.flat()
  }

  async #run(call: PartnerCall, command: PartnerCommand): Promise<readonly Buffer[]> {
    const { link, leases, number } = this.#options
    const { serverId } = this
    const sent = link.submit({ lun: number, header: this.#header(call), ...command })
    if (sent === undefined) throw this.#failure('lost', 'there is no session')
    const answer = await sent.answer
    if (answer.kind === 'status' && answer.status === Status.GOOD) {
      const { sentAtMs } = sent
      leases.confirmed({ serverId, number }, { generation: call.generation, sentAtMs })
      return answer.dataIn
    }
    const failure = this.#judge(answer)
    if (failure.kind === 'refused') leases.refused({ serverId, number }, call.generation)
    throw failure
  }

  #judge(answer: LegAnswer): PartnerFailure {
    if (answer.kind !== 'status') return this.#failure('lost', 'the session ended')
    const bytes = answer.sense ?? Buffer.alloc(0)
    const refusal = decodeRefusal(bytes)
    if (refusal !== undefined) {
      const kind = refusal.reason === Reason.INTERRUPTED ? 'failed' : 'refused'
      const text = `${reasons[refusal.reason]} (generation ${refusal.generation})`
      return this.#failure(kind, text)
    }
    const sense = decodeSense(bytes)
    if (sense === undefined) return this.#failure('failed', `status ${answer.status}`)
    if (sameSense(sense, LOGICAL_UNIT_NOT_SUPPORTED)) {
      return this.#failure('refused', 'it does not hold the replica')
    }
    const codes = [sense.key, sense.asc, sense.ascq].map((code) => code.toString(16)).join('/')
    return this.#failure('failed', `sense ${codes}`)
  }

  #failure(kind: PartnerFailure['kind'], why: string): PartnerFailure {
    const { number } = this.#options
    return new PartnerFailure(kind, `replica ${number} on server ${this.serverId}: ${why}`)
  }

  #header(call: PartnerCall): Buffer {
    const header = this.#stampOf(call)
    const { identity } = call
    return identity === undefined
      ? header
      : Buffer.concat([header, encodeRequestIdentity(identity)])
  }

  #stampOf({ generation, resync = false }: PartnerCall): Buffer {
    const flags = resync ? FenceFlag.resync : FenceFlag.replication
    if (this.#stamp?.generation !== generation || this.#stamp.flags !== flags) {
      const header = encodeGenerationHeader(BigInt(generation), flags)
      this.#stamp = { generation, flags, header }
    }
    return this.#stamp.header
  }
}
