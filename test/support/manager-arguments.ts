/** The arguments that a cluster by hand gives to `palisade manager`, for other roots of the same program. */
import { Command } from 'commander'
import type { ManagerCommandOptions } from '../../src/cli/manager.ts'

const gather = (value: string, before: readonly string[]): string[] => [...before, value]

export function managerArguments(): ManagerCommandOptions {
  return new Command()
    .argument('<verb>')
    .option('--dir <dir>')
    .option('--control <address>')
    .option('--portal <address>', '', gather, [])
    .option('--log-level <level>')
    .option('--json')
    .parse()
    .opts<ManagerCommandOptions>()
}
