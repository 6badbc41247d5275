/** A plain file as a disk. */
import t from 'tap'
import { StorageError } from '../../../../src/base/errors.ts'
import { MIB } from '../../../../src/base/limits.ts'
import type { BlockFiles } from '../../../../src/ports/block-file.ts'
import { RawFileStore } from '../../../../targets/store/raw-file-store.ts'
import { MemoryBlockFiles } from '../../../support/memory-block-files.ts'
import { stamped, stampsOf } from '../../../support/store-machine.ts'

t.test('block n is at byte n * 512', async (t) => {
  const files = new MemoryBlockFiles()
  const store = await RawFileStore.open({ files, name: 'disk', sizeBytes: 3 * MIB })
  t.equal(store.blocks, 6144)
  t.equal(store.thin, false)
  await store.write(5, [stamped(1, 1), stamped(2, 3)])
  await store.flush()
  t.same(stampsOf(await store.read(4, 6)), [0, 1, 2, 2, 2, 0])
  const file = await files.open('disk')
  const bytes = Buffer.alloc(512)
  await file.read(bytes, 5 * 512)
  t.same(stampsOf([bytes]), [1])
  await store.write(0, [stamped(9, 6144)])
  await store.unmap(1, 6142)
  t.same(stampsOf(await store.read(0, 3)), [9, 0, 0])
  t.same(stampsOf(await store.read(6141, 3)), [0, 0, 9])
  t.same(new Set(stampsOf(await store.read(1, 6142))), new Set([0]))
  t.same(store.run(5), { mapped: true, blocks: 6139 })
  await t.rejects(store.read(6144, 1), { code: 'invalid' })
  await t.rejects(store.write(6143, [stamped(1, 2)]), { code: 'invalid' })
  await t.rejects(store.unmap(0, 6145), { code: 'invalid' })
  await store.close()
})

t.test('which files it takes', async (t) => {
  const files = new MemoryBlockFiles()
  await t.rejects(RawFileStore.open({ files, name: 'none' }), { code: 'not-found' })
  const odd = await files.open('odd', { create: true })
  await t.rejects(RawFileStore.open({ files, name: 'odd' }), { code: 'invalid' }, 'empty')
  await odd.resize(1000)
  await t.rejects(RawFileStore.open({ files, name: 'odd' }), {
    code: 'invalid',
    message: 'odd holds 1000 bytes: not a multiple of 512, or none',
  })
  await t.rejects(RawFileStore.open({ files, name: 'odd', sizeBytes: 512 }), {
    code: 'invalid',
    message: /more than the 512 asked for/,
  })
  const grown = await RawFileStore.open({ files, name: 'odd', sizeBytes: 1024 })
  t.equal(grown.blocks, 2)
})

t.test('after a failed flush nothing is good any more', async (t) => {
  const files = new MemoryBlockFiles()
  let failures = 0
  const disk: BlockFiles = {
    exists: (name) => files.exists(name),
    remove: (name) => files.remove(name),
    async open(name, options) {
      const file = await files.open(name, options)
      return {
        sizeBytes: MIB,
        read: (buffer, at) => file.read(buffer, at),
        write: (buffers, at) => file.write(buffers, at),
        async flush() {
          if (failures-- > 0) throw new StorageError('io-error', 'sync disk: EIO')
        },
        resize: (sizeBytes) => file.resize(sizeBytes),
        close: () => file.close(),
      }
    },
  }
  const store = await RawFileStore.open({ files: disk, name: 'disk', sizeBytes: MIB })
  await store.write(0, [stamped(1, 1)])
  failures = 1
  const given = { code: 'io-error', message: /given up.*sync disk: EIO/ }
  const meanwhile = [store.flush(), store.flush()].map((flushed) => t.rejects(flushed, given))
  await Promise.all(meanwhile)
  await t.rejects(store.flush(), given, 'the kernel would say yes')
  await t.rejects(store.write(0, [stamped(2, 1)]), given)
  await t.rejects(store.unmap(0, 1), given)
  await t.rejects(store.read(0, 1), given)
})
