/** The masks' file: its bytes, and what is believed of a damaged one. */
import t from 'tap'
import { crc32c } from '../../../../src/base/crc32c.ts'
import type { BlockFile, BlockFiles } from '../../../../src/ports/block-file.ts'
import { maskPageBytes, regionsPerPage } from '../../../../targets/mirror/mask-page.ts'
import { MaskStore } from '../../../../targets/mirror/mask-store.ts'
import type { SegmentMasks } from '../../../../targets/mirror/segment-masks.ts'
import { FaultPlan } from '../../../support/fault-plan.ts'
import { LossyBlockFiles } from '../../../support/lossy-block-files.ts'
import { MemoryBlockFiles } from '../../../support/memory-block-files.ts'
import { quietLog } from '../../../support/quiet-log.ts'
import { testUuid } from '../../../support/volume-maps.ts'

const segmentId = testUuid(1)
const x = testUuid(2)
const name = `masks/${segmentId}`
const regionBlocks = 1024
const blockBytes = 4096
/** Two pages of each mask. */
const regions = regionsPerPage + 20
const blocks = regions * regionBlocks
/** Where the pages are: `index` of the mask in `slot`. */
const pageAt = (slot: number, index = 0): number => 8192 + (index * 9 + slot) * maskPageBytes

function open(files: BlockFiles, mustExist = false, length = blocks): Promise<SegmentMasks> {
  return MaskStore.open({ files, log: quietLog }).segment(segmentId, length, blockBytes, {
    mustExist,
  })
}

/** In sync: region 1 and one of the second page. x has label 5 and lacks them, and region 7. */
async function written(): Promise<MemoryBlockFiles> {
  const files = new MemoryBlockFiles()
  const masks = await open(files)
  await masks.mark(1, 2, [])
  await masks.mark(regionsPerPage + 3, regionsPerPage + 4, [])
  await masks.leave(x, 5)
  await masks.mark(7, 8, [x], false)
  await masks.close()
  return files
}

async function readPage(files: BlockFiles, at: number): Promise<Buffer> {
  const page = Buffer.alloc(maskPageBytes)
  await (await files.open(name)).read(page, at)
  return page
}

async function rewrite(
  files: BlockFiles,
  at: number,
  change: (page: Buffer) => void,
): Promise<void> {
  const page = await readPage(files, at)
  change(page)
  await (await files.open(name)).write([page], at)
}

const flipBit = (page: Buffer): void => {
  page[200]! ^= 0x10
}

t.test('pages are these bytes', async (t) => {
  const files = await written()
  const checked = (page: Buffer): string => {
    t.equal(page.readUInt32BE(4), crc32c([page.subarray(8)]), 'the checksum')
    return page.toString('hex').replace(/^(.{8}).{8}/, '$1CCCCCCCC')
  }
  const segmentHex = segmentId.replaceAll('-', '')
  const bits = `504c4d4bCCCCCCCC000102000000000${'0'}${segmentHex}02`
  t.ok(checked(await readPage(files, pageAt(0))).startsWith(bits), 'in sync, page 0')
  const lacks = `504c4d4bCCCCCCCC0001020100000001${segmentHex}08`
  t.ok(checked(await readPage(files, pageAt(1, 1))).startsWith(lacks), 'what x lacks, page 1')
  for (const copy of [0, 1]) {
    const head = checked(await readPage(files, copy * 4096))
    t.ok(head.startsWith(`504c4d4bCCCCCCCC0001010${copy}00000000${segmentHex}`), 'a head')
    t.equal(Number.parseInt(head.slice(80, 96), 16), blocks * blockBytes, 'length of the replica')
    t.equal(Number.parseInt(head.slice(96, 104), 16), 4 * 1024 * 1024, 'length of a region')
    t.equal(head.slice(112, 160), `${x.replaceAll('-', '')}0000000000000005`, 'x and its label')
  }
})

t.test('what was written is found again', async (t) => {
  const masks = await open(await written())
  t.same([...masks.inSync], [1, regionsPerPage + 3])
  t.same([...(masks.lacks(x) ?? [])], [1, 7, regionsPerPage + 3])
  t.equal(masks.label(x), 5)
  t.same(masks.lacking, [x])
})

t.test('a page of bits that cannot be read says that all its regions are set', async (t) => {
  const damages: [string, (page: Buffer, files: BlockFiles) => void | Promise<void>][] = [
    ['rotten', flipBit],
    ['zeros', (page) => void page.fill(0)],
    [
      'the page of another place',
      async (page, files) => void (await readPage(files, pageAt(0, 1))).copy(page),
    ],
    [
      'the page of another mask',
      async (page, files) => void (await readPage(files, pageAt(1))).copy(page),
    ],
    [
      'torn',
      async (page, files) => {
        ;(await readPage(files, pageAt(3))).copy(page, 256, 256)
        page[40]! ^= 1
      },
    ],
    [
      'the page of another segment',
      (page) => {
        page[20]! ^= 1
        page.writeUInt32BE(crc32c([page.subarray(8)]), 4)
      },
    ],
  ]
  for (const [what, damage] of damages) {
    const files = await written()
    const page = await readPage(files, pageAt(0))
    await damage(page, files)
    await (await files.open(name)).write([page], pageAt(0))
    const masks = await open(files)
    t.equal(masks.inSync.count, regionsPerPage + 1, `${what}: the whole page, and one beyond`)
    t.same([...(masks.lacks(x) ?? [])], [1, 7, regionsPerPage + 3], 'other pages as they were')
    await masks.close()
    t.equal((await open(files)).inSync.count, regionsPerPage + 1, 'and it stays so')
  }
})

t.test('a disk that cannot read a page says the same', async (t) => {
  const files = await written()
  const failing = failingReads(files, pageAt(1))
  const masks = await open(failing)
  t.same([...masks.inSync], [1, regionsPerPage + 3])
  t.equal(masks.lacks(x)?.count, regionsPerPage + 1)
  t.equal(masks.label(x), 5, 'more bits than needed: the label holds')
})

t.test('one head is enough, none is no label', async (t) => {
  for (const damage of [flipBit, (page: Buffer) => void page.fill(0)]) {
    for (const copy of [0, 1]) {
      const files = await written()
      await rewrite(files, copy * 4096, damage)
      t.equal((await open(files)).label(x), 5)
      await rewrite(files, (1 - copy) * 4096, damage)
      t.equal((await open(files)).label(x), 5, 'the other one was written anew')
    }
    const files = await written()
    await rewrite(files, 0, damage)
    await rewrite(files, 4096, flipBit)
    const masks = await open(files)
    t.equal(masks.label(x), 0)
    t.same(masks.lacking, [])
    t.same([...masks.inSync], [1, regionsPerPage + 3], 'pages of bits count without it')
  }
})

t.test('a label that was taken back is in neither head', async (t) => {
  const backing = await written()
  let forgotten = 0
  for (let crashAt = 1; forgotten < 2; crashAt++) {
    const copy = new MemoryBlockFiles()
    await copyFile(backing, copy)
    const plan = new FaultPlan({ random: () => 0.3, crashAt })
    const files = new LossyBlockFiles(copy, plan)
    const forget = async (): Promise<string> => {
      await (await open(files)).forget(x)
      return 'forgotten'
    }
    const outcome = await Promise.race([forget(), plan.crashed])
    await files.crash()
    const rotten = crashAt % 2
    if (outcome === 'forgotten') {
      forgotten += 1
      await rewrite(copy, rotten * 4096, flipBit)
    }
    const { lacking } = await open(copy)
    if (outcome === 'forgotten') t.same(lacking, [], `without head ${rotten}`)
    else t.ok(lacking.length < 2, 'still there, or not any more')
  }
})

t.test('a newer format is left alone', async (t) => {
  const files = await written()
  await rewrite(files, 0, (page) => {
    page.writeUInt16BE(2, 8)
    page.writeUInt32BE(crc32c([page.subarray(8)]), 4)
  })
  await t.rejects(open(files), { code: 'wrong-version', message: /format 2.*knows 1/ })
  const other = await written()
  for (const at of [0, 4096]) {
    await rewrite(other, at, (page) => {
      page.writeUInt32BE(65536, 48)
      page.writeUInt32BE(crc32c([page.subarray(8)]), 4)
    })
  }
  await t.rejects(open(other), { code: 'wrong-version', message: /regions of 65536 bytes/ })
})

t.test('a file that was lost: all may differ, where there must have been one', async (t) => {
  const fresh = await open(new MemoryBlockFiles())
  t.equal(fresh.inSync.count, 0)
  const lost = await open(new MemoryBlockFiles(), true)
  t.equal(lost.inSync.count, regions)
  const files = await written()
  const kept = await open(files, true)
  t.equal(kept.inSync.count, 2)
})

t.test('a head that is lost with all the rest is damage, not a new file', async (t) => {
  const files = await written()
  await rewrite(files, 0, flipBit)
  await rewrite(files, 4096, flipBit)
  await rewrite(files, pageAt(0), (page) => page.fill(0))
  t.equal((await open(files)).inSync.count, regionsPerPage + 1)
})

t.test('a longer replica after a crash: what was added is clear, and lacking', async (t) => {
  const files = await written()
  const longer = await open(files, false, blocks + 3 * regionsPerPage * regionBlocks)
  t.same([...longer.inSync], [1, regionsPerPage + 3])
  const lacks = [...(longer.lacks(x) ?? [])]
  t.same(lacks.slice(0, 4), [1, 7, regionsPerPage + 3, regions], 'all that x did not have')
  t.equal(lacks.length, 3 + 3 * regionsPerPage)
  await longer.mark(4 * regionsPerPage, 4 * regionsPerPage + 1, [])
  await longer.close()
  const shorter = await open(files)
  t.same([...shorter.inSync], [1, regionsPerPage + 3])
})

/** Reads of one page fail. */
function failingReads(files: BlockFiles, at: number): BlockFiles {
  return {
    exists: (file) => files.exists(file),
    remove: (file) => files.remove(file),
    async open(file, options) {
      const opened = await files.open(file, options)
      const read: BlockFile['read'] = (buffer, offsetBytes) =>
        offsetBytes === at
          ? opened.read(Buffer.alloc(2 ** 20), 2 ** 30)
          : opened.read(buffer, offsetBytes)
      return {
        get sizeBytes() {
          return opened.sizeBytes
        },
        read,
        write: (buffers, offsetBytes) => opened.write(buffers, offsetBytes),
        flush: () => opened.flush(),
        resize: (sizeBytes) => opened.resize(sizeBytes),
        close: () => opened.close(),
      }
    },
  }
}

async function copyFile(from: BlockFiles, to: BlockFiles): Promise<void> {
  const source = await from.open(name)
  const bytes = Buffer.alloc(source.sizeBytes)
  await source.read(bytes, 0)
  await (await to.open(name, { create: true })).write([bytes], 0)
}
