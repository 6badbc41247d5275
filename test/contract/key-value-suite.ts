/** What every KeyValue must do, whether real or simulated. */
import type { Test } from 'tap'
import type { KeyValue } from '../../src/ports/key-value.ts'

/** `store` begins empty. */
export async function keyValueSuite(t: Test, store: KeyValue): Promise<void> {
  await t.test('entries', (t) => entries(t, store))
  await t.test('conditions', (t) => conditions(t, store))
  await t.test('transactions made together', (t) => together(t, store))
}

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1')

async function entries(t: Test, store: KeyValue): Promise<void> {
  t.equal(await store.get('a'), undefined)
  t.same(await store.range('a'), [])
  const binary = bytes('\0\x01\xff\0')
  const put = [
    { key: 'list/10', value: bytes('ten') },
    { key: 'list/2', value: bytes('two') },
    { key: 'list/1', value: bytes('one') },
    { key: 'lisu', value: bytes('after') },
    { key: 'list', value: bytes('before') },
    { key: 'list/', value: binary },
    { key: 'empty', value: bytes('') },
  ]
  t.equal(await store.transact({ put }), true)
  t.same(await store.get('list/'), binary)
  t.same(await store.get('empty'), bytes(''), 'an empty value is a value')
  const listed = await store.range('list/')
  t.same(
    listed.map(({ key, value }) => [key, value.toString('latin1')]),
    [
      ['list/', binary.toString('latin1')],
      ['list/1', 'one'],
      ['list/10', 'ten'],
      ['list/2', 'two'],
    ],
    'in key order, only those with the prefix',
  )
  t.equal((await store.range('')).length, 7)
  const [first] = await store.range('list/1')
  first!.value.fill(0)
  t.same(await store.get('list/1'), bytes('one'), 'a value belongs to its reader')
  const slice = Buffer.from('xxvaluexx').subarray(2, 7)
  await store.transact({ put: [{ key: 'slice', value: slice }], remove: ['list/2', 'nothing'] })
  slice.fill(0)
  t.same(await store.get('slice'), bytes('value'))
  t.equal(await store.get('list/2'), undefined)
  const large = Buffer.alloc(100_000, 'large')
  await store.transact({ put: [{ key: 'large', value: large }] })
  t.ok((await store.get('large'))?.equals(large))
}

async function conditions(t: Test, store: KeyValue): Promise<void> {
  const absent = { require: [{ key: 'once', value: undefined }] }
  t.equal(await store.transact({ ...absent, put: [{ key: 'once', value: bytes('1') }] }), true)
  t.equal(await store.transact({ ...absent, put: [{ key: 'once', value: bytes('2') }] }), false)
  t.same(await store.get('once'), bytes('1'))
  const refused = await store.transact({
    require: [
      { key: 'once', value: bytes('1') },
      { key: 'other', value: bytes('x') },
    ],
    put: [{ key: 'half', value: bytes('done') }],
    remove: ['once'],
  })
  t.equal(refused, false, 'every condition must hold')
  t.equal(await store.get('half'), undefined, 'nothing of a refused transaction is there')
  t.same(await store.get('once'), bytes('1'))
  const holds = { require: [{ key: 'once', value: bytes('1') }] }
  t.equal(await store.transact({ ...holds, remove: ['once'] }), true)
  t.equal(await store.transact({ ...holds, put: [] }), false)
  t.equal(await store.transact({}), true)
}

/** Each sees what those before it did; of rivals exactly one wins. */
async function together(t: Test, store: KeyValue): Promise<void> {
  const rivals = await Promise.all(
    Array.from({ length: 20 }, (_, index) =>
      store.transact({
        require: [{ key: 'winner', value: undefined }],
        put: [{ key: 'winner', value: bytes(String(index)) }],
      }),
    ),
  )
  t.equal(rivals.filter(Boolean).length, 1)
  t.same(await store.get('winner'), bytes('0'), 'in the order in which they were made')
  const steps = Array.from({ length: 200 }, (_, index) =>
    store.transact({
      require: [{ key: 'count', value: index === 0 ? undefined : bytes(String(index - 1)) }],
      put: [{ key: 'count', value: bytes(String(index)) }],
    }),
  )
  t.ok((await Promise.all(steps)).every(Boolean))
  t.same(await store.get('count'), bytes('199'))
}
