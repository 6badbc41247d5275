/** Log as JSON lines through pino. Lines are written at once, so that a killed process loses none. */
import { destination, type Logger, pino, stdSerializers } from 'pino'
import type { Log, LogFields } from '../ports/log.ts'

export interface PinoLogOptions {
  /** `silent`, `error`, `warn`, `info` or `debug`. */
  readonly level: string
  /** Stands in every line, for example the program. */
  readonly fields?: LogFields
  /** Standard error unless given: standard output belongs to what a command prints. */
  readonly fileDescriptor?: number
}

export function pinoLog(options: PinoLogOptions): Log {
  const logger = pino(
    {
      level: options.level,
      base: { pid: process.pid, ...options.fields },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { error: stdSerializers.err },
    },
    destination({ dest: options.fileDescriptor ?? 2, sync: true }),
  )
  return wrap(logger)
}

function wrap(logger: Logger): Log {
  return {
    debug: (event, fields) => logger.debug(fields ?? {}, event),
    info: (event, fields) => logger.info(fields ?? {}, event),
    warn: (event, fields) => logger.warn(fields ?? {}, event),
    error: (event, fields) => logger.error(fields ?? {}, event),
    with: (fields) => wrap(logger.child(fields)),
  }
}
