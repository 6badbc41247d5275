/** POPULATE TOKEN, WRITE USING TOKEN, RECEIVE ROD TOKEN INFORMATION, and the store of tokens. */
import t from 'tap'
import { copy as limits } from '../../../../src/base/limits.ts'
import { TokenStore } from '../../../../src/scsi/copy/token-store.ts'
import type { UnitFacts } from '../../../../src/scsi/logical-unit.ts'
import { MemoryUnitSettings } from '../../../../src/scsi/memory-unit-settings.ts'
import { checkCondition } from '../../../../src/scsi/result.ts'
import { UNRECOVERED_READ_ERROR, WRITE_ERROR } from '../../../../src/scsi/sense.ts'
import {
  copyIn,
  copyOut,
  populateList,
  type RangeFields,
  writeList,
} from '../../../support/copy-lists.ts'
import { ManualClock } from '../../../support/manual-clock.ts'
import { MemoryUnit, testNexus } from '../../../support/memory-unit.ts'
import { ScsiRig } from '../../../support/scsi-rig.ts'
import { seededRandom } from '../../../support/seeded-random.ts'

class TokenUnit extends MemoryUnit {
  override readonly settings = new MemoryUnitSettings()
  readonly tokens: TokenStore

  constructor(tokens: TokenStore, facts: Partial<UnitFacts> = {}) {
    super(facts)
    this.tokens = tokens
    this.content.fill(seededRandom(1).bytes(512))
    for (let at = 0; at < this.content.length; at += 512) this.content.writeUInt32LE(at, at)
  }
}

const populating = 0x10
const writing = 0x11
const tokenBlocks = limits.tokenBytes / 512

class TokenRig extends ScsiRig {
  readonly clock: ManualClock
  readonly tokens: TokenStore

  constructor(facts: Partial<UnitFacts> = { blocks: 3 * tokenBlocks }) {
    const clock = new ManualClock()
    const tokens = new TokenStore({ clock, random: seededRandom(2) })
    super(new TokenUnit(tokens, facts))
    this.clock = clock
    this.tokens = tokens
  }

  populate(ranges: readonly RangeFields[], fields: Parameters<typeof populateList>[1] = {}) {
    return this.#out(populating, populateList(ranges, fields))
  }

  use(
    token: Buffer,
    ranges: readonly RangeFields[],
    fields: Parameters<typeof writeList>[2] & { nexus?: ScsiRig['nexus'] } = {},
  ): Promise<string> {
    const list = writeList(token, ranges, fields)
    const nexus = fields.nexus ?? this.nexus
    return this.outcome(copyOut(writing, list.length), { data: [list], nexus })
  }

  async token(ranges: readonly RangeFields[], fields = {}): Promise<Buffer> {
    const outcome = await this.populate(ranges, fields)
    if (outcome !== 'GOOD') throw new Error(outcome)
    return (await this.dataOf(copyIn(0x07))).subarray(32 + 4 + 2)
  }

  #out(serviceAction: number, list: Buffer): Promise<string> {
    return this.outcome(copyOut(serviceAction, list.length), { data: [list] })
  }
}

const at = (lba: number, blocks: number): RangeFields => ({ lba: BigInt(lba), blocks })

t.test('a token stands for the data of its moment', async (t) => {
  const rig = new TokenRig()
  const { content } = rig.unit
  const token = await rig.token([at(10, 3), at(100, 5000)])
  t.equal(token.length, 512)
  t.equal(token.readUInt32BE(0), 0x0080_0000)
  t.equal(token.readUInt16BE(6), 504)
  t.equal(token.readBigUInt64BE(56), BigInt(5003 * 512))
  const want = [content.subarray(10 * 512, 13 * 512), content.subarray(100 * 512, 5100 * 512)]
  const then = Buffer.concat(want)
  content.fill(0, 0, 5200 * 512)
  t.equal(await rig.use(token, [at(20_000, 4000), at(30_000, 1003)]), 'GOOD')
  const copied = [content.subarray(20_000 * 512, 24_000 * 512)]
  copied.push(content.subarray(30_000 * 512, 31_003 * 512))
  t.ok(Buffer.concat(copied).equals(then))
  t.ok(content.subarray(0, 5200 * 512).every((byte) => byte === 0))
  const told = await rig.dataOf(copyIn(0x07))
  t.equal(told.readUInt32BE(0), told.length - 4)
  t.strictSame([told[4], told[5], told[12], told[15]], [writing, 1, 0, 0xf1])
  t.equal(told.readBigUInt64BE(16), 5003n)
  t.equal(told.readUInt16BE(24), 2)
  t.equal(told.readUInt32BE(32), 0, 'no token was made')
})

t.test('parts of a token, and more than it has', async (t) => {
  const rig = new TokenRig()
  const { content } = rig.unit
  const token = await rig.token([at(100, 8)])
  t.equal(await rig.use(token, [at(0, 3)], { offset: 5n }), 'GOOD')
  t.ok(content.subarray(0, 3 * 512).equals(content.subarray(105 * 512, 108 * 512)))
  t.equal(await rig.use(token, [at(20, 2), at(30, 4)], { offset: 5n }), '0a/0d/04')
  t.ok(content.subarray(20 * 512, 22 * 512).equals(content.subarray(105 * 512, 107 * 512)))
  t.ok(content.subarray(30 * 512, 31 * 512).equals(content.subarray(107 * 512, 108 * 512)))
  t.equal(content.readUInt32LE(31 * 512), 31 * 512, 'not written')
  const told = await rig.dataOf(copyIn(0x07))
  t.strictSame([told[5], told[12], told[14]], [2, 2, 18])
  t.equal(told.readBigUInt64BE(16), 3n)
  t.equal(told[32 + 2]! & 0x0f, 0x0a, 'the sense comes along')
  t.equal(await rig.use(token, [at(0, 1)], { offset: 8n }), '05/26/00')
  t.equal(await rig.use(token, [at(0, 1)], { offset: 0xffff_ffff_ffff_ffffn }), '05/26/00')
  t.equal(await rig.use(token, [at(0, 0)], { offset: 9n }), 'GOOD', 'nothing to write')
  const empty = await rig.token([at(0, 0)])
  t.equal(await rig.use(empty, [at(0, 0)]), 'GOOD')
})

t.test('the token of zeros', async (t) => {
  const rig = new TokenRig()
  const zeros = Buffer.alloc(512)
  zeros.writeUInt32BE(0xffff_0001, 0)
  zeros.writeUInt16BE(504, 6)
  t.equal(await rig.use(zeros, [at(1, 2), at(7, 0), at(9, 1)]), 'GOOD')
  t.strictSame(rig.unit.calls, ['unmap 1+2', 'unmap 9+1'])
  t.equal(rig.tokens.heldBytes, 0)
})

t.test('wrong lists are refused whole', async (t) => {
  const rig = new TokenRig()
  const token = await rig.token([at(0, 1)])
  rig.unit.calls.length = 0
  const many = Array.from({ length: limits.rangeDescriptors + 1 }, (_, i) => at(i, 1))
  const ranges: [string, RangeFields[], string][] = [
    ['no range', [], '05/26/00'],
    ['beyond the end', [at(3 * tokenBlocks, 1)], '05/21/00'],
    ['overflows', [{ lba: 0xffff_ffff_ffff_ffffn, blocks: 0xffff_ffff }], '05/21/00'],
    ['a block twice', [at(5, 3), at(0, 1), at(7, 1)], '05/26/00'],
    ['more than a token may have', [at(0, tokenBlocks), at(tokenBlocks, 1)], '05/26/00'],
    ['too many', many, '05/26/08'],
  ]
  for (const [what, list, want] of ranges) {
    t.equal(await rig.populate(list), want, what)
    t.equal(await rig.use(token, list), want, what)
  }
  t.equal(await rig.populate([at(0, 1)], { rodType: 0x10000 }), '05/26/00')
  t.equal(await rig.populate([at(0, 1)], { seconds: 301 }), '05/26/00')
  for (const [serviceAction, whole] of [
    [populating, populateList([at(0, 1)])],
    [writing, writeList(token, [at(0, 1)])],
  ] as const) {
    for (const bytes of [1, 15, whole.length - 1]) {
      const data = [whole.subarray(0, bytes)]
      t.equal(await rig.outcome(copyOut(serviceAction, bytes), { data }), '05/1a/00')
      t.equal(await rig.outcome(copyOut(serviceAction, whole.length), { data }), '05/1a/00')
    }
    const overlong = Buffer.from(whole)
    overlong.writeUInt16BE(0xffff, whole.length - 16 - 2)
    const data = [overlong]
    t.equal(await rig.outcome(copyOut(serviceAction, overlong.length), { data }), '05/1a/00')
    t.equal(await rig.outcome(copyOut(serviceAction, 1 << 20), { data }), '05/1a/00')
    t.equal(await rig.outcome(copyOut(serviceAction, 0)), 'GOOD')
  }
  t.strictSame(rig.unit.calls, [])
})

t.test('tokens that are none', async (t) => {
  const rig = new TokenRig()
  const token = await rig.token([at(0, 1)])
  const changed = (byte: number) => {
    const copied = Buffer.from(token)
    copied[byte]! ^= 1
    return copied
  }
  const use = (bytes: Buffer) => rig.use(bytes, [at(9, 1)])
  t.equal(await use(changed(7)), '05/23/0a')
  t.equal(await use(changed(3)), '05/23/01')
  t.equal(await use(changed(8)), '05/23/04')
  for (const byte of [17, 63, 130, 511]) t.equal(await use(changed(byte)), '05/23/05')
  t.equal(await use(token), 'GOOD')
  const elsewhere = { ...testNexus(), targetName: 'iqn.2026-11.test:other' }
  t.equal(await rig.use(token, [at(9, 1)], { nexus: elsewhere }), '05/23/04')
  t.equal(await rig.use(token, [at(9, 1)], { deleteToken: true }), 'GOOD')
  t.equal(await use(token), '05/23/09')
  t.equal(rig.tokens.heldBytes, 0)
  const large = new TokenUnit(rig.tokens, { blockBytes: 4096 })
  rig.units.set(1, large)
  const list = writeList(await rig.token([at(0, 8)]), [at(9, 1)])
  const cdb = copyOut(writing, list.length)
  t.equal(await rig.outcome(cdb, { lun: 1, data: [list] }), '05/23/00', 'of other blocks')
})

t.test('no two tokens are alike', async (t) => {
  const rig = new TokenRig()
  const [one, other] = [await rig.token([at(0, 1)]), await rig.token([at(0, 1)])]
  t.not(one.subarray(8, 16).toString('hex'), other.subarray(8, 16).toString('hex'))
  t.not(one.subarray(128, 160).toString('hex'), other.subarray(128, 160).toString('hex'))
})

t.test('a token ends when nobody uses it for its time', async (t) => {
  const rig = new TokenRig()
  const short = await rig.token([at(0, 1)], { seconds: 10 })
  const usual = await rig.token([at(0, 2)])
  await rig.clock.advance(9_000)
  t.equal(await rig.use(short, [at(9, 1)]), 'GOOD')
  await rig.clock.advance(9_000)
  t.equal(await rig.use(short, [at(9, 1)]), 'GOOD', 'each use begins its time anew')
  await rig.clock.advance(10_000)
  t.equal(await rig.use(short, [at(9, 1)]), '05/23/07')
  t.equal(rig.tokens.heldBytes, 1024)
  await rig.clock.advance(2_000)
  t.equal(rig.tokens.heldBytes, 0, 'the memory is free without anybody asking')
  t.equal(await rig.use(usual, [at(9, 1)]), '05/23/07')
  t.equal(rig.clock.timers, 0)
})

t.test('what tokens may hold', async (t) => {
  const rig = new TokenRig()
  const share = limits.initiatorTokenBytes / limits.tokenBytes
  const full = at(0, tokenBlocks)
  const tokens: Buffer[] = []
  for (let made = 0; made <= share; made++) tokens.push(await rig.token([full]))
  t.equal(rig.tokens.heldBytes, limits.initiatorTokenBytes)
  t.equal(await rig.use(tokens[0]!, [at(0, 1)]), '05/23/06', 'its own oldest had to go')
  t.equal(await rig.use(tokens[1]!, [at(0, 1)]), 'GOOD')
  const list = populateList([full])
  const populate = (name: string) =>
    rig.outcome(copyOut(populating, list.length), { data: [list], nexus: testNexus(name) })
  for (let made = 0; made < share; made++) t.equal(await populate('iqn.2026-11.test:b'), 'GOOD')
  t.equal(rig.tokens.heldBytes, limits.allTokensBytes)
  t.equal(await populate('iqn.2026-11.test:c'), '05/55/0d', 'nobody loses what he has to others')
  t.equal(await rig.use(tokens[1]!, [at(0, 1)]), 'GOOD')
  t.equal(await rig.populate([full]), 'GOOD')
  rig.tokens.close()
  t.equal(rig.tokens.heldBytes, 0)
  t.equal(rig.clock.timers, 0)
})

t.test('a token that fails to be made takes no room', async (t) => {
  const rig = new TokenRig()
  rig.unit.failNext = checkCondition(UNRECOVERED_READ_ERROR)
  t.equal(await rig.populate([at(0, 8)]), '03/11/00')
  t.equal(rig.tokens.heldBytes, 0)
  const told = await rig.dataOf(copyIn(0x07))
  t.strictSame([told[4], told[5], told[12]], [populating, 2, 2])
  const list = populateList([at(0, 8)])
  const task = { ...rig.task(copyOut(populating, list.length)), aborted: true }
  const outcome = await rig.server.execute(task, [list])
  t.equal(outcome !== 'drop' && outcome.status, 0x40)
  t.equal(rig.tokens.heldBytes, 0)
  const token = await rig.token([at(0, 8)])
  rig.unit.failNext = checkCondition(WRITE_ERROR)
  t.equal(await rig.use(token, [at(9, 8)], { deleteToken: true }), '03/0c/00')
  t.equal(await rig.use(token, [at(9, 8)]), 'GOOD', 'and stays where it could not be used')
})

t.test('an erased unit leaves no copies', async (t) => {
  const rig = new TokenRig({ blocks: 2048 })
  const token = await rig.token([at(0, 8)])
  t.equal(await rig.outcome('48020000000000000000'), 'GOOD', 'SANITIZE, BLOCK ERASE')
  t.equal(rig.tokens.heldBytes, 0)
  t.equal(await rig.use(token, [at(9, 1)]), '05/23/06')
})

t.test('VPD page 8Fh says what is enforced', async (t) => {
  const page = await new TokenRig().dataOf('12018f040000')
  const found = new Map<number, Buffer>()
  for (let offset = 4; offset < page.length; ) {
    const length = page.readUInt16BE(offset + 2)
    t.equal(length % 4, 0)
    found.set(page.readUInt16BE(offset), page.subarray(offset, offset + 4 + length))
    offset += 4 + length
  }
  const types = [0x0000, 0x0001, 0x0004, 0x0008, 0x000c, 0x0106, 0x0108, 0x8001]
  t.strictSame([...found.keys()], types)
  const rod = found.get(0)!
  t.equal(rod.length, 36)
  t.equal(rod.readUInt16BE(10), limits.rangeDescriptors)
  t.strictSame([rod.readUInt32BE(12), rod.readUInt32BE(16)], [300, 30])
  t.equal(rod.readBigUInt64BE(20), BigInt(tokenBlocks))
  const commands = [0x83, 3, 0x00, 0x10, 0x11, 0x84, 4, 0x00, 0x03, 0x04, 0x07]
  t.strictSame([...found.get(1)!.subarray(4, 16)], [commands.length, ...commands])
  t.equal(found.get(0x8001)!.readUInt32BE(12), limits.segmentBytes)
})
