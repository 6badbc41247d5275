/**
 * The conformance suite of libiscsi, one process for each suite, because some of its tests leave
 * their context unusable. What the tool lists is compared with what it ran: a test that never came to
 * a verdict has failed, be it that the tool died, hung, or went another way. CUnit reports a skipped
 * test as passed; here it counts as skipped.
 */
import { run } from './palisade-process.ts'

export interface SuiteTest {
  /** `Suite.Test`. */
  readonly name: string
  readonly outcome: 'passed' | 'failed' | 'skipped'
  /** Why it did not pass, in one line; empty where it did. */
  readonly reason: string
  /** What the test said; the last part of it where it said much. */
  readonly text: string
}

export interface SuiteOptions {
  readonly timeoutMs?: number
  readonly allowSanitize?: boolean
}

/**
 * Suites whose tests leave behind what the next must not find, so that each has a process of its own:
 * those of iSCSITMF destroy the session, and Sanitize.Reservations leaves a RESERVE with the session
 * of the second path, which refuses all that Sanitize.Reset sends over the first.
 */
const untidySuites: ReadonlySet<string> = new Set(['iSCSITMF', 'Sanitize'])

/**
 * Tests that a process can pass only the second time. LUNResetSimpleAsync asserts that a static flag
 * is set, right after it has queued its request; only the callback sets it, and the callback cannot
 * have been called before the socket was served. The first time it therefore fails against every
 * target; the second time, in the same process and with a new session, the flag is left over from the
 * first. (After another test of its suite it passes without doing anything: there is no session.)
 */
const secondTimeTests: ReadonlySet<string> = new Set(['iSCSITMF.LUNResetSimpleAsync'])

const longestTextChars = 3_000
const defaultTimeoutMs = 120_000
const notReached = 'the tool ended before it came to a verdict'

/** Each suite of family ALL with its tests, as the installed tool lists them. */
export async function listSuites(): Promise<ReadonlyMap<string, readonly string[]>> {
  const { stdout, stderr } = await run('iscsi-test-cu', ['-l'])
  const suites = new Map<string, string[]>()
  for (const match of stdout.matchAll(/^ALL\.([^.\s]+)\.(\S+)$/gm)) {
    const [, suite = '', test = ''] = match
    const tests = suites.get(suite) ?? []
    suites.set(suite, [...tests, test])
  }
  if (suites.size === 0) throw new Error(`iscsi-test-cu lists no tests:\n${stdout}${stderr}`)
  return suites
}

/** Runs the `tests` of a suite against one or two paths: one outcome for each, in their order. */
export async function runSuite(
  suite: string,
  tests: readonly string[],
  urls: readonly string[],
  options: SuiteOptions = {},
): Promise<SuiteTest[]> {
  if (!untidySuites.has(suite)) return runTests(suite, tests, urls, options)
  const found: SuiteTest[] = []
  for (const test of tests) {
    found.push(...(await runTests(`${suite}.${test}`, [test], urls, options)))
  }
  return found
}

async function runTests(
  selection: string,
  tests: readonly string[],
  urls: readonly string[],
  options: SuiteOptions,
): Promise<SuiteTest[]> {
  const flags = ['-d', '-V', ...(options.allowSanitize === true ? ['-S'] : [])]
  const timeoutMs = options.timeoutMs ?? defaultTimeoutMs
  const twice = secondTimeTests.has(selection) ? `,iSCSI.${selection}` : ''
  const args = [...flags, '-t', `ALL.${selection}${twice}`, ...urls]
  const { code, stdout, stderr } = await run('iscsi-test-cu', args, { timeoutMs })
  const suite = /^[^.]+/.exec(selection)?.[0] ?? selection
  const said = `exit ${code}\n${stdout.slice(-longestTextChars)}${stderr.slice(-longestTextChars)}`
  return accountFor(
    tests.map((test) => `${suite}.${test}`),
    parseSuite(stdout),
    said,
  )
}

/** One outcome for each expected test, the last where there are more; none: it has failed. */
export function accountFor(
  expected: readonly string[],
  told: readonly SuiteTest[],
  said: string,
): SuiteTest[] {
  return expected.map((name) => {
    const found = told.findLast((test) => test.name === name)
    return found ?? { name, outcome: 'failed', reason: notReached, text: said }
  })
}

/** Reads what `iscsi-test-cu -V` printed. */
export function parseSuite(stdout: string): SuiteTest[] {
  const tests: SuiteTest[] = []
  for (const part of stdout.split(/^Suite: /m).slice(1)) {
    const suite = /^\S+/.exec(part)?.[0] ?? ''
    for (const body of part.split(/^ {2}Test: /m).slice(1)) tests.push(parseTest(suite, body))
  }
  return tests
}

/**
 * The verdict stands at the beginning of a line, or right after the name of a test that said
 * nothing. What follows `passed` belongs to the end of the suite, where the tool skips things too.
 */
function parseTest(suite: string, body: string): SuiteTest {
  const [, title = body.slice(0, 30), rest = ''] = /^(\S+) \.\.\.([\s\S]*)$/.exec(body) ?? []
  const name = `${suite}.${title}`
  const verdict = /^(passed|FAILED)/m.exec(rest)
  if (verdict === null) {
    const text = rest.slice(-longestTextChars)
    return { name, outcome: 'failed', reason: notReached, text }
  }
  const own = rest.slice(0, verdict.index)
  if (verdict[0] === 'FAILED') {
    const faults = rest.slice(verdict.index)
    const reason = /^ *\d+\. +(.*)$/m.exec(faults)?.[1] ?? lastFault(own)
    const text = own.slice(-longestTextChars) + faults.slice(0, longestTextChars)
    return { name, outcome: 'failed', reason: squeeze(reason), text }
  }
  const skipped = /\[SKIPPED\] *(.*)/.exec(own)?.[1]
  const text = own.slice(-longestTextChars)
  if (skipped !== undefined) return { name, outcome: 'skipped', reason: squeeze(skipped), text }
  return { name, outcome: 'passed', reason: '', text }
}

function lastFault(text: string): string {
  return text.match(/\[FAILED\].*/g)?.at(-1) ?? 'no reason given'
}

/** In one line, without what the end of the suite says on the same one. */
function squeeze(text: string): string {
  return text
    .replace(/ {4}Send .*$/s, '')
    .replaceAll(/\s+/g, ' ')
    .trim()
}
