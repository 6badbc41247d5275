/** SANITIZE and what it keeps from others meanwhile, how it fails and how it ends. SBC-3 4.11, 5.24. */
import t from 'tap'
import type { Task, WriteOptions } from '../../../src/scsi/logical-unit.ts'
import { MemoryUnitSettings } from '../../../src/scsi/memory-unit-settings.ts'
import { Pacer } from '../../../src/scsi/pacer.ts'
import type { ScsiResult } from '../../../src/scsi/result.ts'
import type { SanitizeRecord } from '../../../src/scsi/sanitize-record.ts'
import type { SharedState, UnitSettings } from '../../../src/scsi/unit-settings.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { MemoryUnit } from '../../support/memory-unit.ts'
import { describe, hex, ScsiRig } from '../../support/scsi-rig.ts'

const testUnitReady = '00 00 00 00 00 00'
const read10 = '28 00 00000000 00 0001 00'
const write10 = '2a 00 00000000 00 0001 00'
const requestSense = '03 00 00 00 ff 00'
const blockErase = '48 02 0000000000 0000 00'
const exitFailureMode = '48 1f 0000000000 0000 00'
const writeError = { status: 0x02, sense: { key: 3, asc: 0x0c, ascq: 0 } } as const

function overwriteCdb(length: number, flags = 0): Buffer {
  return Buffer.from([0x48, flags | 0x01, 0, 0, 0, 0, 0, length >> 8, length & 0xff, 0])
}

function overwriteList(first: number, pattern: Buffer, patternBytes = pattern.length): Buffer {
  return Buffer.concat([Buffer.from([first, 0, patternBytes >> 8, patternBytes & 0xff]), pattern])
}

/** Writes wait until the test lets them go. */
class SlowUnit extends MemoryUnit {
  #hold: Promise<void> = Promise.resolve()
  #go: () => void = () => undefined
  writes = 0

  hold(): void {
    this.#hold = new Promise((resolve) => {
      this.#go = resolve
    })
  }

  go(): void {
    this.#go()
  }

  override async write(task: Task, lba: number, data: readonly Buffer[], options: WriteOptions) {
    this.writes += 1
    await this.#hold
    return super.write(task, lba, data, options)
  }
}

/** One of several that serve a unit: they share what is set, and each has its own name. */
class SharedSettings implements UnitSettings {
  readonly owner: string
  readonly #shared: MemoryUnitSettings

  constructor(owner: string, shared: MemoryUnitSettings) {
    this.owner = owner
    this.#shared = shared
  }

  get state(): SharedState {
    return this.#shared.state
  }

  change(former: SharedState, next: SharedState) {
    return this.#shared.change(former, next)
  }
}

/** The same content behind two targets. */
function twoRigs(options: { clock?: ManualClock; blocks?: number } = {}) {
  const shared = new MemoryUnitSettings()
  const rigs = ['one', 'other'].map((owner) => {
    const slow = new SlowUnit({ blocks: options.blocks ?? 5000 }, new SharedSettings(owner, shared))
    slow.content.fill('a')
    return Object.assign(new ScsiRig(slow, options.clock), { slow })
  })
  return { shared, one: rigs[0]!, other: rigs[1]! }
}

function recordOf({ state }: UnitSettings): Partial<Extract<SanitizeRecord, { kind: 'running' }>> {
  return state.sanitize?.kind === 'running' ? state.sanitize : {}
}

function rigOf(facts = {}): ScsiRig & { readonly slow: SlowUnit } {
  const slow = new SlowUnit({ blocks: 5000, ...facts }, new MemoryUnitSettings())
  return Object.assign(new ScsiRig(slow), { slow })
}

const turn = () => new Promise((resolve) => setImmediate(resolve))

t.test(
  'BLOCK ERASE and CRYPTOGRAPHIC ERASE leave zeros, on the medium, and give the space back',
  async (t) => {
    for (const cdb of [blockErase, '48 03 0000000000 0000 00']) {
      for (const thin of [true, false]) {
        const rig = rigOf({ thin })
        const { slow } = rig
        slow.content.fill('a')
        t.equal(await rig.outcome(cdb), 'GOOD')
        t.ok(slow.content.every((byte) => byte === 0))
        t.equal(slow.calls.at(-1), 'flush')
        t.ok(
          slow.calls.some((call) => call.startsWith('write')),
          'zeros were written first',
        )
        t.equal(
          slow.calls.some((call) => call.startsWith('unmap')),
          thin,
        )
        t.equal(await rig.outcome(testUnitReady), 'GOOD')
      }
    }
  },
)

t.test('OVERWRITE: patterns of all lengths, passes, INVERT', async (t) => {
  const bytes = (length: number) =>
    Buffer.from(Array.from({ length }, (_, i) => (i * 7 + 1) & 0xff))
  for (const { length, count, invert } of [
    { length: 1, count: 1, invert: false },
    { length: 3, count: 1, invert: true },
    { length: 512, count: 2, invert: true },
    { length: 100, count: 3, invert: false },
  ]) {
    const rig = rigOf({ blocks: 300 })
    const pattern = bytes(length)
    const list = overwriteList((invert ? 0x80 : 0) | count, pattern)
    const seen: number[] = []
    const write = rig.slow.write.bind(rig.slow)
    rig.slow.write = (task, lba, data, options) => {
      if (lba === 0) seen.push(data[0]![0]!)
      return write(task, lba, data, options)
    }
    t.equal(await rig.outcome(overwriteCdb(list.length), { data: [list] }), 'GOOD')
    const block = Buffer.alloc(512, pattern)
    t.ok(
      rig.unit.content.equals(Buffer.alloc(300 * 512, block)),
      'each block begins the pattern anew',
    )
    const other = ~pattern[0]! & 0xff
    const wanted = Array.from({ length: count }, (_, i) =>
      invert && (count - 1 - i) % 2 === 1 ? other : pattern[0]!,
    )
    t.strictSame(seen, wanted, 'patterns alternate, the last is as given')
  }
})

t.test('SANITIZE: parameter lists and fields that are wrong', async (t) => {
  const rig = rigOf()
  rig.unit.content.fill('a')
  const block = Buffer.alloc(512, 1)
  for (const length of [0, 1, 2, 3, 4, 517])
    t.equal(
      await rig.outcome(overwriteCdb(length), { data: [Buffer.alloc(length)] }),
      '05/24/00',
      `${length}`,
    )
  const lists = [
    overwriteList(0, block),
    overwriteList(1, block, 0),
    overwriteList(1, Buffer.alloc(10), 11),
    overwriteList(0x21, block),
  ]
  for (const list of lists)
    t.equal(await rig.outcome(overwriteCdb(list.length), { data: [list] }), '05/24/00')
  const list = overwriteList(1, block)
  t.equal(
    await rig.outcome(overwriteCdb(list.length), { data: [list.subarray(0, 100)] }),
    '05/24/00',
    'less came',
  )
  t.equal(await rig.outcome('48 02 0000000000 0001 00', { data: [Buffer.alloc(1)] }), '05/24/00')
  t.equal(await rig.outcome('48 04 0000000000 0000 00'), '05/24/00', 'no such service action')
  t.ok(
    rig.unit.content.every((byte) => byte === 0x61),
    'nothing was done',
  )
  t.equal(await rig.outcome(testUnitReady), 'GOOD')
})

t.test('with IMMED it goes on after the command, and keeps others out until it ends', async (t) => {
  const rig = rigOf()
  rig.unit.content.fill('a')
  rig.slow.hold()
  t.equal(await rig.outcome('48 82 0000000000 0000 00'), 'GOOD')
  for (const cdb of [
    testUnitReady,
    read10,
    write10,
    '1b 00 00 00 01 00',
    '1a 08 0a 00 ff 00',
    blockErase,
    exitFailureMode,
    '25 00 00000000 0000 00 00',
  ])
    t.equal(await rig.outcome(cdb), '02/04/1b', cdb)
  for (const cdb of [
    '12 00 00 00ff 00',
    'a0 00 00 000000 00000100 00 00',
    'a3 0c 00 00 0000 00000004 00 00',
    'a3 0a 00000000 000000ff 00 00',
  ])
    t.equal(await rig.outcome(cdb), 'GOOD', cdb)
  const sense = await rig.dataOf(requestSense)
  t.equal(sense.subarray(2, 16).toString('hex'), '02000000000a00000000041b0080', 'SKSV')
  t.equal(sense.readUInt16BE(16), 0, 'nothing done yet')
  rig.server.reset(rig.nexus, { kind: 'target' })
  t.equal(await rig.outcome(testUnitReady), '06/29/02')
  t.equal(await rig.outcome(testUnitReady), '02/04/1b', 'a reset does not end it')
  rig.slow.go()
  while ((await rig.outcome(testUnitReady)) !== 'GOOD') await turn()
  t.ok(rig.unit.content.every((byte) => byte === 0))
})

t.test('progress grows', async (t) => {
  const rig = rigOf({ blocks: 2048 * 4 })
  rig.unit.content.fill('a')
  const seen: number[] = []
  const write = rig.slow.write.bind(rig.slow)
  rig.slow.write = async (task, lba, data, options) => {
    seen.push((await rig.dataOf(requestSense)).readUInt16BE(16))
    return write(task, lba, data, options)
  }
  const list = overwriteList(2, Buffer.from([1]))
  t.equal(await rig.outcome(overwriteCdb(list.length), { data: [list] }), 'GOOD')
  const wanted = Array.from({ length: 8 }, (_, i) => Math.floor((i / 8) * 0xffff))
  t.strictSame(seen, wanted)
})

t.test('it waits for commands that were under way when it came', async (t) => {
  const rig = rigOf()
  rig.slow.hold()
  const writing = rig.outcome(write10, { data: [Buffer.alloc(512, 'b')] })
  await turn()
  const erased = rig.outcome(blockErase)
  await turn()
  t.equal(rig.slow.writes, 1, 'nothing is erased before')
  t.equal(await rig.outcome(read10), '02/04/1b')
  rig.slow.go()
  t.equal(await writing, 'GOOD')
  t.equal(await erased, 'GOOD')
  t.ok(
    rig.unit.content.every((byte) => byte === 0),
    'and it went over what was written',
  )
})

t.test('a failed one leaves the unit unusable, until another succeeds', async (t) => {
  const rig = rigOf()
  rig.unit.content.fill('a')
  rig.unit.failNext = writeError
  t.equal(await rig.outcome(blockErase), '03/31/03')
  for (const cdb of [testUnitReady, read10, write10]) t.equal(await rig.outcome(cdb), '03/31/03')
  t.equal(describe(rig.arrive(exitFailureMode)), 'undefined')
  t.equal(await rig.outcome(exitFailureMode), '05/24/00', 'AUSE was 0')
  t.equal(await rig.outcome(blockErase), 'GOOD')
  t.equal(await rig.outcome(read10), 'GOOD')
  t.equal(await rig.outcome(exitFailureMode), 'GOOD', 'there is none to leave')
})

t.test('with AUSE a failure may be left as it is', async (t) => {
  const rig = rigOf()
  rig.unit.content.fill('a')
  const list = overwriteList(1, Buffer.from([1]))
  rig.unit.failNext = writeError
  t.equal(await rig.outcome(overwriteCdb(list.length, 0x20), { data: [list] }), '03/31/03')
  t.equal(await rig.outcome(read10), '03/31/03')
  t.equal(await rig.outcome(exitFailureMode), 'GOOD')
  t.equal(await rig.outcome(read10), 'GOOD')
})

t.test('it stops with its program, at the next piece', async (t) => {
  const rig = rigOf({ blocks: 2048 * 4 })
  rig.unit.content.fill('a')
  rig.slow.hold()
  t.equal(await rig.outcome('48 82 0000000000 0000 00'), 'GOOD')
  await turn()
  const stopped = rig.server.stop()
  rig.slow.go()
  await stopped
  t.equal(rig.slow.writes, 1)
  t.equal(await rig.outcome(read10), '02/04/1b')
  t.equal(await rig.outcome(blockErase), '02/04/1b', 'nor does another begin')
  t.equal(rig.slow.writes, 1)
  await new ScsiRig(new MemoryUnit()).server.stop()
})

t.test('units where nothing can be set have no SANITIZE', async (t) => {
  const rig = new ScsiRig()
  t.equal(await rig.outcome(blockErase), '05/20/00')
  t.equal(await rig.outcome(overwriteCdb(5), { data: [hex('01 00 0001 00')] }), '05/20/00')
})

t.test('it leaves the speed of the disk to others', async (t) => {
  const clock = new ManualClock()
  const pacer = new Pacer(clock, 1000)
  await pacer.moved(0)
  let moved = false
  const second = pacer.moved(500).then(() => {
    moved = true
  })
  await clock.advance(499)
  await turn()
  t.equal(moved, false)
  await clock.advance(1)
  await second
  await clock.advance(2000)
  await pacer.moved(2000)
  const unpaced = new Pacer(undefined, 1)
  await unpaced.moved(1e9)
})

t.test('an abort ends the command and not the operation', async (t) => {
  const rig = rigOf()
  rig.unit.content.fill('a')
  rig.slow.hold()
  let abort = (): void => undefined
  const used: unknown[] = []
  const write = rig.slow.write.bind(rig.slow)
  rig.slow.write = (task, lba, data, options) => {
    used.push(task)
    return write(task, lba, data, options)
  }
  const detached = rig.task(blockErase)
  const task = {
    ...rig.task(blockErase),
    detached: () => detached,
    whenAborted: (run: () => void) => {
      abort = run
    },
  }
  t.equal(rig.server.arrive(task), undefined)
  const answer = rig.server.execute(task, [])
  abort()
  t.strictSame(await answer, { status: 0x40 })
  t.equal(await rig.outcome(testUnitReady), '02/04/1b')
  rig.slow.go()
  while ((await rig.outcome(testUnitReady)) !== 'GOOD') await turn()
  t.ok(rig.unit.content.every((byte) => byte === 0))
  t.ok(used.every((each) => each === detached))
})

t.test('while the unit cannot serve it waits, and it goes on after', async (t) => {
  const clock = new ManualClock()
  const unit = new SlowUnit({ blocks: 3000 }, new MemoryUnitSettings())
  const rig = new ScsiRig(unit, clock)
  unit.content.fill('a')
  const answers: ScsiResult[] = [
    { status: 0x08 },
    { status: 0x02, sense: { key: 2, asc: 4, ascq: 0 } },
    { status: 0x28 },
  ]
  const write = unit.write.bind(unit)
  unit.write = async (...call) => answers.shift() ?? write(...call)
  const erased = rig.outcome(blockErase)
  for (const left of [2, 1, 0]) {
    await clock.advance(0)
    t.equal(answers.length, left)
    t.equal(await rig.outcome(testUnitReady), '02/04/1b')
    await clock.advance(500)
  }
  let ended = false
  const end = erased.then((outcome) => {
    ended = true
    return outcome
  })
  while (!ended) await clock.advance(500)
  t.equal(await end, 'GOOD')
  t.ok(unit.content.every((byte) => byte === 0))
})

t.test('it is under way, and has failed, at every target of the unit', async (t) => {
  const { one, other } = twoRigs()
  one.slow.hold()
  t.equal(await one.outcome('48 82 0000000000 0000 00'), 'GOOD')
  t.equal(await other.outcome(read10), '02/04/1b')
  t.equal(await other.outcome(blockErase), '02/04/1b')
  t.equal(await other.outcome(exitFailureMode), '02/04/1b')
  one.slow.failNext = writeError
  one.slow.go()
  while ((await one.outcome(read10)) === '02/04/1b') await turn()
  for (const rig of [one, other]) t.equal(await rig.outcome(read10), '03/31/03')
  t.equal(await other.outcome(exitFailureMode), '05/24/00', 'AUSE was 0')
  const list = overwriteList(1, Buffer.from([1]))
  other.slow.failNext = writeError
  t.equal(await other.outcome(overwriteCdb(list.length, 0x20), { data: [list] }), '03/31/03')
  t.equal(await one.outcome(read10), '03/31/03')
  t.equal(await one.outcome(exitFailureMode), 'GOOD')
  t.equal(await other.outcome(read10), 'GOOD')
})

t.test('what another took over is written by it alone, from where it was', async (t) => {
  const { shared, one, other } = twoRigs({ blocks: 2048 * 4 })
  one.slow.hold()
  const answer = one.outcome(blockErase)
  await turn()
  t.equal(one.slow.writes, 1)
  const { owner } = recordOf(shared)
  await other.server.resumeSanitize(other.task(blockErase), 'nobody')
  t.equal(recordOf(shared).owner, owner, 'of somebody else')
  await other.server.resumeSanitize(other.task(blockErase), owner ?? '')
  t.equal(other.slow.writes, 4)
  one.slow.go()
  t.equal(await answer, '0b/2e/02', 'it does not know')
  t.equal(one.slow.writes, 1)
  for (const rig of [one, other]) t.equal(await rig.outcome(read10), 'GOOD')
  await other.server.resumeSanitize(other.task(blockErase), owner ?? '')
  t.equal(other.slow.writes, 4, 'there is none any more')
})

t.test('how far it came is recorded now and then, after a flush', async (t) => {
  const clock = new ManualClock()
  const { shared, one, other } = twoRigs({ clock, blocks: 2048 * 40 })
  const write = one.slow.write.bind(one.slow)
  one.slow.write = async (...call) => {
    await new Promise<void>((resolve) => {
      clock.after(1_000, resolve)
    })
    return write(...call)
  }
  t.equal(await one.outcome('48 82 0000000000 0000 00'), 'GOOD')
  while ((recordOf(shared).nextLba ?? 0) === 0) await clock.advance(500)
  t.equal(recordOf(shared).nextLba, 2048 * 10)
  t.equal(one.slow.calls.at(-1), 'flush')
  const sense = await other.dataOf(requestSense)
  t.equal(sense.readUInt16BE(16), 0x3fff)
  one.slow.flush = () => Promise.resolve(writeError)
  while (recordOf(shared).owner !== undefined) await clock.advance(500)
  t.equal(await other.outcome(read10), '03/31/03', 'what was lost is not recorded as done')
})
