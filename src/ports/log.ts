/** Structured events for operators. Never called per command on the data path. */
export interface Log {
  debug(event: string, fields?: LogFields): void
  info(event: string, fields?: LogFields): void
  warn(event: string, fields?: LogFields): void
  error(event: string, fields?: LogFields): void
  /** A log that adds `fields` to each event. */
  with(fields: LogFields): Log
}

/** Values are what JSON can say; an `error` field may hold an Error. */
export type LogFields = Readonly<Record<string, unknown>>
