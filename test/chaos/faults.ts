/**
 * What may happen to servers, manager, shim and the paths between them, and how it is undone: a
 * process dies, or stops for longer than any lease; a path is cut, or hangs and delivers later. One
 * entry for each kind of fault; those of gateways are in gateway-faults.ts.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { ManagerPath } from '../support/hand-cluster.ts'
import type { PalisadeProcess } from '../support/palisade-process.ts'
import type { Relay } from '../support/relay.ts'
import type { Member, Scene } from './scene.ts'

/** Longer than any lease and any deadline on the way. */
const stoppedMs = 10_000
const longestManagerDeathMs = 3_000

export interface Fault {
  readonly name: string
  /** The worst stall that the design aims at, from and to; absent where it names none. */
  readonly aimMs?: readonly [number, number]
  /** What the scene must have for it. */
  readonly needs?: 'shim' | 'gateways'
  /** Resolves when it has been undone; the cluster may still be recovering then. */
  run(scene: Scene): Promise<void>
}

type Role = 'primary' | 'secondary'

const hungPath = [2_000, 2_000] as const
const deadSecondary = [1_500, 1_500] as const
const deadPrimary = [2_500, 2_500] as const
const cutOffPrimary = [2_300, 4_500] as const

export const serverFaults: readonly Fault[] = [
  { name: 'manager killed', run: killManager },
  { name: 'manager stopped for 10 s', run: ({ cluster }) => stop(cluster.manager) },
  {
    name: 'shim killed',
    needs: 'shim',
    run: ({ cluster, shim }) => cluster.restartShim(shim),
  },
  ...faultsOf('primary', deadPrimary),
  ...faultsOf('secondary', deadSecondary),
  {
    name: 'path from the shim cut',
    needs: 'shim',
    run: async (scene) => cut(scene, [shimTo(await scene.a('primary'), scene)]),
  },
  {
    name: 'path from the shim hung',
    needs: 'shim',
    aimMs: hungPath,
    run: async (scene) => hang(scene, [shimTo(await scene.a('primary'), scene)]),
  },
  {
    name: 'primary cut off from all but its partner',
    aimMs: cutOffPrimary,
    // The manager gets no answer to its calls; what it relays for front ends still arrives.
    run: async (scene) => {
      const { fronts, server } = await scene.a('primary')
      await hang(scene, [...fronts.values(), ...managerPaths(server)])
    },
  },
  {
    name: 'primary without its data network',
    run: async (scene) => hang(scene, await dataPaths(scene)),
  },
  {
    name: 'primary without its data network, and no path of the manager either',
    run: async (scene) => {
      const { toPortal } = managerPath((await scene.a('primary')).server)
      await hang(scene, [...(await dataPaths(scene)), toPortal])
    },
  },
]

function faultsOf(role: Role, aimMs: readonly [number, number]): Fault[] {
  return [
    { name: `${role} killed`, aimMs, run: async (scene) => killServer(scene, await scene.a(role)) },
    {
      name: `${role} stopped for 10 s`,
      aimMs,
      run: async (scene) => stop((await scene.a(role)).server.process),
    },
    {
      name: `path to the ${role} from servers cut`,
      run: async (scene) => cut(scene, [(await scene.a(role)).peers]),
    },
    {
      name: `path to the ${role} from servers hung`,
      run: async (scene) => hang(scene, [(await scene.a(role)).peers]),
    },
  ]
}

function shimTo({ fronts }: Member, { shim }: Scene): Relay {
  const path = fronts.get(shim.client)
  if (path === undefined) throw new Error('no path from the shim')
  return path
}

/** Between the primary and all others, its partner included; the manager still relays. */
async function dataPaths(scene: Scene): Promise<Relay[]> {
  const { fronts, peers } = await scene.a('primary')
  return [...fronts.values(), peers, (await scene.a('secondary')).peers]
}

/** Of calls. */
function managerPaths(server: Member['server']): Relay[] {
  const { toManager, toServer } = managerPath(server)
  return [toManager, toServer]
}

function managerPath({ managerPath }: Member['server']): ManagerPath {
  if (managerPath === undefined) throw new Error('no relay between server and manager')
  return managerPath
}

async function killServer(
  { cluster, random, longestMs }: Scene,
  { server }: Member,
): Promise<void> {
  server.process.kill('SIGKILL')
  await server.process.exited
  await sleep(random() * longestMs)
  await cluster.restartServer(server)
}

async function killManager({ cluster, random }: Scene): Promise<void> {
  cluster.manager.kill('SIGKILL')
  await cluster.manager.exited
  await sleep(random() * longestManagerDeathMs)
  await cluster.startManager()
}

export async function stop(process: PalisadeProcess): Promise<void> {
  process.kill('SIGSTOP')
  await sleep(stoppedMs)
  process.kill('SIGCONT')
}

export async function cut({ random, longestMs }: Scene, paths: readonly Relay[]): Promise<void> {
  for (const path of paths) await path.stop()
  await sleep(random() * longestMs)
  for (const path of paths) await path.resume()
}

export async function hang({ random, longestMs }: Scene, paths: readonly Relay[]): Promise<void> {
  for (const path of paths) path.hang()
  await sleep(random() * longestMs)
  for (const path of paths) path.release()
}
