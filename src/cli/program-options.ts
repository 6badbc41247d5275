/**
 * What each program that serves takes beside its own options: how it says that it is ready, how much
 * it logs, and where more options stand.
 */
import { type Command, Option } from 'commander'

/** Declares them on a command, after its own. */
export function withProgramOptions(command: Command): Command {
  return command
    .option('--json', 'print one JSON line when ready')
    .addOption(
      new Option('--log-level <level>', 'what goes to standard error')
        .choices(['silent', 'error', 'warn', 'info', 'debug'])
        .default('info'),
    )
    .option('--config <file.toml>', 'read options from this file; flags win')
}
