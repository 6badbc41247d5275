/** What all programs of one simulation share. */

import type { Violations } from '../checks/violations.ts'
import type { Links } from '../world/links.ts'
import type { SimNetwork } from '../world/sim-network.ts'
import type { SimRpc } from '../world/sim-rpc.ts'
import type { World } from '../world/world.ts'

export interface Surroundings {
  readonly world: World
  readonly links: Links
  readonly network: SimNetwork
  readonly rpc: SimRpc
  readonly bugs: Violations
}
