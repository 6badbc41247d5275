/**
 * What units do with a store beside plain reads and writes: COMPARE AND WRITE, ORWRITE and WRITE
 * ATOMIC (SBC-3 5.2, 5.5, SBC-4 5.48), and GET LBA STATUS (SBC-3 5.4). That nobody writes in between
 * is the store's affair (`ReplicaStore.update`). What bears an identity takes effect once, however
 * often it comes.
 */
import { assert } from '../../src/base/assert.ts'
import { DataReader, totalBytes } from '../../src/scsi/data-out.ts'
import type { AllocationRun, BlockExtent } from '../../src/scsi/logical-unit.ts'
import { checkCondition, good, type ScsiResult } from '../../src/scsi/result.ts'
import {
  LOGICAL_UNIT_COMMUNICATION_FAILURE,
  MISCOMPARE_DURING_VERIFY,
} from '../../src/scsi/sense.ts'
import type { Known } from '../mirror/request-outcomes.ts'
import type { Change, OnceChange, ReplicaStore } from '../store/replica-store.ts'

export interface CompareAndWrite {
  readonly compare: readonly Buffer[]
  readonly write: readonly Buffer[]
}

/** A command that must not take effect twice, and what is remembered of it. */
export interface Once extends OnceChange {
  look(): Known
}

/** Nobody knows whether it took effect. */
const unknown = checkCondition(LOGICAL_UNIT_COMMUNICATION_FAILURE)

/** INFORMATION is the offset of the first byte that is not the same. SBC-3 5.2. */
export async function compareAndWrite(
  store: ReplicaStore,
  lba: number,
  { compare, write }: CompareAndWrite,
  once?: Once,
): Promise<ScsiResult> {
  let information: number | undefined
  const known = await update({ store, lba, blocks: blocksIn(store, write), once }, (stored) => {
    information = new DataReader(compare).firstDifferenceOf(stored)
    return information === undefined ? write : undefined
  })
  if (known === 'gone') return unknown
  if (information === undefined) return good()
  return checkCondition({ ...MISCOMPARE_DURING_VERIFY, information })
}

export async function orWrite(
  store: ReplicaStore,
  lba: number,
  data: readonly Buffer[],
  once?: Once,
): Promise<ScsiResult> {
  const extent = { store, lba, blocks: blocksIn(store, data), once }
  const known = await update(extent, (stored) => [merged(stored, data)])
  return known === 'gone' ? unknown : good()
}

interface Updating extends BlockExtent {
  readonly store: ReplicaStore
  readonly once: Once | undefined
}

/** What was known of it is asked while nobody else can change the range. */
async function update({ store, lba, blocks, once }: Updating, change: Change): Promise<Known> {
  let known: Known = 'new'
  let changed = false
  const made: Change = (stored) => {
    known = once?.look() ?? 'new'
    const data = known === 'new' ? change(stored) : undefined
    changed = data !== undefined
    return data
  }
  await store.update(lba, blocks, made, once)
  if (changed) once?.applied()
  return known
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
