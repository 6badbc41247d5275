/**
 * The identities of this program's requests to one volume that must not take effect twice: numbers
 * that grow with each first sending, and from where on answers are still missing, so that servers
 * may forget what came before.
 */
import type { Generation } from '../../src/volume/generation.ts'
import {
  drawClient,
  generationBits,
  type RequestIdentity,
} from '../../src/volume/request-identity.ts'

/** A sending, and those that repeat it. */
export interface Sending {
  readonly number: number
  readonly generationBits: number
}

export class RequestIdentities {
  readonly #client: string
  #lastNumber = 0
  /** Not answered yet, the oldest first. */
  readonly #open = new Set<number>()

  constructor(bytes: (count: number) => Buffer) {
    this.#client = drawClient(bytes)
  }

  /** Of something that is sent for the first time, or cannot have had an effect so far. */
  begin(generation: Generation): Sending {
    this.#lastNumber += 1
    this.#open.add(this.#lastNumber)
    return { number: this.#lastNumber, generationBits: generationBits(generation) }
  }

  /** As it goes out now. */
  of({ number, generationBits }: Sending, repeated: boolean): RequestIdentity {
    const [oldest = number] = this.#open
    return { client: this.#client, generationBits, number, oldest, repeated }
  }

  /** Nobody will ask what became of it. */
  end({ number }: Sending): void {
    this.#open.delete(number)
  }
}
