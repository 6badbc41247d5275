/**
 * What may happen to a cluster, and how it is undone: a process dies, or stops for longer than any
 * lease; a path is cut, or hangs and delivers later. One entry for each kind of fault.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { HandCluster, HandServer, HandShim } from '../support/hand-cluster.ts'
import type { Relay } from '../support/relay.ts'

/** Longer than any lease and any deadline on the way. */
const stoppedMs = 10_000

/** A server with the two ways to it that can be cut. */
export interface Member {
  readonly server: HandServer
  /** From the shim. */
  readonly clients: Relay
  /** From the other servers. */
  readonly peers: Relay
}

export interface Scene {
  readonly cluster: HandCluster
  readonly shim: HandShim
  readonly members: readonly Member[]
  /** Names of the servers that hold a copy now, the primary first. */
  readonly holders: () => Promise<readonly string[]>
  /** From 0 up to 1. */
  readonly random: () => number
}

export interface Fault {
  readonly name: string
  /** Resolves when it has been undone; the cluster may still be recovering then. */
  run(scene: Scene): Promise<void>
}

type Role = 'primary' | 'secondary'

export const faults: readonly Fault[] = [
  { name: 'manager killed', run: killManager },
  { name: 'manager stopped for 10 s', run: stopManager },
  { name: 'shim killed', run: ({ cluster, shim }) => cluster.restartShim(shim) },
  ...(['primary', 'secondary'] as const).flatMap(faultsOf),
  {
    name: 'path from the shim cut',
    run: async (scene) => cut(scene, (await a('primary', scene)).clients),
  },
  {
    name: 'path from the shim hung',
    run: async (scene) => hang(scene, (await a('primary', scene)).clients),
  },
]

function faultsOf(role: Role): Fault[] {
  return [
    { name: `${role} killed`, run: async (scene) => killServer(scene, await a(role, scene)) },
    { name: `${role} stopped for 10 s`, run: async (scene) => stopServer(await a(role, scene)) },
    {
      name: `path to the ${role} from servers cut`,
      run: async (scene) => cut(scene, (await a(role, scene)).peers),
    },
    {
      name: `path to the ${role} from servers hung`,
      run: async (scene) => hang(scene, (await a(role, scene)).peers),
    },
  ]
}

async function a(role: Role, { members, holders }: Scene): Promise<Member> {
  const [primary, secondary] = await holders()
  const name = role === 'primary' ? primary : secondary
  const found = members.find(({ server }) => server.name === name)
  if (found === undefined) throw new Error(`there is no ${role}`)
  return found
}

async function killServer({ cluster, random }: Scene, { server }: Member): Promise<void> {
  server.process.kill('SIGKILL')
  await server.process.exited
  await sleep(random() * 8_000)
  await cluster.restartServer(server)
}

async function stopServer({ server }: Member): Promise<void> {
  server.process.kill('SIGSTOP')
  await sleep(stoppedMs)
  server.process.kill('SIGCONT')
}

async function killManager({ cluster, random }: Scene): Promise<void> {
  cluster.manager.kill('SIGKILL')
  await cluster.manager.exited
  await sleep(random() * 3_000)
  await cluster.startManager()
}

async function stopManager({ cluster }: Scene): Promise<void> {
  cluster.manager.kill('SIGSTOP')
  await sleep(stoppedMs)
  cluster.manager.kill('SIGCONT')
}

async function cut({ random }: Scene, path: Relay): Promise<void> {
  await path.stop()
  await sleep(random() * 8_000)
  await path.resume()
}

async function hang({ random }: Scene, path: Relay): Promise<void> {
  path.hang()
  await sleep(random() * 8_000)
  path.release()
}
