/** BlockFiles that hold operations back until the test lets them go on, or fail them. */
import { StorageError } from '../../src/base/errors.ts'
import type { BlockFile, BlockFiles } from '../../src/ports/block-file.ts'

type Operation = 'read' | 'write' | 'flush'

export class GatedBlockFiles implements BlockFiles {
  readonly #backing: BlockFiles
  readonly #held: { readonly name: string; readonly operation: Operation; go: Promise<void> }[] = []
  /** Operations that have begun, held or not, as `NAME OPERATION`. */
  readonly begun: string[] = []

  constructor(backing: BlockFiles) {
    this.#backing = backing
  }

  /** Holds such operations that come from now on, until the answer is called. */
  hold(name: string, operation: Operation): () => void {
    let release = (): void => undefined
    const go = new Promise<void>((resolve) => {
      release = resolve
    })
    const gate = { name, operation, go }
    this.#held.push(gate)
    return () => {
      this.#held.splice(this.#held.indexOf(gate), 1)
      release()
    }
  }

  /** Such operations that come from now on fail, until the answer is called. */
  fail(name: string, operation: Operation): () => void {
    const go = Promise.reject(new StorageError('io-error', `the test fails each ${operation}`))
    go.catch(() => undefined)
    const gate = { name, operation, go }
    this.#held.push(gate)
    return () => {
      this.#held.splice(this.#held.indexOf(gate), 1)
    }
  }

  async open(name: string, options: { create?: boolean } = {}): Promise<BlockFile> {
    const file = await this.#backing.open(name, options)
    const pass = async (operation: Operation): Promise<void> => {
      this.begun.push(`${name} ${operation}`)
      for (const gate of [...this.#held]) {
        if (gate.name === name && gate.operation === operation) await gate.go
      }
    }
    return {
      get sizeBytes() {
        return file.sizeBytes
      },
      async read(buffer, offsetBytes) {
        await pass('read')
        return file.read(buffer, offsetBytes)
      },
      async write(buffers, offsetBytes) {
        await pass('write')
        return file.write(buffers, offsetBytes)
      },
      async flush() {
        const flushed = file.flush()
        await pass('flush')
        return flushed
      },
      resize: (sizeBytes) => file.resize(sizeBytes),
      close: () => file.close(),
    }
  }

  exists(name: string): Promise<boolean> {
    return this.#backing.exists(name)
  }

  remove(name: string): Promise<void> {
    return this.#backing.remove(name)
  }
}
