/** Names of enum values on the wire and in our records. */
import { StorageError } from '../base/errors.ts'

/** A value that this version does not know is refused: guessing a state could lose data. */
export function nameOf<Name extends string>(names: Record<Name, string>, wire: unknown): Name {
  for (const name of Object.keys(names) as Name[]) if (names[name] === wire) return name
  throw new StorageError('invalid', `${String(wire)} is not known to this version`)
}
