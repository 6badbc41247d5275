/**
 * `palisade target --standalone`: files as LUNs with no manager. Raw: the content of the file is
 * the content of the disk. `,thin`: FILE is a directory with a page store of its own.
 */
import { createHash } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { PlainUnit } from '../../targets/lun/plain-unit.ts'
import { defaultStandaloneIqn, StandaloneTarget } from '../../targets/standalone-target.ts'
import { PageStore } from '../../targets/store/page-store.ts'
import { RawFileStore } from '../../targets/store/raw-file-store.ts'
import type { ReplicaStore } from '../../targets/store/replica-store.ts'
import { readBootId } from '../adapters/boot-id.ts'
import { lockDirectory } from '../adapters/instance-lock.ts'
import { openLmdb } from '../adapters/lmdb-key-value.ts'
import { NodeBlockFiles } from '../adapters/node-block-files.ts'
import { nodeClock } from '../adapters/node-clock.ts'
import { NodeNetwork } from '../adapters/node-network.ts'
import { nodeRandom } from '../adapters/node-random.ts'
import { pinoLog } from '../adapters/pino-log.ts'
import { StorageError } from '../base/errors.ts'
import { blockBytes, MIB, pageBytes } from '../base/limits.ts'
import { plainLoginPolicy } from '../iscsi/login-policy.ts'
import { Portal } from '../portal/portal.ts'
import type { Log } from '../ports/log.ts'
import { parseAddressOption } from './address-option.ts'
import { printJson, printLines } from './output.ts'
import { parseSize } from './size.ts'
import { untilStopped } from './until-stopped.ts'

export interface StandaloneOptions {
  readonly portal: readonly string[]
  readonly lun: readonly string[]
  readonly iqn?: string
  readonly json?: boolean
  readonly logLevel?: string
}

export interface LunSpec {
  readonly path: string
  readonly sizeBytes: number | undefined
  readonly thin: boolean
}

interface OpenLun {
  readonly spec: LunSpec
  readonly store: ReplicaStore
  /** A UUID that stays with the data. */
  readonly identity: string
  close(): Promise<void>
}

const replicaId = 'lun'
/** Freed pages are handed out again only after a flush: room for what waits until then. */
const sparePageBytes = 64 * MIB
/** How long initiators may take to log out when the target stops. */
const logoutGraceMs = 1_000
const iqnPattern =
  /^(iqn\.\d{4}-\d{2}\.[a-z0-9.-]+(:[^\s,]+)?|eui\.[0-9A-F]{16}|naa\.[0-9A-F]{16,32})$/

export async function runStandalone(options: StandaloneOptions): Promise<void> {
  const addresses = options.portal.map((portal) => parseAddressOption(portal, '--portal'))
  const specs = options.lun.map(parseLun)
  const iqn = checkIqn(options.iqn ?? defaultStandaloneIqn)
  if (addresses.length === 0) throw new StorageError('invalid', '--portal HOST:PORT is required')
  if (specs.length === 0) throw new StorageError('invalid', '--lun FILE is required')
  const log = pinoLog({ level: options.logLevel ?? 'info', fields: { program: 'target' } })
  const luns: OpenLun[] = []
  const close = async (): Promise<void> => {
    for (const lun of luns) await lun.close()
  }
  try {
    for (const spec of specs) luns.push(await openLun(spec, log))
    const units = luns.map(({ store, identity }) => new PlainUnit(store, identity))
    const host = new StandaloneTarget(iqn, units)
    const network = new NodeNetwork(log)
    const portal = new Portal({ network, clock: nodeClock, log, host, policy: plainLoginPolicy })
    const stop = async (): Promise<void> => {
      await portal.close(logoutGraceMs)
      await close()
    }
    await serve(portal, addresses, (portals) => {
      sayReady(options.json === true, { iqn, portals, luns })
    })
    await untilStopped(stop)
  } catch (error) {
    await close()
    throw error
  }
}

/** Opens all portals or none. */
async function serve(
  portal: Portal,
  addresses: readonly string[],
  ready: (portals: readonly string[]) => void,
): Promise<void> {
  const portals: string[] = []
  try {
    for (const address of addresses) portals.push(await portal.listen(address))
  } catch (error) {
    await portal.close(0)
    throw error
  }
  ready(portals)
}

/** `FILE[=SIZE][,thin]`. */
export function parseLun(text: string): LunSpec {
  const thin = text.endsWith(',thin')
  const rest = thin ? text.slice(0, -',thin'.length) : text
  const equals = rest.lastIndexOf('=')
  const path = equals < 0 ? rest : rest.slice(0, equals)
  if (path === '') throw new StorageError('invalid', `--lun: "${text}" is not FILE[=SIZE][,thin]`)
  const rule = { field: `--lun ${path}`, multipleOfBytes: blockBytes }
  const sizeBytes = equals < 0 ? undefined : parseSize(rest.slice(equals + 1), rule)
  return { path: resolve(path), sizeBytes, thin }
}

function checkIqn(iqn: string): string {
  if (iqnPattern.test(iqn) && Buffer.byteLength(iqn) <= 223) return iqn
  const rule = 'iqn.YYYY-MM.DOMAIN[:NAME], eui.… or naa.…, at most 223 bytes'
  throw new StorageError('invalid', `--iqn: "${iqn}" is not an iSCSI name: ${rule}`)
}

async function openLun(spec: LunSpec, log: Log): Promise<OpenLun> {
  if (spec.thin) return openThin(spec, log)
  const files = new NodeBlockFiles(dirname(spec.path))
  const name = basename(spec.path)
  if (spec.sizeBytes === undefined && !(await files.exists(name))) {
    const advice = 'give its size to make it, as in FILE=1GiB'
    throw new StorageError('not-found', `--lun: ${spec.path} does not exist: ${advice}`)
  }
  const { sizeBytes } = spec
  const size = sizeBytes === undefined ? {} : { sizeBytes }
  const store = await RawFileStore.open({ files, name, ...size })
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
  const found = pages.replica(replicaId)
  const blocks = spec.sizeBytes === undefined ? found?.blocks : spec.sizeBytes / blockBytes
  if (blocks === undefined) {
    throw new StorageError('not-a-store', `--lun: ${spec.path} holds no LUN: give its size`)
  }
  if (found === undefined) await pages.createReplica(replicaId, blocks)
  else if (blocks < found.blocks) {
    const has = `has ${found.blocks * blockBytes} bytes, more than the ${spec.sizeBytes} asked for`
    throw new StorageError('invalid', `--lun: ${spec.path} ${has}: leave the size out`)
  } else if (blocks > found.blocks) await pages.resizeReplica(replicaId, blocks)
  const replica = pages.replica(replicaId)
  if (replica === undefined) throw new StorageError('io-error', `${spec.path} lost its LUN`)
  return replica
}

interface Ready {
  readonly iqn: string
  readonly portals: readonly string[]
  readonly luns: readonly OpenLun[]
}

function sayReady(json: boolean, { iqn, portals, luns }: Ready): void {
  const described = luns.map(({ spec, store }, lun) => ({
    lun,
    file: spec.path,
    bytes: store.blocks * blockBytes,
    thin: spec.thin,
    url: `iscsi://${portals[0]}/${iqn}/${lun}`,
  }))
  if (json) {
    printJson({ ready: true, iqn, portals, luns: described, pid: process.pid })
    return
  }
  printLines([
    `target ${iqn} ready on ${portals.join(', ')}`,
    ...described.map(({ file, bytes, url }) => `  ${url}  ${file} (${bytes} bytes)`),
  ])
}
