/**
 * tgt as a subject, for comparison: every lane a daemon with one LUN on a sparse file, thin and
 * removable as ours are.
 */
import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freeAddresses } from '../../src/cli/up/free-address.ts'
import { type Peer, startTgt } from '../support/tgt-peer.ts'
import { pathsTo, type Subject } from './disk.ts'
import { chapSecret, type Run } from './runs.ts'

async function startLane(run: Run, file: string, ports: readonly number[]): Promise<Peer> {
  const handle = await open(file, 'w')
  await handle.truncate(run.diskMib * 1024 * 1024)
  await handle.close()
  const { chapUser, blockBytes } = run
  const account = chapUser === undefined ? undefined : { user: chapUser, password: chapSecret }
  return startTgt({
    file,
    ports,
    parameters: `removable=1,thin_provisioning=1${run.readOnly ? ',readonly=1' : ''}`,
    ...(account === undefined ? {} : { incoming: account }),
    ...(blockBytes === undefined ? {} : { blockBytes }),
  })
}

export const tgtSubject: Subject = {
  name: 'tgt',
  title: 'tgt',
  start: async (run, lanes) => {
    const directory = await mkdtemp(join(tmpdir(), 'palisade-conformance-tgt-'))
    const free = freeAddresses([])
    const peers: Peer[] = []
    const stop = async (): Promise<void> => {
      await Promise.all(peers.map((peer) => peer.stop()))
      await rm(directory, { recursive: true, force: true })
    }
    try {
      const paths = []
      const listening: string[] = []
      for (let lane = 0; lane < lanes; lane++) {
        const portals = [await free(), await free()]
        const ports = portals.map((portal) => Number(portal.split(':')[1]))
        const peer = await startLane(run, join(directory, `disk-${lane}`), ports)
        peers.push(peer)
        paths.push(pathsTo(run, portals, peer.iqn, 1))
        listening.push(...portals)
      }
      return { paths, portals: listening, stop }
    } catch (error) {
      await stop()
      throw error
    }
  },
}
