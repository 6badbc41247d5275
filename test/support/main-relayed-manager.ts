/**
 * The `palisade manager` of a cluster by hand that is `relayed`: what it dials for front ends is not
 * the portal of a storage server itself, but a relay on another address of this machine with the
 * same port, which a test can cut. Its calls to servers have relays of their own.
 */
import { runManager } from '../../src/cli/manager.ts'
import { managerArguments } from './manager-arguments.ts'
import { relayAddress } from './relay-address.ts'

await runManager(managerArguments(), (ports) => {
  const { network } = ports
  return {
    ...ports,
    network: {
      listen: (address, accept) => network.listen(address, accept),
      dial: (address, timeoutMs) => network.dial(relayAddress(address), timeoutMs),
    },
  }
})
