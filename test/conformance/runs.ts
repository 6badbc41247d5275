/**
 * The runs of the conformance suite: which disk each needs, how the initiator proves who it is, and
 * which suites make sense there. Together they let every test of the tool run where it can: only a
 * write-protected disk lets ReadOnly run, and only `-S` lets Sanitize run.
 */

export interface Run {
  readonly name: string
  readonly title: string
  readonly readOnly: boolean
  readonly diskMib: number
  /** Logical block size; 512 without. */
  readonly blockBytes?: number
  /** CHAP user name; without it no authentication is configured. */
  readonly chapUser?: string
  readonly allowSanitize: boolean
  /** How long a suite may take, where the usual time is too short. */
  readonly suiteTimeoutMs?: number
  /** Whether a suite belongs to this run. */
  includes(suite: string): boolean
}

/** Suites that only look: what a write-protected disk must answer like any other. */
const lookingSuites = new Set([
  'Inquiry',
  'PrinReadKeys',
  'PrinServiceactionRange',
  'PrinReportCapabilities',
  'Read6',
  'Read10',
  'Read12',
  'Read16',
  'ReadCapacity10',
  'ReadCapacity16',
  'ReadDefectData10',
  'ReadDefectData12',
  'ReadOnly',
  'TestUnitReady',
])

const ordinary = (suite: string): boolean => suite !== 'ReadOnly' && suite !== 'Sanitize'

export const runs: readonly Run[] = [
  {
    name: 'normal',
    title: 'normal LUN',
    readOnly: false,
    diskMib: 64,
    allowSanitize: false,
    includes: ordinary,
  },
  {
    name: 'sanitize',
    title: 'SANITIZE allowed (`-S`)',
    readOnly: false,
    // Sanitize.Reset wants the operation to be under way still after 4 s and some resets.
    diskMib: 1024,
    suiteTimeoutMs: 600_000,
    allowSanitize: true,
    includes: (suite) => suite === 'Sanitize',
  },
  {
    name: 'read-only',
    title: 'write-protected LUN',
    readOnly: true,
    diskMib: 64,
    allowSanitize: false,
    includes: (suite) => lookingSuites.has(suite),
  },
  {
    name: '4k',
    title: '4096-byte blocks (GetLBAStatus)',
    readOnly: false,
    diskMib: 64,
    blockBytes: 4096,
    allowSanitize: false,
    includes: (suite) => suite === 'GetLBAStatus',
  },
  {
    name: 'chap-0x',
    title: 'CHAP user `0xfeed`',
    readOnly: false,
    diskMib: 64,
    chapUser: '0xfeed',
    allowSanitize: false,
    includes: ordinary,
  },
  {
    name: 'chap-0b',
    title: 'CHAP user `0bFEED`',
    readOnly: false,
    diskMib: 64,
    chapUser: '0bFEED',
    allowSanitize: false,
    includes: ordinary,
  },
]

/** Long enough for everybody's rules; it protects nothing. */
export const chapSecret = 'conformance-1234'
