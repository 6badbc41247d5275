/** The reading side of the mapping log: at start, once. Nothing is changed here. */
import type { BlockFiles } from '../../src/ports/block-file.ts'
import { hasLogHeader, logHeaderBytes, logName } from './map-log.ts'
import { type DecodedRecord, decodeRecord, type MapRecord, type Sequenced } from './map-record.ts'

export interface LogContent {
  /** Contiguous, beginning after what is folded; sound, but perhaps not durable. */
  readonly entries: readonly Sequenced<MapRecord>[]
  /** Up to this sequence it was made durable, by the log's own word. */
  readonly coveredSequence: number
  /** Of the files that exist, from the first asked for on. */
  readonly numbers: readonly number[]
  /** Where each of them ends: what is behind that is room for records, or torn. */
  readonly endsBytes: readonly number[]
}

export async function readLogs(
  files: BlockFiles,
  from: { readonly number: number; readonly sequence: number },
): Promise<LogContent> {
  const entries: Sequenced<MapRecord>[] = []
  const numbers: number[] = []
  const endsBytes: number[] = []
  let coveredSequence = from.sequence
  for (let number = from.number; await files.exists(logName(number)); number++) {
    numbers.push(number)
    let endBytes = logHeaderBytes
    for (const entry of decodeLog(await readWhole(files, logName(number)), number)) {
      // A gap means that the end of the file before was lost: what follows hangs in the air, and so
      // does everything behind it.
      if (entry.sequence !== from.sequence + entries.length + 1) break
      entries.push(entry)
      endBytes += entry.lengthBytes
      if (entry.record.kind === 'flush') coveredSequence = entry.record.covers
    }
    endsBytes.push(endBytes)
  }
  while (isJoined(entries.at(-1))) entries.pop()
  return { entries, coveredSequence, numbers, endsBytes }
}

/** What counts only with a record that is not there does not count. */
function isJoined(entry: Sequenced<MapRecord> | undefined): boolean {
  return entry?.record.kind === 'map' && entry.record.joined === true
}

function* decodeLog(log: Buffer, number: number): Generator<DecodedRecord> {
  if (!hasLogHeader(log, number)) return
  let at = logHeaderBytes
  for (let entry = decodeRecord(log, at); entry !== undefined; entry = decodeRecord(log, at)) {
    yield entry
    at += entry.lengthBytes
  }
}

async function readWhole(files: BlockFiles, name: string): Promise<Buffer> {
  const file = await files.open(name)
  try {
    const bytes = Buffer.alloc(file.sizeBytes)
    await file.read(bytes, 0)
    return bytes
  } finally {
    await file.close()
  }
}
