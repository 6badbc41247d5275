/** Changes of a store that depend on what it holds, and writes that are all or nothing. */
import t from 'tap'
import { compareAndWrite, orWrite } from '../../../../targets/lun/store-updates.ts'
import { PageStore } from '../../../../targets/store/page-store.ts'
import { RawFileStore } from '../../../../targets/store/raw-file-store.ts'
import type { ReplicaStore } from '../../../../targets/store/replica-store.ts'
import { GatedBlockFiles } from '../../../support/gated-block-files.ts'
import { settle } from '../../../support/manual-clock.ts'
import { MemoryBlockFiles } from '../../../support/memory-block-files.ts'
import { seededFractions } from '../../../support/seeded-random.ts'
import { pageBlocks, StoreMachine, stamped, stampsOf } from '../../../support/store-machine.ts'

interface Opened {
  readonly store: ReplicaStore
  readonly files: GatedBlockFiles
  /** The file that holds the blocks. */
  readonly name: string
  close(): Promise<void>
}

async function openPaged(): Promise<Opened> {
  const machine = new StoreMachine(seededFractions(1))
  const files = new GatedBlockFiles(machine.files)
  const pages = await PageStore.open({ ...machine.options(), files })
  await pages.createReplica('a', 6 * pageBlocks)
  const store = pages.replica('a')!
  return { store, files, name: 'pages', close: () => pages.close() }
}

async function openRaw(): Promise<Opened> {
  const files = new GatedBlockFiles(new MemoryBlockFiles())
  const sizeBytes = 6 * pageBlocks * 512
  const store = await RawFileStore.open({ files, name: 'disk', sizeBytes })
  return { store, files, name: 'disk', close: () => store.close() }
}

/** Counts up the number that a block holds. */
const increment = (stored: readonly Buffer[]): Buffer[] => {
  const block = Buffer.concat(stored)
  block.writeUInt32BE(block.readUInt32BE(0) + 1)
  return [block]
}

for (const [kind, open] of [
  ['paged', openPaged],
  ['raw', openRaw],
] as const) {
  t.test(`${kind}: no update is lost, whatever is under way together`, async (t) => {
    const { store, close } = await open()
    const lbas = [3, 4, pageBlocks - 1, pageBlocks]
    const updates = Array.from({ length: 100 }, (_, i) => store.update(lbas[i % 4]!, 1, increment))
    const others = Array.from({ length: 20 }, (_, i) => store.write(10 + i, [stamped(i + 1, 1)]))
    await Promise.all([...updates, ...others])
    for (const lba of lbas) {
      t.equal(Buffer.concat(await store.read(lba, 1)).readUInt32BE(0), 25)
    }
    t.same(stampsOf(await store.read(10, 3)), [1, 2, 3])
    await close()
  })

  t.test(`${kind}: an update waits for writes before it, and writes after it wait`, async (t) => {
    const { store, files, name, close } = await open()
    await store.write(0, [stamped(1, 3 * pageBlocks)])
    const go = files.hold(name, 'write')
    const order: string[] = []
    const before = store.write(5, [stamped(2, 1)]).then(() => order.push('before'))
    let seen: number[] = []
    const update = store
      .update(5, 1, (stored) => {
        seen = stampsOf(stored)
        return [stamped(3, 1)]
      })
      .then(() => order.push('update'))
    const after = store.write(5, [stamped(4, 1)]).then(() => order.push('after'))
    const unmapped = store.unmap(6, 1).then(() => order.push('unmap'))
    await settle()
    t.same(seen, [], 'it has not read while a write was under way')
    const begun = files.begun.filter((each) => each === `${name} write`).length
    const elsewhere = store.write(2 * pageBlocks, [stamped(5, 1)])
    await settle()
    const more = files.begun.filter((each) => each === `${name} write`).length
    t.equal(more, begun + 1, 'other pages are not concerned')
    go()
    await Promise.all([before, update, after, unmapped, elsewhere])
    t.same(seen, [2])
    t.same(stampsOf(await store.read(4, 3)), [1, 4, 0])
    t.strictSame(order.slice(0, 2), ['before', 'update'])
    await close()
  })

  t.test(`${kind}: COMPARE AND WRITE and ORWRITE`, async (t) => {
    const { store, close } = await open()
    const lba = pageBlocks - 1
    const zero = Buffer.alloc(512)
    t.match(await compareAndWrite(store, lba, { compare: [zero], write: [stamped(7, 1)] }), {
      status: 0,
    })
    const wrong = Buffer.from(stamped(7, 1))
    wrong[300] = 0xee
    const parts = [wrong.subarray(0, 299), wrong.subarray(299)]
    t.match(await compareAndWrite(store, lba, { compare: parts, write: [zero] }), {
      status: 2,
      sense: { key: 0xe, asc: 0x1d, ascq: 0, information: 300 },
    })
    t.same(stampsOf(await store.read(lba, 2)), [7, 0])
    await orWrite(store, lba, [stamped(8, 1), stamped(16, 1)])
    t.same(stampsOf(await store.read(lba, 2)), [15, 16])
    const [one, two] = await Promise.all([
      compareAndWrite(store, 0, { compare: [zero], write: [stamped(1, 1)] }),
      compareAndWrite(store, 0, { compare: [zero], write: [stamped(2, 1)] }),
    ])
    t.same([one.status, two.status].sort(), [0, 2], 'one of the two finds what it wants')
    await t.rejects(store.update(6 * pageBlocks, 1, increment), { code: 'invalid' })
    await t.rejects(
      store.update(0, 1, () => {
        throw new Error('mine')
      }),
      { message: 'mine' },
    )
    await store.write(0, [stamped(9, 1)])
    t.same(stampsOf(await store.read(0, 1)), [9], 'after a failure others go on')
    await close()
  })
}

t.test('an atomic write takes in what was written just before it', async (t) => {
  const { store, files, close } = await openPaged()
  await store.write(0, [stamped(1, 2 * pageBlocks)])
  const go = files.hold('pages', 'write')
  const before = store.write(3, [stamped(2, 1)])
  const atomic = store.writeAtomic!(pageBlocks - 8, [stamped(3, 16)])
  const after = store.write(4, [stamped(4, 1)])
  await settle()
  go()
  await Promise.all([before, atomic, after])
  t.same(stampsOf(await store.read(2, 4)), [1, 2, 4, 1])
  t.same(stampsOf(await store.read(pageBlocks - 9, 18)), [1, ...Array<number>(16).fill(3), 1])
  await t.rejects(store.writeAtomic!(0, [stamped(1, store.atomicBlocks + 1)]), { code: 'invalid' })
  await close()
})

t.test('an atomic write needs pages for a while, and changes nothing without', async (t) => {
  const machine = new StoreMachine(seededFractions(1))
  machine.capacityPages = 4
  const store = await machine.open()
  await store.createReplica('a', 4 * pageBlocks)
  const replica = store.replica('a')!
  await replica.write(0, [stamped(1, 3 * pageBlocks)])
  await replica.writeAtomic!(0, [stamped(2, pageBlocks)])
  t.equal(store.freePages, 0, 'the former page waits for a flush')
  t.equal(replica.space!.availableBlocks(), pageBlocks, 'and can be had')
  await replica.writeAtomic!(pageBlocks, [stamped(3, 8)])
  await replica.write(3 * pageBlocks, [stamped(4, 1)])
  await t.rejects(replica.writeAtomic!(0, [stamped(5, 1)]), { code: 'no-space' })
  t.equal(replica.space!.availableBlocks(), 0)
  t.same(stampsOf(await replica.read(0, 1)), [2])
  t.same(stampsOf(await replica.read(pageBlocks, 9)), [...Array<number>(8).fill(3), 1])
  await replica.write(0, [stamped(6, 1)])
  t.same(stampsOf(await replica.read(0, 2)), [6, 2], 'its pages are free for others again')
  await store.close()
})

t.test('blocks of 4096 bytes', async (t) => {
  const machine = new StoreMachine(seededFractions(1))
  const store = await machine.open()
  await store.createReplica('large', 64, 4096)
  const large = store.replica('large')!
  t.equal(large.blockBytes, 4096)
  t.equal(large.blocks, 64)
  await large.write(15, [stamped(1, 8), stamped(2, 8)])
  t.same(stampsOf(await large.read(15, 2)), [
    ...Array<number>(8).fill(1),
    ...Array<number>(8).fill(2),
  ])
  t.same(large.run(0), { mapped: true, blocks: 32 })
  t.same(large.run(33), { mapped: false, blocks: 31 })
  await large.unmap(16, 16)
  t.same(large.run(15), { mapped: true, blocks: 1 })
  await large.update(0, 1, increment)
  await t.rejects(large.read(64, 1), { code: 'invalid' })
  await store.resizeReplica('large', 80)
  await store.close()
  await machine.kill()
  const after = await machine.open()
  const again = after.replica('large')!
  t.same([again.blockBytes, again.blocks], [4096, 80])
  t.same(stampsOf(await again.read(15, 2)), [
    ...Array<number>(8).fill(1),
    ...Array<number>(8).fill(0),
  ])
  await after.close()
  const files = new MemoryBlockFiles()
  const raw = await RawFileStore.open({ files, name: 'r', sizeBytes: 65_536, blockBytes: 4096 })
  t.same([raw.blocks, raw.blockBytes], [16, 4096])
  await raw.write(15, [stamped(3, 8)])
  await raw.unmap(0, 15)
  t.same(stampsOf(await raw.read(14, 2)), [
    ...Array<number>(8).fill(0),
    ...Array<number>(8).fill(3),
  ])
  await t.rejects(raw.write(16, [stamped(3, 8)]), { code: 'invalid' })
  await raw.close()
  await t.rejects(RawFileStore.open({ files, name: 'odd', sizeBytes: 512, blockBytes: 4096 }), {
    code: 'invalid',
  })
})
