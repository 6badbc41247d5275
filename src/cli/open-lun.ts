/**
 * Opens what a `--lun` option names: a raw file or block device, or with `,thin` a directory with a
 * page store of its own.
 */
import { createHash } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { PageStore } from '../../targets/store/page-store.ts'
import { RawFileStore } from '../../targets/store/raw-file-store.ts'
import type { ReplicaStore } from '../../targets/store/replica-store.ts'
import { readBootId } from '../adapters/boot-id.ts'
import { lockDirectory } from '../adapters/instance-lock.ts'
import { openLmdb } from '../adapters/lmdb-key-value.ts'
import { NodeBlockFiles } from '../adapters/node-block-files.ts'
import { nodeClock } from '../adapters/node-clock.ts'
import { nodeRandom } from '../adapters/node-random.ts'
import { StorageError } from '../base/errors.ts'
import { MIB, pageBytes } from '../base/limits.ts'
import type { Log } from '../ports/log.ts'
import type { LunSpec } from './lun-option.ts'

export interface OpenLun {
  readonly spec: LunSpec
  readonly store: ReplicaStore
  /** A UUID that stays with the data. */
  readonly identity: string
  close(): Promise<void>
}

const replicaId = 'lun'
/** Freed pages are handed out again only after a flush: room for what waits until then. */
const sparePageBytes = 64 * MIB

export async function openLun(spec: LunSpec, log: Log): Promise<OpenLun> {
  if (spec.thin) return openThin(spec, log)
  const { sizeBytes, blockBytes } = spec
  const files = new NodeBlockFiles(dirname(spec.path))
  const name = basename(spec.path)
  if (sizeBytes === undefined && !(await files.exists(name))) {
    const advice = 'give its size to make it, as in FILE=1GiB'
    throw new StorageError('not-found', `--lun: ${spec.path} does not exist: ${advice}`)
  }
  const size = sizeBytes === undefined ? {} : { sizeBytes }
  const store = await RawFileStore.open({ files, name, blockBytes, ...size })
  return { spec, store, identity: identityOfPath(spec.path), close: () => store.close() }
}

/** A raw file has no room for an identity of its own: its path stands for it. */
function identityOfPath(path: string): string {
  const hex = createHash('sha256').update(`palisade standalone ${path}`).digest('hex')
  const parts = [hex.slice(0, 8), hex.slice(8, 12), `8${hex.slice(13, 16)}`]
  return [...parts, `8${hex.slice(17, 20)}`, hex.slice(20, 32)].join('-')
}

async function openThin(spec: LunSpec, log: Log): Promise<OpenLun> {
  await mustBeDirectory(spec)
  const lock = await lockDirectory(spec.path, { program: 'standalone-lun', version: 1 })
  const metadata = await openLmdb(join(spec.path, 'meta.lmdb'))
  const release = async (): Promise<void> => {
    await metadata.close()
    await lock.release()
  }
  try {
    const capacityBytes =
      spec.sizeBytes === undefined
        ? undefined
        : Math.ceil(spec.sizeBytes / pageBytes) * pageBytes + sparePageBytes
    const pages = await PageStore.open({
      files: new NodeBlockFiles(spec.path),
      metadata,
      clock: nodeClock,
      random: nodeRandom,
      log,
      bootId: readBootId(),
      ...(capacityBytes === undefined ? {} : { capacityBytes }),
    })
    const store = await onlyReplica(pages, spec)
    const close = async (): Promise<void> => {
      await pages.close()
      await release()
    }
    return { spec, store, identity: pages.identity, close }
  } catch (error) {
    await release()
    throw error
  }
}

async function mustBeDirectory(spec: LunSpec): Promise<void> {
  const advice = 'give a new or an empty directory, or leave out ",thin" for a raw file'
  try {
    if ((await stat(spec.path)).isDirectory()) return
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'ENOENT') throw thrown
    if (spec.sizeBytes !== undefined) return
    const how = 'give its size to make it, as in DIR=1GiB,thin'
    throw new StorageError('not-found', `--lun: ${spec.path} does not exist: ${how}`)
  }
  throw new StorageError('not-a-store', `--lun: ${spec.path} is no page store: ${advice}`)
}

/** Makes the replica, grows it, or refuses a size smaller than it has. */
async function onlyReplica(pages: PageStore, spec: LunSpec): Promise<ReplicaStore> {
  const { blockBytes } = spec
  const found = pages.replica(replicaId)
  if (found !== undefined && found.blockBytes !== blockBytes) {
    const has = `has blocks of ${found.blockBytes} bytes: give ,block=${found.blockBytes}`
    throw new StorageError('invalid', `--lun: ${spec.path} ${has}`)
  }
  const blocks = spec.sizeBytes === undefined ? found?.blocks : spec.sizeBytes / blockBytes
  if (blocks === undefined) {
    throw new StorageError('not-a-store', `--lun: ${spec.path} holds no LUN: give its size`)
  }
  if (found === undefined) await pages.createReplica(replicaId, blocks, blockBytes)
  else if (blocks < found.blocks) {
    const has = `has ${found.blocks * blockBytes} bytes, more than the ${spec.sizeBytes} asked for`
    throw new StorageError('invalid', `--lun: ${spec.path} ${has}: leave the size out`)
  } else if (blocks > found.blocks) await pages.resizeReplica(replicaId, blocks)
  const replica = pages.replica(replicaId)
  if (replica === undefined) throw new StorageError('io-error', `${spec.path} lost its LUN`)
  return replica
}
