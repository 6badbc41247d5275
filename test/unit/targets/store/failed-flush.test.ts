/** What is known of a failed flush when its caller hears of it. */
import t from 'tap'
import { StorageError } from '../../../../src/base/errors.ts'
import type { BlockFiles } from '../../../../src/ports/block-file.ts'
import type { KeyValue } from '../../../../src/ports/key-value.ts'
import { PageStore } from '../../../../targets/store/page-store.ts'
import { settle } from '../../../support/manual-clock.ts'
import { StoreMachine, stamped } from '../../../support/store-machine.ts'

/** Files of which one sync of the pages fails; like the kernel, it tells so once. */
function failingOnce(files: BlockFiles): BlockFiles {
  let failures = 0
  return {
    exists: (name) => files.exists(name),
    remove: (name) => files.remove(name),
    async open(name, options) {
      const file = await files.open(name, options)
      return {
        get sizeBytes() {
          return file.sizeBytes
        },
        read: (buffer, at) => file.read(buffer, at),
        write(buffers, at) {
          if (name === 'pages') failures = 1
          return file.write(buffers, at)
        },
        async flush() {
          if (name === 'pages' && failures-- > 0) throw new StorageError('io-error', 'EIO')
          return file.flush()
        },
        resize: (sizeBytes) => file.resize(sizeBytes),
        close: () => file.close(),
      }
    },
  }
}

t.test('the loss is on the disk before the failure is told', async (t) => {
  const machine = new StoreMachine(() => 0.5)
  let release = (): void => undefined
  let gate = Promise.resolve()
  const { metadata } = machine
  const gated: KeyValue = {
    get: (key) => metadata.get(key),
    range: (prefix) => metadata.range(prefix),
    transact: (transaction) => gate.then(() => metadata.transact(transaction)),
    close: () => metadata.close(),
  }
  const options = machine.options({ files: failingOnce(machine.files), metadata: gated })
  const store = await PageStore.open(options)
  const { incarnation } = store
  await store.createReplica('r', 256)
  await store.replica('r')!.write(0, [stamped(1, 128)])
  gate = new Promise((resolve) => {
    release = resolve
  })
  let told = false
  const flushed = store.flush().catch((error: unknown) => {
    told = true
    return error
  })
  for (let turn = 0; turn < 20; turn++) await settle()
  t.equal(told, false, 'not yet noted')
  release()
  t.match(await flushed, { code: 'io-error' })
  // Killed in the very turn in which the failure was told.
  await machine.kill()
  const next = await machine.open()
  t.not(next.incarnation, incarnation)
  await next.close()
})
