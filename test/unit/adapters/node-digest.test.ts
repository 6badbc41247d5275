import t from 'tap'
import { nodeDigest } from '../../../src/adapters/node-digest.ts'
import { pageBytes } from '../../../src/base/limits.ts'

t.test('SHA-256 as FIPS 180-4 has it, of parts as of the whole', async (t) => {
  const abc = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
  const digest = await nodeDigest.sha256([Buffer.from('a'), Buffer.from('bc')])
  t.equal(digest.toString('hex'), abc)
  const none = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
  t.equal((await nodeDigest.sha256([])).toString('hex'), none)
})

t.test('a page in the thread pool is as one on the event loop', async (t) => {
  // A million bytes "a", digested in the pool.
  const million = 'cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0'
  t.equal((await nodeDigest.sha256([Buffer.alloc(1_000_000, 'a')])).toString('hex'), million)
  const page = Buffer.alloc(pageBytes, 'page')
  const whole = await nodeDigest.sha256([page])
  t.same(await nodeDigest.sha256([page.subarray(0, 100), page.subarray(100)]), whole)
  const view = Buffer.concat([Buffer.from('x'), page]).subarray(1)
  t.same(await nodeDigest.sha256([view]), whole, 'a view counts for what it shows')
})
