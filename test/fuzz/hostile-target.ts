/**
 * The other direction: our initiator role against a target that says what a case wants it to say.
 * Whatever that is, every command must come to an end, and so must the session.
 */
import fc from 'fast-check'
import { encodeFrame } from '../../src/iscsi/encode-frame.ts'
import { type Frame, Framer } from '../../src/iscsi/framer.ts'
import { pdus } from '../../src/iscsi/pdu/directory.ts'
import { type LoginResponse, loginResponse } from '../../src/iscsi/pdu/login-response.ts'
import { Opcode } from '../../src/iscsi/pdu/opcode.ts'
import { openLeg } from '../../src/leg/open-leg.ts'
import type { ByteStream } from '../../src/ports/network.ts'
import type { Fields, Layout } from '../../src/wire/layout.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { MemoryNetwork } from '../support/memory-network.ts'
import { read10, write10 } from '../support/raw-initiator.ts'
import { seededRandom } from '../support/seeded-random.ts'
import { type Bytes, bytesOf } from './fuzz-case.ts'

export interface Answer {
  readonly header: string
  readonly data?: Bytes
  /** The tag of what it answers, and StatSN, ExpCmdSN and MaxCmdSN as they are due. */
  readonly fits: boolean
  /** In place of the true one. */
  readonly dataSegmentLength?: number
}

export interface HostileCase {
  /** More keys than those that were offered, and fields of the response. */
  readonly login?: { readonly text: string; readonly patch: Partial<LoginResponse> }
  /** One for each PDU that comes, or more where the initiator waits. */
  readonly answers: readonly Answer[]
}

const targetName = 'iqn.2026-11.example:hostile'
const longEnoughSeconds = 30

export async function playHostile(played: HostileCase): Promise<readonly string[]> {
  const network = new MemoryNetwork()
  const clock = new ManualClock()
  const target = new HostileTarget(played)
  const listener = await network.listen('127.0.0.1:0', (stream) => target.accept(stream))
  const initiatorName = 'iqn.2026-11.example:leg'
  const isid = Buffer.from('800000700001', 'hex')
  const { address } = listener
  const opening = openLeg({ network, clock, address, initiatorName, isid, targetName })
  const opened = await inTime(clock, opening)
  if (opened.kind !== 'open') return [opened.kind]
  const { leg } = opened
  const tasks = [
    leg.submit({ lun: 0, cdb: read10(0, 8), dataInBytes: 4096 }),
    leg.submit({ lun: 0, cdb: write10(0, 200), dataOut: [Buffer.alloc(200 * 512)] }),
    leg.submit({ lun: 0, cdb: Buffer.alloc(6) }),
  ]
  const answers = await inTime(clock, Promise.all(tasks.map(({ answer }) => answer)))
  leg.close()
  await inTime(clock, leg.ended)
  await listener.close()
  return answers.map((answer) => (answer.kind === 'status' ? `status ${answer.status}` : 'lost'))
}

/** Rejects when it has not settled long after every deadline of the initiator. */
async function inTime<T>(clock: ManualClock, promise: Promise<T>): Promise<T> {
  let settled = false
  const noted = promise.finally(() => {
    settled = true
  })
  for (let second = 0; !settled && second < longEnoughSeconds; second++) await clock.advance(1_000)
  if (!settled) throw new Error('it never comes to an end')
  return noted
}

class HostileTarget {
  readonly #case: HostileCase
  readonly #framer = new Framer({ maxDataSegmentBytes: () => 2 ** 24 - 1, maxAhsBytes: 1020 })
  #next = 0
  #statSn = 1

  constructor(played: HostileCase) {
    this.#case = played
  }

  accept(stream: ByteStream): void {
    stream.receive({
      data: (chunk) => {
        this.#framer.push(chunk)
        for (let frame = this.#framer.next(); frame; frame = this.#framer.next()) {
          if (frame.kind !== 'frame') return
          this.#answer(stream, frame)
        }
      },
      ended: () => undefined,
    })
  }

  #answer(stream: ByteStream, frame: Frame): void {
    if (frame.opcode === Opcode.LOGIN_REQUEST) {
      this.#login(stream, frame)
      return
    }
    const answer = this.#case.answers[this.#next++]
    if (answer === undefined) return
    const header = Buffer.alloc(48)
    Buffer.from(answer.header, 'hex').copy(header)
    if (answer.fits) {
      frame.header.copy(header, 16, 16, 20)
      this.#number(header)
    }
    const data = answer.data === undefined ? [] : [bytesOf(answer.data)]
    const out = encodeFrame(header, { data })
    if (answer.dataSegmentLength !== undefined) header.writeUIntBE(answer.dataSegmentLength, 5, 3)
    stream.write(out)
  }

  #number(header: Buffer): void {
    const counts = header[0] !== Opcode.READY_TO_TRANSFER && header.readUInt16BE(0) !== 0x2500
    header.writeUInt32BE(counts ? this.#statSn++ : this.#statSn, 24)
    header.writeUInt32BE(2 + this.#next, 28)
    header.writeUInt32BE(66 + this.#next, 32)
  }

  #login(stream: ByteStream, { header: asked, data }: Frame): void {
    const { text = '', patch = {} } = this.#case.login ?? {}
    const header = loginResponse.build({
      transit: true,
      continues: false,
      currentStage: (asked[1]! >> 2) & 3,
      nextStage: asked[1]! & 3,
      versionMax: 0,
      versionActive: 0,
      isid: asked.subarray(8, 14),
      tsih: 1,
      initiatorTaskTag: asked.readUInt32BE(16),
      statSn: this.#statSn++,
      expCmdSn: asked.readUInt32BE(24),
      maxCmdSn: asked.readUInt32BE(24) + 64,
      statusClass: 0,
      statusDetail: 0,
      ...patch,
    })
    const said = agreeing(Buffer.concat(data).toString('latin1')) + text.replaceAll('~', '\0')
    stream.write(encodeFrame(header, { data: [Buffer.from(said, 'latin1')] }))
  }
}

/** Takes what was offered, without digests. */
function agreeing(offered: string): string {
  const answers = offered
    .split('\0')
    .filter((pair) => pair !== '' && !/^[A-Za-z]*(Name|Type|Alias)=|^MaxRecv/.test(pair))
    .map((pair) => pair.replace(/Digest=.*/, 'Digest=None'))
  return [...answers, 'MaxRecvDataSegmentLength=8192', 'TargetPortalGroupTag=1', ''].join('\0')
}

const ofTargets = pdus.filter(({ opcode }) => opcode >= 0x20)

/** Answers that would be right for one of the commands under way, but for one byte at times. */
const plausible: readonly Answer[] = [
  { header: '2180', fits: true },
  { header: '21800002', data: `0012${'700005000000000a00000000240000000000'}`, fits: true },
  { header: '2581', data: { length: 4096, fill: 7 }, fits: true },
  { header: '2500', data: { length: 512, fill: 7 }, fits: true },
  { header: `3180${'0'.repeat(36)}00000007${'0'.repeat(40)}00001000`, fits: true },
  { header: `2080${'0'.repeat(36)}ffffffff`, fits: true },
]

function randomAnswer(seed: number): Answer {
  const random = seededRandom(seed)
  if (random.below(3) > 0) {
    const answer = plausible[random.below(plausible.length)]!
    const header = Buffer.from(answer.header.padEnd(96, '0'), 'hex')
    if (random.below(3) === 0) header[random.below(48)] = random.below(256)
    return { ...answer, header: header.toString('hex') }
  }
  const table = ofTargets[random.below(ofTargets.length)] as unknown as Layout<Fields>
  const header = table.build(table.generate(random) as never)
  // Mostly small numbers, or nothing it says would be believed for long.
  if (random.below(2) === 0) header.fill(0, 36)
  if (random.below(2) === 0) header.writeUInt16BE(0x8000, 1)
  const length = [0, 1, 2, 3, 18, 48, 512, 4096, 8192, 300_000][random.below(10)]!
  return {
    header: header.toString('hex'),
    data: { length, fill: random.below(256) },
    fits: random.below(4) > 0,
    ...(random.below(16) === 0 ? { dataSegmentLength: random.below(2 ** 24) } : {}),
  }
}

const texts = ['', '~', 'a', '=', '__proto__=1~', 'MaxBurstLength=0~', 'ErrorRecoveryLevel=2~']
texts.push('AuthMethod=CHAP~', 'CHAP_A=5~', 'CHAP_I=256~CHAP_C=0x00~', 'TargetAddress=:~')
texts.push(
  `X-${'y'.repeat(300)}=1~`,
  `TargetAlias=${'v'.repeat(9000)}~`,
  'MaxRecvDataSegmentLength=1~',
)

function randomLogin(seed: number): NonNullable<HostileCase['login']> {
  const random = seededRandom(seed)
  const text = texts[random.below(texts.length)]! + texts[random.below(texts.length)]!
  const { transit, continues, nextStage, statusClass, tsih, expCmdSn } =
    loginResponse.generate(random)
  const wrong = [
    { transit },
    { continues },
    { nextStage },
    { statusClass },
    { tsih },
    { expCmdSn },
    {},
  ]
  return { text, patch: wrong[random.below(wrong.length)]! }
}

const seeds = fc.noShrink(fc.noBias(fc.integer({ min: 0, max: 0xffff_ffff })))

export const hostileCases: fc.Arbitrary<HostileCase> = fc
  .record({
    login: fc.option(seeds.map(randomLogin), { freq: 1 }),
    answers: fc.array(seeds.map(randomAnswer), { minLength: 1, maxLength: 12, size: 'max' }),
  })
  .map(({ login, answers }) => ({ ...(login === null ? {} : { login }), answers }))

const response = (rest: string): string => `2180${rest}`.padEnd(96, '0')

/** Faults of other initiators. */
export const hostileCorpus: readonly (readonly [id: string, what: string, played: HostileCase])[] =
  [
    [
      'CVE-2026-74556',
      'a response longer than was agreed',
      { answers: [{ header: response(''), data: { length: 9_000, fill: 0 }, fits: true }] },
    ],
    [
      'CVE-2026-74557',
      'sense data whose length is two more than there is',
      { answers: [{ header: response('0002'), data: `0014${'70'.padEnd(36, '0')}`, fits: true }] },
    ],
    [
      'CVE-2026-99154',
      'an answer to a tag below zero',
      { answers: [{ header: response(`${'0'.repeat(28)}fffffffe`), fits: false }] },
    ],
    [
      'CVE-2021-27365',
      'names longer than any buffer',
      { login: { text: `TargetAlias=${'v'.repeat(8_000)}~`, patch: {} }, answers: [] },
    ],
    [
      'vscsi.c',
      'a CHECK CONDITION with one byte of data',
      { answers: [{ header: response('0002'), data: '00', fits: true }] },
    ],
    ...[0, 1].map(
      (fill) =>
        [
          'R2T',
          'an R2T for more than the command has',
          {
            answers: Array.from({ length: 8 }, () => ({
              header: `3180${'0'.repeat(76)}${fill}0000000ffffffff`.slice(0, 96),
              fits: true,
            })),
          },
        ] as const,
    ),
  ]
