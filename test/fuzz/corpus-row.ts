/** What rows of the corpus are made of: the steps that come again and again. */
import {
  type CommandStep,
  type FuzzCase,
  fuzzUser,
  type LoginStep,
  named,
  type PduStep,
  type Step,
} from './fuzz-case.ts'

export interface CorpusRow {
  readonly id: string
  readonly what: string
  readonly played: FuzzCase
  /** Each must be found in what the target said, joined by commas. */
  readonly expects: readonly RegExp[]
}

export function row(
  id: string,
  what: string,
  steps: readonly Step[],
  ...expects: RegExp[]
): CorpusRow {
  return { id, what, played: { patient: true, steps }, expects }
}

export function chapRow(
  id: string,
  what: string,
  steps: readonly Step[],
  ...expects: RegExp[]
): CorpusRow {
  return { id, what, played: { patient: true, chap: true, steps }, expects }
}

export const settle: Step = { kind: 'settle' }
export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

export function command(cdb: string | Buffer, rest: Partial<CommandStep> = {}): CommandStep {
  return { kind: 'command', cdb: typeof cdb === 'string' ? cdb : hex(cdb), ...rest }
}

/** A write whose list is the data: the command and all of it. */
export function listed(
  cdb: string | Buffer,
  list: Buffer,
  rest: Partial<CommandStep> = {},
): CommandStep {
  return command(cdb, { data: hex(list), immediateBytes: list.length, ...rest })
}

export function pdu(header: string, rest: Partial<PduStep> = {}): PduStep {
  return { kind: 'pdu', header, inSequence: true, ...rest }
}

export const testUnitReady = command('000000000000')
export const read1 = command('28000000000000000100', { readBytes: 512 })
export const write8 = command('2a000000000000000800', { data: { length: 4096, fill: 7 } })
export const withdrawn: CommandStep = { ...write8, answers: false }
export const again = (former: 'stays' | 'cut'): Step => ({ kind: 'connect', former })

export const { user } = fuzzUser
export const chapOffer: LoginStep = { ...named('AuthMethod=CHAP~', [0, 0]), transit: false }
export const chapAlgorithm: LoginStep = {
  kind: 'login',
  text: 'CHAP_A=5~',
  stages: [0, 0],
  transit: false,
}
/** The answer to a challenge; `more` is what makes it special. */
export function chapAnswer(response: string, more = ''): LoginStep {
  return { kind: 'login', text: `CHAP_N=${user}~CHAP_R=${response}~${more}`, stages: [0, 1] }
}
export const toChallenge = [chapOffer, chapAlgorithm]
export const zeros16 = `0x${'00'.repeat(16)}`
