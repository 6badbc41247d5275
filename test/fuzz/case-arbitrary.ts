/**
 * Cases by chance, made from the tables that the target itself is made from: every PDU, every
 * command of the table, every key; right for the most part, and wrong in one place or another. Each
 * step is drawn by its own seed, so that a failing case shrinks to the steps that it takes.
 */
import fc from 'fast-check'
import { pdus } from '../../src/iscsi/pdu/directory.ts'
import type { Random } from '../../src/ports/random.ts'
import { commandTable } from '../../src/scsi/command-table.ts'
import type { Fields, Layout } from '../../src/wire/layout.ts'
import { seededRandom } from '../support/seeded-random.ts'
import {
  type Bytes,
  type CommandStep,
  type FuzzCase,
  fuzzUser,
  type LoginStep,
  login,
  named,
  type Step,
} from './fuzz-case.ts'
import { parameterLists } from './parameter-lists.ts'

const keys = [
  'HeaderDigest=CRC32C',
  'DataDigest=CRC32C,None',
  'MaxConnections=8',
  'InitialR2T=Yes',
  'ImmediateData=No',
  'MaxRecvDataSegmentLength=512',
  'MaxBurstLength=512',
  'FirstBurstLength=512',
  'DefaultTime2Wait=0',
  'DefaultTime2Retain=0',
  'MaxOutstandingR2T=65535',
  'DataPDUInOrder=No',
  'DataSequenceInOrder=No',
  'ErrorRecoveryLevel=2',
  'IFMarker=Yes',
  'X-io.palisade.Generation=1',
  'X-io.palisade.Login=5',
  'AuthMethod=CHAP,None',
  'CHAP_A=7,5',
  `CHAP_N=${fuzzUser.user}`,
  'CHAP_R=0x00',
  'SendTargets=All',
  'TargetAlias=x',
  'InitiatorAlias=y',
]

const pick = <T>(random: Random, from: readonly T[]): T => from[random.below(from.length)]!
const once = (random: Random, of: number): boolean => random.below(of) === 0
const hex = (buffer: Buffer): string => buffer.toString('hex')

/** Numbers at which things break. */
function edge(random: Random, width: number): number {
  const most = 2 ** width - 1
  return pick(random, [
    0,
    1,
    2,
    most,
    most - 1,
    2 ** (width - 1),
    random.below(2 ** Math.min(width, 31)),
  ])
}

function randomBytes(random: Random, most: number): Bytes {
  if (once(random, 3)) return { length: random.below(most + 1), fill: random.below(256) }
  return hex(random.bytes(random.below(Math.min(most, 64) + 1)))
}

/** A key with something in it that is not as it should be. */
function oddKey(random: Random): string {
  const [name = '', value = ''] = pick(random, keys).split('=')
  return pick(random, [
    `${name}=`,
    name,
    `=${value}`,
    `${name}=${value}~${name}=${value}`,
    `${name}=${'9'.repeat(random.below(300))}`,
    `${name}=-1`,
    `${name}=0x${'f'.repeat(random.below(40))}`,
    `${'K'.repeat(60 + random.below(200))}=1`,
    `${name}=${random.bytes(random.below(40)).toString('latin1')}`,
    '__proto__=1',
    'constructor=x',
    `${name}=Reject`,
    `${name}=?`,
    `${name}=NotUnderstood`,
  ])
}

function loginStep(random: Random): LoginStep {
  if (!once(random, 3)) return login(once(random, 2) ? `${pick(random, keys)}~` : '')
  const count = random.below(6)
  const text = Array.from({ length: count }, () =>
    once(random, 2) ? pick(random, keys) : oddKey(random),
  )
  const step = named(`${text.join('~')}~`, [random.below(4), random.below(4)])
  const flags = {
    transit: !once(random, 3),
    continues: once(random, 5),
    tsih: once(random, 8) ? 1 : 0,
  }
  return once(random, 6)
    ? { ...step, ...flags, data: randomBytes(random, 9_000) }
    : { ...step, ...flags }
}

/** A row of the table with random fields; numbers small or at an edge, so that some are right. */
function commandStep(random: Random): CommandStep {
  const { cdb: table, transfer } = pick(random, commandTable)
  const layout = table as unknown as Layout<Fields>
  const fields = randomFields(random, layout)
  const list = listFor(random, layout.build(fields as never))
  if ('parameterListLength' in fields && !once(random, 8)) {
    const bits = largest(layout, 'parameterListLength')
    fields.parameterListLength = Math.min(list?.length ?? random.below(40), bits)
  }
  const cdb = layout.build(fields as never)
  if (once(random, 16)) cdb[random.below(cdb.length)] = random.below(256)
  const { direction, bytes } = transfer(cdb, 512)
  const common = {
    kind: 'command',
    cdb: hex(cdb),
    lun: once(random, 8) ? random.below(4) : 0,
  } as const
  const odd = oddities(random)
  if (direction === 'in') return { ...common, readBytes: Math.min(bytes, 1 << 20), ...odd }
  if (direction === 'none') return { ...common, ...odd }
  const fill = { length: Math.min(bytes, 256 * 1024), fill: random.below(4) }
  const data = list === undefined ? fill : hex(list)
  return { ...common, data, immediateBytes: once(random, 2) ? 65_536 : 0, ...odd }
}

function randomFields(random: Random, layout: Layout<Fields>): Record<string, unknown> {
  const fields: Record<string, unknown> = { ...layout.generate(random) }
  for (const [name, row] of Object.entries(layout.fields)) {
    const value = fields[name]
    if (typeof value === 'boolean' && !once(random, 6)) fields[name] = false
    if (typeof value !== 'number') continue
    const bits = row.kind === 'bits' ? row.high - row.low + 1 : row.size * 8
    if (row.kind === 'bits' || name.endsWith('High')) {
      fields[name] = once(random, 10) ? edge(random, bits) : 0
    } else {
      fields[name] = once(random, 6) ? edge(random, bits) : random.below(Math.min(2 ** bits, 40))
    }
  }
  return fields
}

function largest(layout: Layout<Fields>, name: string): number {
  return 256 ** (layout.fields[name]?.size ?? 1) - 1
}

function oddities(random: Random): Partial<CommandStep> {
  return {
    ...(once(random, 30) ? { cmdSnOff: edge(random, 32) } : {}),
    ...(once(random, 30) ? { tag: edge(random, 32) } : {}),
    ...(once(random, 30) ? { final: false } : {}),
    ...(once(random, 30) ? { immediate: true } : {}),
    ...(once(random, 30) ? { expectedBytes: edge(random, 32) } : {}),
    ...(once(random, 30) ? { answers: false } : {}),
    ...(once(random, 40) ? { ahs: hex(random.bytes(4 * (1 + random.below(8)))) } : {}),
  }
}

/** A list that the command knows, now and then with a byte changed or its end cut off. */
function listFor(random: Random, cdb: Buffer): Buffer | undefined {
  const made = parameterLists.find(({ fits }) => fits(cdb))?.make(random)
  if (made === undefined) return undefined
  if (once(random, 4) && made.length > 0) made[random.below(made.length)] = edge(random, 8)
  return once(random, 8) ? made.subarray(0, random.below(made.length + 1)) : made
}

/** What initiators send; what targets send ends a connection. */
const ours = pdus.filter(({ opcode }) => opcode < 0x20)

function pduStep(random: Random): Step {
  const table = pick(random, once(random, 8) ? pdus : ours) as unknown as Layout<Fields>
  const header = table.build(table.generate(random) as never)
  if (once(random, 3)) header[0]! |= 0x40
  if (once(random, 20)) header[0] = random.below(256)
  // Lengths are those of what follows, unless they are to be wrong.
  header.fill(0, 4, 8)
  if (once(random, 2)) header.writeUInt32BE(1 + random.below(3), 16)
  return {
    kind: 'pdu',
    header: hex(header),
    inSequence: !once(random, 4),
    ...(once(random, 2) ? { data: randomBytes(random, 10_000) } : {}),
    ...(once(random, 10) ? { ahs: hex(random.bytes(4 * random.below(10))) } : {}),
    ...(once(random, 20) ? { dataSegmentLength: edge(random, 24) } : {}),
    ...(once(random, 20) ? { totalAhsLength: edge(random, 8) } : {}),
  }
}

function dataStep(random: Random): Step {
  const given = {
    ...(once(random, 3) ? { tag: random.below(4) } : {}),
    ...(once(random, 3) ? { transferTag: edge(random, 32) } : {}),
  }
  const offset = once(random, 2) ? 0 : edge(random, 32)
  const dataSn = once(random, 2) ? 0 : edge(random, 32)
  return {
    kind: 'data',
    data: randomBytes(random, 70_000),
    offset,
    dataSn,
    final: once(random, 2),
    ...given,
  }
}

/** Commands whose data are wanted, for the data and aborts that come after them. */
function openWrite(random: Random): Step {
  const cdb = Buffer.alloc(16)
  cdb[0] = 0x2a
  cdb[8] = 1 + random.below(200)
  return {
    kind: 'command',
    cdb: hex(cdb),
    data: { length: cdb[8] * 512, fill: 1 },
    answers: false,
    final: once(random, 2),
    immediateBytes: pick(random, [0, 512, 65_536]),
  }
}

function connectStep(random: Random): Step {
  const former = pick(random, ['stays', 'cut', 'ended'] as const)
  return { kind: 'connect', former, joins: once(random, 2) }
}

const steps: readonly [weight: number, make: (random: Random) => Step][] = [
  [24, commandStep],
  [2, pduStep],
  [2, openWrite],
  [3, dataStep],
  [2, (random) => ({ kind: 'manage', function: random.below(10), lun: random.below(3) })],
  [1, loginStep],
  [1, (random) => ({ kind: 'raw', bytes: randomBytes(random, 200) })],
  [1, connectStep],
  [1, () => ({ kind: 'settle' })],
]

/** A smaller seed makes no simpler step: only the number of steps shrinks. */
const seeds = fc.noShrink(fc.noBias(fc.integer({ min: 0, max: 0xffff_ffff })))

const drawn = (make: (random: Random) => Step): fc.Arbitrary<Step> =>
  seeds.map((seed) => make(seededRandom(seed)))

const step = fc.oneof(...steps.map(([weight, make]) => ({ weight, arbitrary: drawn(make) })))

/** How a conversation begins: mostly with a login that succeeds. */
function beginning(phase: number, seed: number): { chap?: true; steps: Step[] } {
  const random = seededRandom(seed)
  if (phase === 0) return { steps: [] }
  if (phase === 1) return { steps: [loginStep(random), loginStep(random)] }
  if (phase === 2) return { chap: true, steps: [chapOffer, loginStep(random)] }
  const recovery = once(random, 3) ? `ErrorRecoveryLevel=${random.below(3)}~MaxConnections=4~` : ''
  return { steps: [login(recovery + (once(random, 2) ? `${pick(random, keys)}~` : ''))] }
}

const chapOffer: Step = { ...named('AuthMethod=CHAP~', [0, 1]), transit: false }
const upTo = (max: number) => fc.noShrink(fc.noBias(fc.integer({ min: 0, max })))

export const fuzzCases: fc.Arbitrary<FuzzCase> = fc
  .record({
    phase: upTo(11),
    seed: seeds,
    chunk: upTo(7),
    patience: upTo(7),
    steps: fc.array(step, { minLength: 1, maxLength: 16, size: 'max' }),
  })
  .map(({ phase, seed, chunk, patience, steps: rest }) => {
    const { chap, steps: first } = beginning(phase, seed)
    return {
      ...(chap === true ? { chap } : {}),
      ...(chunk === 0 ? { chunkBytes: 7 } : {}),
      ...(patience === 0 ? { patient: true } : {}),
      steps: [...first, ...rest],
    }
  })
