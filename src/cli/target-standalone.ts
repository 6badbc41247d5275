/**
 * `palisade target --standalone`: files as LUNs with no manager. Raw: the content of the file is
 * the content of the disk. `,thin`: FILE is a directory with a page store of its own.
 */
import { PlainUnit } from '../../targets/lun/plain-unit.ts'
import { defaultStandaloneIqn, StandaloneTarget } from '../../targets/standalone-target.ts'
import { nodeClock } from '../adapters/node-clock.ts'
import { NodeNetwork } from '../adapters/node-network.ts'
import { nodeRandom } from '../adapters/node-random.ts'
import { pinoLog } from '../adapters/pino-log.ts'
import { StorageError } from '../base/errors.ts'
import { Portal } from '../portal/portal.ts'
import { TokenStore } from '../scsi/copy/token-store.ts'
import type { UnitSettings } from '../scsi/unit-settings.ts'
import { loginPolicy } from './chap-file.ts'
import { parseLun } from './lun-option.ts'
import { openLunSettings } from './lun-settings.ts'
import { type OpenLun, openLun } from './open-lun.ts'
import { printJson, printLines } from './output.ts'
import { type ListenOption, parsePortalOption } from './portal-option.ts'
import { parseRedirectOption } from './redirect-option.ts'
import { untilStopped } from './until-stopped.ts'

export interface StandaloneOptions {
  readonly portal: readonly string[]
  readonly lun: readonly string[]
  readonly iqn?: string
  readonly chap?: string
  readonly redirect: readonly string[]
  readonly json?: boolean
  readonly logLevel?: string
}

/** How long initiators may take to log out when the target stops. */
const logoutGraceMs = 1_000
const iqnPattern =
  /^(iqn\.\d{4}-\d{2}\.[a-z0-9.-]+(:[^\s,]+)?|eui\.[0-9A-F]{16}|naa\.[0-9A-F]{16,32})$/

export async function runStandalone(options: StandaloneOptions): Promise<void> {
  const addresses = options.portal.map(parsePortalOption)
  const specs = options.lun.map(parseLun)
  const redirects = options.redirect.map(parseRedirectOption)
  const iqn = checkIqn(options.iqn ?? defaultStandaloneIqn)
  if (addresses.length === 0) throw new StorageError('invalid', '--portal HOST:PORT is required')
  if (specs.length === 0) throw new StorageError('invalid', '--lun FILE is required')
  const policy = { ...(await loginPolicy(options.chap)), redirects }
  const log = pinoLog({ level: options.logLevel ?? 'info', fields: { program: 'target' } })
  const luns: OpenLun[] = []
  const tokens = new TokenStore({ clock: nodeClock, random: nodeRandom })
  const close = async (): Promise<void> => {
    for (const lun of luns) await lun.close()
  }
  try {
    for (const spec of specs) luns.push(await openLun(spec, log))
    const units: PlainUnit[] = []
    for (const lun of luns) {
      units.push(unitOf(lun, { tokens, settings: await openLunSettings(lun.spec, log) }))
    }
    const host = new StandaloneTarget(iqn, units, nodeClock)
    const network = new NodeNetwork(log)
    const portal = new Portal({ network, clock: nodeClock, log, host, policy })
    const stop = async (): Promise<void> => {
      const stopped = host.stop()
      await portal.close(logoutGraceMs)
      await stopped
      tokens.close()
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

function unitOf(
  { spec, store, identity }: OpenLun,
  parts: { readonly tokens: TokenStore; readonly settings: UnitSettings },
): PlainUnit {
  const { readOnly, removable } = spec
  return new PlainUnit(store, { identity, readOnly, removable, ...parts })
}

/** Opens all portals or none. */
async function serve(
  portal: Portal,
  addresses: readonly ListenOption[],
  ready: (portals: readonly string[]) => void,
): Promise<void> {
  const portals: string[] = []
  try {
    for (const { listen, place } of addresses) {
      const address = await portal.listen(listen, place)
      portals.push(place.advertised ?? address)
    }
  } catch (error) {
    await portal.close(0)
    throw error
  }
  ready(portals)
}

function checkIqn(iqn: string): string {
  if (iqnPattern.test(iqn) && Buffer.byteLength(iqn) <= 223) return iqn
  const rule = 'iqn.YYYY-MM.DOMAIN[:NAME], eui.… or naa.…, at most 223 bytes'
  throw new StorageError('invalid', `--iqn: "${iqn}" is not an iSCSI name: ${rule}`)
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
    bytes: store.blocks * store.blockBytes,
    blockBytes: store.blockBytes,
    thin: spec.thin,
    readOnly: spec.readOnly,
    removable: spec.removable,
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
