/** The simulator's network, disk, store and calls keep the contracts of their ports. */
import t, { type Test } from 'tap'
import { Links } from '../sim/world/links.ts'
import { Machine } from '../sim/world/machine.ts'
import { SimDisk } from '../sim/world/sim-disk.ts'
import { SimKeyValue } from '../sim/world/sim-key-value.ts'
import { SimNetwork } from '../sim/world/sim-network.ts'
import type { SimProcess } from '../sim/world/sim-process.ts'
import { SimRpc } from '../sim/world/sim-rpc.ts'
import { World } from '../sim/world/world.ts'
import { blockFilesSuite } from './block-files-suite.ts'
import { keyValueSuite } from './key-value-suite.ts'
import { networkSuite } from './network-suite.ts'
import { rpcSuite } from './rpc-suite.ts'

interface Place {
  readonly world: World
  readonly machine: Machine
  readonly process: SimProcess
}

const tickMs = 0.1

/** Lets virtual time go by while the suite waits for what it asked. */
function simulated(
  name: string,
  suite: (t: Test, place: Place) => Promise<void>,
): Promise<unknown> {
  return t.test(name, async (t) => {
    const world = new World(1)
    const machine = new Machine(world, 'host')
    let over = false
    // Without it time would jump to its end while the suite thinks.
    const tick = (): void => {
      if (!over) world.after(tickMs, tick)
    }
    tick()
    const running = world.run(() => over, Number.MAX_SAFE_INTEGER)
    try {
      await suite(t, { world, machine, process: machine.start('program') })
    } finally {
      over = true
      await running
    }
  })
}

await simulated('network', (t, { world, machine, process }) => {
  const network = new SimNetwork(new Links(world))
  network.attach(machine, ['host'])
  return networkSuite(t, network.of(process), 'host:0')
})

await simulated('calls', (t, { world, machine, process }) => {
  const rpc = new SimRpc(new Links(world))
  rpc.attach(machine, ['host'])
  return rpcSuite(t, rpc.of(process), 'host:0')
})

await simulated('disk', (t, { machine, process }) =>
  blockFilesSuite(t, new SimDisk(machine, 'disk').of(process)),
)

await simulated('store', (t, { machine, process }) =>
  keyValueSuite(t, new SimKeyValue(machine, 'store').of(process)),
)
