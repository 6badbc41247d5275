/**
 * What units do with a store beside plain reads and writes: COMPARE AND WRITE, ORWRITE and WRITE
 * ATOMIC (SBC-3 5.2, 5.5, SBC-4 5.48), and GET LBA STATUS (SBC-3 5.4). That nobody writes in between
 * is the store's affair (`ReplicaStore.update`).
 */
import { assert } from '../../src/base/assert.ts'
import { DataReader, totalBytes } from '../../src/scsi/data-out.ts'
import type { AllocationRun, BlockExtent } from '../../src/scsi/logical-unit.ts'
import { checkCondition, good, type ScsiResult } from '../../src/scsi/result.ts'
import { MISCOMPARE_DURING_VERIFY } from '../../src/scsi/sense.ts'
import type { ReplicaStore } from '../store/replica-store.ts'

export interface CompareAndWrite {
  readonly compare: readonly Buffer[]
  readonly write: readonly Buffer[]
}

/** INFORMATION is the offset of the first byte that is not the same. SBC-3 5.2. */
export async function compareAndWrite(
  store: ReplicaStore,
  lba: number,
  { compare, write }: CompareAndWrite,
): Promise<ScsiResult> {
  let information: number | undefined
  await store.update(lba, blocksIn(store, write), (stored) => {
    information = new DataReader(compare).firstDifferenceOf(stored)
    return information === undefined ? write : undefined
  })
  if (information === undefined) return good()
  return checkCondition({ ...MISCOMPARE_DURING_VERIFY, information })
}

export async function orWrite(
  store: ReplicaStore,
  lba: number,
  data: readonly Buffer[],
): Promise<ScsiResult> {
  await store.update(lba, blocksIn(store, data), (stored) => [merged(stored, data)])
  return good()
}

export async function writeAtomic(
  store: ReplicaStore,
  lba: number,
  data: readonly Buffer[],
): Promise<ScsiResult> {
  assert(store.writeAtomic, 'atomic writes are let in only where the store has them')
  await store.writeAtomic(lba, data)
  return good()
}

export function mapping(store: ReplicaStore, range: BlockExtent, most: number): AllocationRun[] {
  const runs: AllocationRun[] = []
  const end = range.lba + range.blocks
  for (let at = range.lba; at < end && runs.length < most; at += runs.at(-1)!.blocks) {
    const { mapped, blocks } = store.run(at)
    runs.push({ mapped, blocks: Math.min(blocks, end - at) })
  }
  return runs
}

/** Word by word: byte by byte it takes longer than the disk. Blocks are whole words. */
function merged(stored: readonly Buffer[], data: readonly Buffer[]): Buffer {
  const result = Buffer.allocUnsafeSlow(totalBytes(data))
  const words = wordsOf(result)
  const held = wordsOf(inOne(stored))
  const given = wordsOf(inOne(data))
  for (let i = 0; i < words.length; i++) words[i] = held[i]! | given[i]!
  return result
}

/** A copy that begins at a word boundary, as pooled buffers need not. */
function inOne(buffers: readonly Buffer[]): Buffer {
  const one = Buffer.allocUnsafeSlow(totalBytes(buffers))
  let at = 0
  for (const buffer of buffers) at += buffer.copy(one, at)
  return one
}

function wordsOf(buffer: Buffer): Uint32Array {
  return new Uint32Array(buffer.buffer, buffer.byteOffset, buffer.length / 4)
}

function blocksIn(store: ReplicaStore, data: readonly Buffer[]): number {
  return totalBytes(data) / store.blockBytes
}
