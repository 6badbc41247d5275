/**
 * What may happen to the gateway that a host with two paths works through, and to its paths. The
 * host moves to the other one and writes anew what had not been answered; whatever is parked in the
 * stopped gateway, on the way to it or behind it comes to life afterwards and must not land.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { cut, type Fault, hang, stop } from './faults.ts'
import type { Scene } from './scene.ts'

const parkedWithinMs = 10_000
const movedWithinMs = 30_000
const longestAfterMoveMs = 3_000

const kinds: readonly Fault[] = [
  { name: 'active gateway killed', run: killGateway },
  {
    name: 'active gateway stopped for 10 s',
    run: ({ activeGateway }) => stop(activeGateway.front.process),
  },
  { name: 'active gateway stopped, writes parked behind it', run: stopWithWritesBehind },
  {
    name: 'path to the active gateway cut',
    run: (scene) => cut(scene, [scene.activeGateway.path]),
  },
  {
    name: 'path to the active gateway hung',
    run: (scene) => hang(scene, [scene.activeGateway.path]),
  },
]

export const gatewayFaults: readonly Fault[] = kinds.map((kind) => ({ ...kind, needs: 'gateways' }))

async function killGateway({ activeGateway, cluster, random, longestMs }: Scene): Promise<void> {
  const { front } = activeGateway
  front.process.kill('SIGKILL')
  await front.process.exited
  await sleep(random() * longestMs)
  await cluster.restartShim(front)
}

/** What the gateway had sent arrives at the server after the host has moved; so does what it holds. */
async function stopWithWritesBehind(scene: Scene): Promise<void> {
  const { activeGateway, members, random } = scene
  const { process, client } = activeGateway.front
  const paths = members.flatMap(({ fronts }) => fronts.get(client) ?? [])
  const parked = (): boolean => paths.some(({ heldBytes }) => heldBytes > 0)
  for (const path of paths) path.hang()
  await until(parked, parkedWithinMs, 'nothing was parked behind the gateway')
  process.kill('SIGSTOP')
  const moved = (): boolean => scene.activeGateway !== activeGateway
  await until(moved, movedWithinMs, 'the host did not move')
  await sleep(random() * longestAfterMoveMs)
  for (const path of paths) path.release()
  await sleep(random() * longestAfterMoveMs)
  process.kill('SIGCONT')
}

async function until(holds: () => boolean, withinMs: number, or: string): Promise<void> {
  const deadline = Date.now() + withinMs
  while (!holds()) {
    if (Date.now() > deadline) throw new Error(or)
    await sleep(2)
  }
}
