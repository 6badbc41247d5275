/** Real files, simulated ones, and simulated ones that lose what was not flushed, agree. */
import { mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { NodeBlockFiles } from '../../src/adapters/node-block-files.ts'
import { LossyBlockFiles } from '../support/lossy-block-files.ts'
import { MemoryBlockFiles } from '../support/memory-block-files.ts'
import { blockFilesSuite } from './block-files-suite.ts'

const directory = await mkdtemp(join(tmpdir(), 'palisade-files-'))
t.teardown(() => rm(directory, { recursive: true }))

await t.test('Node', (t) => blockFilesSuite(t, new NodeBlockFiles(join(directory, 'node'))))
await t.test('memory', (t) => blockFilesSuite(t, new MemoryBlockFiles()))
await t.test('lossy over memory', (t) =>
  blockFilesSuite(t, new LossyBlockFiles(new MemoryBlockFiles())),
)
await t.test('lossy over Node', (t) =>
  blockFilesSuite(t, new LossyBlockFiles(new NodeBlockFiles(join(directory, 'lossy')))),
)

await t.test('Node alone', async (t) => {
  const files = new NodeBlockFiles(directory)
  for (const name of ['/etc/passwd', '../out', 'a/../../out', '']) {
    await t.rejects(files.open(name), /names no file inside a directory/, name)
  }
  await symlink('/dev/null', join(directory, 'null'))
  await t.rejects(files.open('null'), { code: 'invalid', message: /neither a regular file nor/ })
  await symlink('/dev/full', join(directory, 'full'))
  await t.rejects(files.open('full'), { code: 'invalid' })
  const file = await files.open('closing', { create: true })
  const late = Array.from({ length: 8 }, () => file.write([Buffer.alloc(1 << 20)], 0))
  await file.close()
  await file.close()
  await Promise.all(late)
  t.pass('close waits for what is under way, so that no descriptor is used by two')
  await t.rejects(file.read(Buffer.alloc(1), 0), { code: 'io-error', message: /is closed/ })
  await t.rejects(file.write([Buffer.alloc(1)], 0), { code: 'io-error' })
  await t.rejects(file.flush(), { code: 'io-error' })
})
