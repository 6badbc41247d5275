/**
 * Our own programs as subjects of the suite: a standalone target, and a striped volume behind the
 * shim of a whole cluster.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freeAddresses } from '../../src/cli/up/free-address.ts'
import { Cluster } from '../support/cluster.ts'
import { PalisadeProcess } from '../support/palisade-process.ts'
import { type Disks, type Paths, pathsTo, type Subject, sizeOf } from './disk.ts'
import { chapSecret, type Run } from './runs.ts'

const anyPortal = '127.0.0.1:0'

async function inDirectory(use: (directory: string) => Promise<Disks>): Promise<Disks> {
  const directory = await mkdtemp(join(tmpdir(), 'palisade-conformance-'))
  const remove = (): Promise<void> => rm(directory, { recursive: true, force: true })
  try {
    const disks = await use(directory)
    const stop = async (): Promise<void> => {
      await disks.stop()
      await remove()
    }
    return { ...disks, stop }
  } catch (error) {
    await remove()
    throw error
  }
}

/** The options that make a program ask for the run's CHAP user. */
async function chapOptions(run: Run, directory: string): Promise<string[]> {
  if (run.chapUser === undefined) return []
  const file = join(directory, 'chap.toml')
  const user = `[[user]]\nname = "${run.chapUser}"\nsecret = "${chapSecret}"\n`
  await writeFile(file, user, { mode: 0o600 })
  return ['--chap', file]
}

/** What a LUN and a volume are told alike. */
function flagsOf({ readOnly, blockBytes }: Run): string {
  const block = blockBytes === undefined ? '' : `,block=${blockBytes}`
  return `,removable${readOnly ? ',read-only' : ''}${block}`
}

export const standaloneSubject: Subject = {
  name: 'standalone',
  title: 'Palisade, standalone',
  start: (run, lanes) =>
    inDirectory(async (directory) => {
      const chap = await chapOptions(run, directory)
      const targets: PalisadeProcess[] = []
      const paths: Paths[] = []
      const listening: string[] = []
      const stop = async (): Promise<void> => {
        await Promise.all(targets.map((target) => target.stop()))
      }
      try {
        for (let lane = 0; lane < lanes; lane++) {
          const lun = `${join(directory, `lun-${lane}`)}=${sizeOf(run)},thin${flagsOf(run)}`
          const portals = ['--portal', anyPortal, '--portal', anyPortal]
          const target = new PalisadeProcess([
            'target',
            '--standalone',
            '--json',
            ...portals,
            '--lun',
            lun,
            ...chap,
          ])
          targets.push(target)
          const [line] = await target.output(/^\{"ready":true.*\}$/m)
          const ready = JSON.parse(line) as { iqn: string; portals: string[] }
          paths.push(pathsTo(run, ready.portals, ready.iqn, 0))
          listening.push(...ready.portals)
        }
        return { paths, portals: listening, stop }
      } catch (error) {
        await stop()
        throw error
      }
    }),
}

export const shimSubject: Subject = {
  name: 'shim',
  title: 'Palisade, striped over 3 servers, through the shim',
  start: (run, lanes) =>
    inDirectory(async (directory) => {
      const chap = await chapOptions(run, directory)
      const free = freeAddresses([])
      const portals = [await free(), await free()]
      // WriteAtomic16.Simple sends up to 256 blocks, and an atomic write ends with its stripe unit.
      const layout = `stripe=3,unit=128KiB${flagsOf(run)}`
      const names = Array.from({ length: lanes }, (_, lane) => `volume-${lane}`)
      const options = [
        ...portals.flatMap((portal) => ['--portal', portal]),
        ...names.flatMap((name) => ['--volume', `${name}=${sizeOf(run)},${layout}`]),
        ...['--servers', '3', '--capacity', '1GiB'],
        ...chap,
      ]
      const cluster = await Cluster.start(options, join(directory, 'cluster'))
      const paths = cluster.ready.volumes.map(({ iqn, lun }) => pathsTo(run, portals, iqn, lun))
      return {
        paths,
        portals,
        stop: async () => {
          await cluster.stop()
        },
      }
    }),
}
