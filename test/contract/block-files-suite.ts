/** What every BlockFiles must do, whether real or simulated. */
import type { Test } from 'tap'
import type { BlockFile, BlockFiles } from '../../src/ports/block-file.ts'

/** `files` begins empty. */
export async function blockFilesSuite(t: Test, files: BlockFiles): Promise<void> {
  await t.test('names', (t) => names(t, files))
  await t.test('bytes', (t) => bytes(t, files))
  await t.test('sizes', (t) => sizes(t, files))
  await t.test('operations under way together', (t) => together(t, files))
}

async function content(file: BlockFile): Promise<string> {
  const buffer = Buffer.alloc(file.sizeBytes)
  await file.read(buffer, 0)
  return buffer.toString('latin1')
}

async function names(t: Test, files: BlockFiles): Promise<void> {
  t.equal(await files.exists('deep/er/name'), false)
  await t.rejects(files.open('deep/er/name'), { code: 'not-found' })
  const file = await files.open('deep/er/name', { create: true })
  t.equal(file.sizeBytes, 0)
  t.equal(await files.exists('deep/er/name'), true)
  await file.write([Buffer.from('kept')], 0)
  await file.flush()
  await file.close()
  const again = await files.open('deep/er/name', { create: true })
  t.equal(await content(again), 'kept', 'create does not empty a file')
  await again.close()
  await files.remove('deep/er/name')
  t.equal(await files.exists('deep/er/name'), false)
  await files.remove('deep/er/name')
  await files.remove('no/such/directory')
  const fresh = await files.open('deep/er/name', { create: true })
  t.equal(fresh.sizeBytes, 0, 'a removed file is gone')
  await fresh.close()
}

async function bytes(t: Test, files: BlockFiles): Promise<void> {
  const file = await files.open('bytes', { create: true })
  await file.write([Buffer.from('ab'), Buffer.alloc(0), Buffer.from('cdef')], 0)
  t.equal(await content(file), 'abcdef')
  await file.write([Buffer.from('XY')], 2)
  t.equal(await content(file), 'abXYef', 'a write that resolved is there for every later read')
  const part = Buffer.alloc(3)
  await file.read(part, 1)
  t.equal(part.toString(), 'bXY')
  await file.read(Buffer.alloc(0), 3)
  await file.write([], 3)
  await file.write([Buffer.alloc(0)], 3)
  t.equal(await content(file), 'abXYef')
  await t.rejects(file.read(Buffer.alloc(3), 4), { code: 'io-error' }, 'a short read is an error')
  await t.rejects(file.read(Buffer.alloc(1), 100), { code: 'io-error' })
  const pieces = Array.from({ length: 3000 }, (_, index) => Buffer.from([index % 251]))
  await file.write(pieces, 6)
  const many = Buffer.alloc(3000)
  await file.read(many, 6)
  t.ok(many.equals(Buffer.concat(pieces)), 'more buffers than one system call takes')
  const large = Buffer.alloc(300_000, 'large.')
  await file.write([large], 10_000)
  const back = Buffer.alloc(large.length)
  await file.read(back, 10_000)
  t.ok(back.equals(large))
  await file.flush()
  await file.close()
}

async function sizes(t: Test, files: BlockFiles): Promise<void> {
  const file = await files.open('sizes', { create: true })
  await file.write([Buffer.from('end')], 7)
  t.equal(file.sizeBytes, 10, 'a write beyond the end grows the file')
  t.equal(await content(file), '\0\0\0\0\0\0\0end')
  await file.resize(8)
  t.equal(file.sizeBytes, 8)
  await file.resize(12)
  t.equal(await content(file), '\0\0\0\0\0\0\0e\0\0\0\0', 'what was cut off reads as zeros')
  await file.flush()
  await file.close()
  const again = await files.open('sizes')
  t.equal(again.sizeBytes, 12)
  await again.close()
}

async function together(t: Test, files: BlockFiles): Promise<void> {
  const file = await files.open('together', { create: true })
  await file.resize(64 * 4096)
  const chunks = Array.from({ length: 64 }, (_, index) => Buffer.alloc(4096, index + 1))
  await Promise.all(chunks.map((chunk, index) => file.write([chunk], index * 4096)))
  const flushes = [file.flush(), file.flush()]
  const read = await Promise.all(
    chunks.map(async (_, index) => {
      const buffer = Buffer.alloc(4096)
      await file.read(buffer, index * 4096)
      return buffer
    }),
  )
  t.ok(read.every((buffer, index) => buffer.equals(chunks[index]!)))
  await Promise.all(flushes)
  await file.close()
}
