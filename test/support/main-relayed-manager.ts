/**
 * The `palisade manager` of a cluster by hand that is `relayed`: what it dials for front ends is not
 * the portal of a storage server itself, but a relay on another address of this machine with the
 * same port, which a test can cut. Its calls to servers have relays of their own.
 */
import { Command } from 'commander'
import { type ManagerCommandOptions, runManager } from '../../src/cli/manager.ts'
import { relayAddress } from './relay-address.ts'

const gather = (value: string, before: readonly string[]): string[] => [...before, value]

const program = new Command()
  .argument('<verb>')
  .option('--dir <dir>')
  .option('--control <address>')
  .option('--portal <address>', '', gather, [])
  .option('--log-level <level>')
  .option('--json')
  .parse()

await runManager(program.opts<ManagerCommandOptions>(), (ports) => {
  const { network } = ports
  return {
    ...ports,
    network: {
      listen: (address, accept) => network.listen(address, accept),
      dial: (address, timeoutMs) => network.dial(relayAddress(address), timeoutMs),
    },
  }
})
