/** An initiator at a front end: whole blocks of one stamp, many commands at a time, over a leg. */
import type { Leg } from '../../src/leg/leg.ts'
import type { LegAnswer, LegTask } from '../../src/leg/leg-command.ts'
import { read10, write10 } from './raw-initiator.ts'

const blockBytes = 512

export class Initiator {
  readonly leg: Leg

  constructor(leg: Leg) {
    this.leg = leg
  }

  write(lba: number, blocks: number, stamp: number): LegTask {
    const dataOut = [stampedBlocks(blocks, stamp)]
    return this.leg.submit({ lun: 0, cdb: write10(lba, blocks), dataOut })
  }

  /** The stamps of the blocks; a block of several stamps is NaN. */
  async read(lba: number, blocks: number): Promise<number[]> {
    const dataInBytes = blocks * blockBytes
    const answer = await this.leg.submit({ lun: 0, cdb: read10(lba, blocks), dataInBytes }).answer
    if (answer.kind !== 'status' || answer.status !== 0) {
      throw new Error(`read ${lba}+${blocks}: ${describe(answer)}`)
    }
    return stampsOfBlocks(Buffer.concat(answer.dataIn))
  }

  flush(): LegTask {
    return this.command(Buffer.from([0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0]))
  }

  testUnitReady(): LegTask {
    return this.command(Buffer.alloc(6))
  }

  command(cdb: Buffer): LegTask {
    return this.leg.submit({ lun: 0, cdb })
  }
}

export function stampedBlocks(blocks: number, stamp: number): Buffer {
  const data = Buffer.alloc(blocks * blockBytes)
  for (let at = 0; at < data.length; at += 4) data.writeUInt32BE(stamp, at)
  return data
}

/** The stamp of each block; NaN where it has several. */
export function stampsOfBlocks(data: Buffer): number[] {
  const blocks = data.length / blockBytes
  return Array.from({ length: blocks }, (_, i) => stampOf(data.subarray(i * blockBytes)))
}

function stampOf(block: Buffer): number {
  const stamp = block.readUInt32BE(0)
  for (let at = 4; at < blockBytes; at += 4) if (block.readUInt32BE(at) !== stamp) return Number.NaN
  return stamp
}

/** `good`, or what it was: status, sense key and codes in hex. */
export function describe(answer: LegAnswer): string {
  if (answer.kind !== 'status') return answer.kind
  if (answer.status === 0) return 'good'
  const { sense, status } = answer
  if (sense === undefined) return `status ${status.toString(16)}`
  const fixed = [sense[2]! & 0xf, sense[12]!, sense[13]!]
  const codes = sense[0] === 0x72 ? [...sense.subarray(1, 4)] : fixed
  return `sense ${codes.map((byte) => byte.toString(16)).join('/')}`
}
