/**
 * A replica on another server, as its segment's primary reaches it: `Partner` in SCSI commands over
 * the link to that server, LUN = number of the replica, each stamped with generation and flag. Every
 * answer is judged here. What is larger than a command is cut, and goes out in one turn.
 */
import { assert } from '../../src/base/assert.ts'
import { BufferCursor } from '../../src/base/buffer-cursor.ts'
import { largestCommandBytes, mirror as limits, pageBytes, scsi } from '../../src/base/limits.ts'
import type { LegAnswer } from '../../src/leg/leg-command.ts'
import { read16, synchronizeCache16, unmap, write16 } from '../../src/scsi/cdb-block.ts'
import { writeAtomic } from '../../src/scsi/cdb-update.ts'
import { totalBytes } from '../../src/scsi/data-out.ts'
import type { BlockExtent } from '../../src/scsi/logical-unit.ts'
import { Status } from '../../src/scsi/result.ts'
import { LOGICAL_UNIT_NOT_SUPPORTED, sameSense } from '../../src/scsi/sense.ts'
import { decodeSense } from '../../src/scsi/sense-format.ts'
import { unmapParameterList } from '../../src/scsi/unmap.ts'
import { encodeGenerationHeader, FenceFlag } from '../../src/volume/generation-header.ts'
import { decodeRefusal, Reason } from '../../src/volume/refusal.ts'
import type { Leases } from './leases.ts'
import type { MaskSet } from './mask-set.ts'
import {
  type ClearWhat,
  type Partner,
  type PartnerCall,
  PartnerFailure,
  type PartnerWrite,
} from './partner.ts'
import type { PartnerLink } from './partner-link.ts'
import { clearRegions, digests, readMasks, takeMasks } from './replication-cdb.ts'
import {
  decodeMasks,
  digestBytes,
  encodeClearing,
  encodeMasks,
  maskBytes,
  masksBytes,
} from './replication-data.ts'

export interface LinkPartnerOptions {
  readonly link: PartnerLink
  readonly leases: Leases
  /** Of the replica there. */
  readonly number: number
  readonly blocks: number
  readonly blockBytes: number
}

interface Command {
  readonly cdb: Buffer
  readonly dataOut?: readonly Buffer[]
  readonly dataInBytes?: number
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
    const cursor = new BufferCursor(data)
    const commands = cut({ lba, blocks: totalBytes(data) / blockBytes }, this.#mostBlocks).map(
      (part) => ({
        cdb: writeCdb(call, part),
        dataOut: cursor.take(part.blocks * blockBytes),
      }),
    )
    assert(call.atomic !== true || commands.length === 1, 'an atomic write is one command')
    await this.#runAll(call, commands)
  }

  async unmap(call: PartnerCall, extents: readonly BlockExtent[]): Promise<void> {
    const lists = unmapLists(extents)
    const commands = lists.map((list) => {
      const parameters = unmapParameterList(list)
      const cdb = unmap.build({ anchor: false, group: 0, parameterListLength: parameters.length })
      return { cdb, dataOut: [parameters] }
    })
    await this.#runAll(call, commands)
  }

  async flush(call: PartnerCall): Promise<void> {
    const whole = { lbaHigh: 0, lbaLow: 0, blocks: 0, group: 0 }
    const cdb = synchronizeCache16.build({ ...whole, nonVolatileOnly: false, immediate: false })
    await this.#run(call, { cdb })
  }

  async read(call: PartnerCall, lba: number, blocks: number): Promise<Buffer[]> {
    const commands = cut({ lba, blocks }, this.#mostBlocks).map((part) => ({
      cdb: read16.build(accessOf(part, false)),
      dataInBytes: part.blocks * this.#options.blockBytes,
    }))
    return this.#readAll(call, commands)
  }

  async digests(call: PartnerCall, lba: number, blocks: number): Promise<Buffer[]> {
    const { blockBytes } = this.#options
    assert((lba * blockBytes) % pageBytes === 0, 'digests begin at a page boundary')
    const parts = cut({ lba, blocks }, limits.regionBytes / blockBytes)
    const commands = parts.map((part) => ({
      cdb: digests.build({ ...halves(part.lba), blocks: part.blocks }),
      dataInBytes: Math.ceil((part.blocks * blockBytes) / pageBytes) * digestBytes,
    }))
    const all = Buffer.concat(await this.#readAll(call, commands))
    return Array.from({ length: all.length / digestBytes }, (_, i) =>
      all.subarray(i * digestBytes, (i + 1) * digestBytes),
    )
  }

  async masks(call: PartnerCall): Promise<MaskSet> {
    const { blocks, blockBytes } = this.#options
    const allocationLength = Math.min(masksBytes(blocks, blockBytes), largestCommandBytes)
    const cdb = readMasks.build({ allocationLength })
    const data = await this.#run(call, { cdb, dataInBytes: allocationLength })
    const masks = decodeMasks(Buffer.concat(data), maskBytes(blocks, blockBytes))
    if (masks === undefined) throw this.#failure('failed', 'its masks make no sense')
    return masks
  }

  async takeMasks(call: PartnerCall, masks: MaskSet): Promise<void> {
    const list = encodeMasks(masks)
    const cdb = takeMasks.build({ parameterListLength: list.length })
    await this.#run(call, { cdb, dataOut: [list] })
  }

  /**
   * The list goes with the command, and so it is carried out in the order of the session: before
   * every write that is sent after it.
   */
  async clear(call: PartnerCall, regions: readonly number[], of: ClearWhat): Promise<void> {
    const commands: Command[] = []
    for (let at = 0; at < regions.length; at += limits.clearedRegions) {
      const some = regions.slice(at, at + limits.clearedRegions)
      const list = encodeClearing({ regions: some, of })
      if (this.up && list.length > this.#options.link.immediateBytes) {
        throw this.#failure('failed', 'its session takes no immediate data')
      }
      commands.push({
        cdb: clearRegions.build({ parameterListLength: list.length }),
        dataOut: [list],
      })
    }
    await this.#runAll(call, commands)
  }

  get #mostBlocks(): number {
    return largestCommandBytes / this.#options.blockBytes
  }

  /** Settles when all have: their buffers are borrowed until then. */
  async #runAll(call: PartnerCall, commands: readonly Command[]): Promise<(readonly Buffer[])[]> {
    const outcomes = await Promise.allSettled(commands.map((command) => this.#run(call, command)))
    return outcomes.map((outcome) => {
      if (outcome.status === 'rejected') throw outcome.reason
      return outcome.value
    })
  }

  async #readAll(call: PartnerCall, commands: readonly Command[]): Promise<Buffer[]> {
    const answers = await this.#runAll(call, commands)
    for (const [index, data] of answers.entries()) {
      if (totalBytes(data) !== commands[index]!.dataInBytes) {
        throw this.#failure('failed', 'it answered with less than it was asked for')
      }
    }
    return answers.flat()
  }

  async #run(call: PartnerCall, command: Command): Promise<readonly Buffer[]> {
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

  #header({ generation, resync = false }: PartnerCall): Buffer {
    const flags = resync ? FenceFlag.resync : FenceFlag.replication
    if (this.#stamp?.generation !== generation || this.#stamp.flags !== flags) {
      const header = encodeGenerationHeader(BigInt(generation), flags)
      this.#stamp = { generation, flags, header }
    }
    return this.#stamp.header
  }
}

function writeCdb(call: PartnerWrite, part: BlockExtent): Buffer {
  const { atomic = false, forceUnitAccess = false } = call
  const access = accessOf(part, forceUnitAccess)
  return atomic ? writeAtomic.build({ ...access, atomicBoundary: 0 }) : write16.build(access)
}

function accessOf({ lba, blocks }: BlockExtent, forceUnitAccess: boolean) {
  return {
    ...halves(lba),
    transferLengthBlocks: blocks,
    forceUnitAccess,
    forceUnitAccessNonVolatile: false,
    disablePageOut: false,
    protect: 0,
    group: 0,
  }
}

function halves(lba: number): { readonly lbaHigh: number; readonly lbaLow: number } {
  return { lbaHigh: Math.floor(lba / 0x1_0000_0000), lbaLow: lba >>> 0 }
}

/** What one UNMAP takes at most: so many descriptors, so many blocks in all. SBC-3 6.6.3. */
function unmapLists(extents: readonly BlockExtent[]): BlockExtent[][] {
  const lists: BlockExtent[][] = []
  let room = 0
  for (const part of extents.flatMap((extent) => cut(extent, scsi.maxUnmapBlocks))) {
    const last = lists.at(-1)
    if (last !== undefined && last.length < scsi.maxUnmapDescriptors && part.blocks <= room) {
      last.push(part)
    } else {
      lists.push([part])
      room = scsi.maxUnmapBlocks
    }
    room -= part.blocks
  }
  return lists
}

/** In pieces of at most so many blocks. */
function cut({ lba, blocks }: BlockExtent, mostBlocks: number): BlockExtent[] {
  return Array.from({ length: Math.ceil(blocks / mostBlocks) }, (_, index) => {
    const from = index * mostBlocks
    return { lba: lba + from, blocks: Math.min(mostBlocks, blocks - from) }
  })
}
