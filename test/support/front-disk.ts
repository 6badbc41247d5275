/** A volume as an initiator of our own sees it: statuses of single commands, many at a time. */
import { nodeClock } from '../../src/adapters/node-clock.ts'
import type { Leg } from '../../src/leg/leg.ts'
import { openLeg } from '../../src/leg/open-leg.ts'
import type { Network } from '../../src/ports/network.ts'
import { decodeSense } from '../../src/scsi/sense-format.ts'

export interface FrontDiskOptions {
  readonly network: Network
  readonly address: string
  readonly targetName: string
  readonly initiatorName: string
}

export interface FrontEnd {
  /** SAM-5 5.3.1; -1 where the session ended first. */
  readonly status: number
  readonly data: Buffer
}

const isid = Buffer.from('800000600001', 'hex')
const unitAttention = 6

export class FrontDisk {
  readonly #leg: Leg

  private constructor(leg: Leg) {
    this.#leg = leg
  }

  static async open(options: FrontDiskOptions): Promise<FrontDisk> {
    const opening = await openLeg({ ...options, clock: nodeClock, isid })
    if (opening.kind !== 'open') throw new Error(`no session: ${opening.cause}`)
    return new FrontDisk(opening.leg)
  }

  /** Resolves with the status. */
  async write(lba: number, data: Buffer): Promise<number> {
    return (await this.#run(cdb10(0x2a, lba, data.length / 512), { dataOut: [data] })).status
  }

  read(lba: number, blocks: number): Promise<FrontEnd> {
    return this.#run(cdb10(0x28, lba, blocks), { dataInBytes: blocks * 512 })
  }

  async close(): Promise<void> {
    this.#leg.close()
    await this.#leg.ended
  }

  /** Conditions that wait for every nexus (a new session, a larger volume) are taken and passed over. */
  async #run(
    cdb: Buffer,
    data: { readonly dataOut?: readonly Buffer[]; readonly dataInBytes?: number },
  ): Promise<FrontEnd> {
    const answer = await this.#leg.submit({ lun: 0, cdb, ...data }).answer
    if (answer.kind !== 'status') return { status: -1, data: Buffer.alloc(0) }
    const { status, sense, dataIn } = answer
    const condition = sense === undefined ? undefined : decodeSense(sense)
    if (condition?.key === unitAttention) return this.#run(cdb, data)
    return { status, data: Buffer.concat(dataIn) }
  }
}

/** READ (10), WRITE (10). SBC-3 5.11, 5.33. */
function cdb10(operationCode: number, lba: number, blocks: number): Buffer {
  const cdb = Buffer.alloc(10)
  cdb[0] = operationCode
  cdb.writeUInt32BE(lba, 2)
  cdb.writeUInt16BE(blocks, 7)
  return cdb
}
