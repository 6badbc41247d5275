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
  /** From 0 up to 1. */
  readonly random: () => number
}

export interface Fault {
  readonly name: string
  /** Resolves when it has been undone; the cluster may still be recovering then. */
  run(scene: Scene): Promise<void>
}

export const faults: readonly Fault[] = [
  { name: 'server killed', run: killServer },
  { name: 'server stopped for 10 s', run: stopServer },
  { name: 'manager killed', run: killManager },
  { name: 'manager stopped for 10 s', run: stopManager },
  { name: 'shim killed', run: ({ cluster, shim }) => cluster.restartShim(shim) },
  { name: 'path from the shim cut', run: (scene) => cut(scene, one(scene).clients) },
  { name: 'path from the shim hung', run: (scene) => hang(scene, one(scene).clients) },
  { name: 'path between servers cut', run: (scene) => cut(scene, one(scene).peers) },
  { name: 'path between servers hung', run: (scene) => hang(scene, one(scene).peers) },
]

async function killServer(scene: Scene): Promise<void> {
  const { server } = one(scene)
  server.process.kill('SIGKILL')
  await server.process.exited
  await sleep(scene.random() * 8_000)
  await scene.cluster.restartServer(server)
}

async function stopServer(scene: Scene): Promise<void> {
  const { server } = one(scene)
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

function one({ members, random }: Scene): Member {
  return members[Math.floor(random() * members.length)]!
}
