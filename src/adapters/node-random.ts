/** Random from the operating system's generator. */
import { randomBytes, randomInt, randomUUID } from 'node:crypto'
import type { Random } from '../ports/random.ts'

export const nodeRandom: Random = {
  bytes: (count) => randomBytes(count),
  below: (limit) => randomInt(limit),
  uuid: () => randomUUID(),
}
