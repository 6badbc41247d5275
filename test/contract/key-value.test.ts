/** LMDB and the simulated key-value store agree. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { openLmdb } from '../../src/adapters/lmdb-key-value.ts'
import { MemoryKeyValue } from '../support/memory-key-value.ts'
import { keyValueSuite } from './key-value-suite.ts'

const directory = await mkdtemp(join(tmpdir(), 'palisade-lmdb-'))
t.teardown(() => rm(directory, { recursive: true }))

await t.test('LMDB', async (t) => {
  const store = await openLmdb(join(directory, 'made/on/the/way/meta.lmdb'))
  await keyValueSuite(t, store)
  await store.close()
})
await t.test('memory', (t) => keyValueSuite(t, new MemoryKeyValue()))

await t.test('LMDB alone', async (t) => {
  const path = join(directory, 'kept.lmdb')
  const store = await openLmdb(path)
  const put = [{ key: 'a', value: Buffer.from('1') }]
  const last = store.transact({ put })
  await store.close()
  t.equal(await last, true, 'close waits for what is under way')
  await store.close()
  await t.rejects(store.get('a'), { code: 'conflict' })
  await t.rejects(store.range('a'), { code: 'conflict' })
  await t.rejects(store.transact({ put }), { code: 'conflict' })
  const again = await openLmdb(path)
  t.same(await again.get('a'), Buffer.from('1'))
  await again.close()
  for (const [name, content] of [
    ['text', 'this is no LMDB file '.repeat(1000)],
    ['short', 'x'],
  ] as const) {
    await writeFile(join(directory, name), content)
    const opened = openLmdb(join(directory, name))
    await t.rejects(opened, { code: 'not-a-store', message: /is no LMDB file/ }, name)
  }
})
