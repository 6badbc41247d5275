/** The Log port: what programs say is part of a simulation's notes. */
import type { Log, LogFields } from '../../../src/ports/log.ts'
import type { World } from '../world/world.ts'

export function simLog(world: World, program: string): Log {
  const say = (level: string) => (event: string, fields?: LogFields) => {
    world.note(`${program}: ${level}${event}${fields === undefined ? '' : ` ${text(fields)}`}`)
  }
  return {
    debug: () => undefined,
    info: say(''),
    warn: say('warning: '),
    error: say('ERROR: '),
    with: () => simLog(world, program),
  }
}

function text(fields: LogFields): string {
  return Object.entries(fields)
    .map(
      ([name, value]) =>
        `${name}=${value instanceof Error ? value.message : JSON.stringify(value)}`,
    )
    .join(' ')
}
