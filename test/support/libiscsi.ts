/**
 * The programs of libiscsi-bin against a target: discovery, INQUIRY, capacity, and the test suite,
 * one process for each family, because some of its tests leave their context unusable. A test that
 * the suite skipped counts as skipped, never as passed (CUnit reports it as passed).
 */
import { run } from './palisade-process.ts'

export async function iscsiLs(portal: string): Promise<string> {
  return expectSuccess(await run('iscsi-ls', ['-s', `iscsi://${portal}`]), 'iscsi-ls')
}

export async function iscsiInq(url: string, page?: number): Promise<string> {
  const args = page === undefined ? [url] : ['-e', '1', '-c', String(page), url]
  return expectSuccess(await run('iscsi-inq', args), 'iscsi-inq')
}

export async function iscsiReadCapacity16(url: string): Promise<string> {
  return expectSuccess(await run('iscsi-readcapacity16', [url]), 'iscsi-readcapacity16')
}

function expectSuccess(
  result: { code: number; stdout: string; stderr: string },
  who: string,
): string {
  if (result.code === 0) return result.stdout
  throw new Error(`${who} ended with ${result.code}: ${result.stdout}${result.stderr}`)
}

export interface SuiteTest {
  /** `Family.Test`. */
  readonly name: string
  readonly outcome: 'passed' | 'failed' | 'skipped'
  /** What the test said; the last part of it where it said much. */
  readonly text: string
}

export interface SuiteRun {
  readonly tests: readonly SuiteTest[]
  readonly passed: number
  readonly failed: number
  readonly skipped: number
  /** True when the program came to its own summary. */
  readonly complete: boolean
  readonly output: string
}

/** Runs one family (`SCSI.Read10`, `iSCSI.iSCSIcmdsn`, `ALL.…`) against one or two paths. */
export async function iscsiTestCu(
  family: string,
  urls: readonly string[],
  options: { readonly timeoutMs?: number; readonly allowSanitize?: boolean } = {},
): Promise<SuiteRun> {
  const args = ['-d', '-V', ...(options.allowSanitize ? ['-S'] : []), '-t', family, ...urls]
  const { stdout, stderr } = await run('iscsi-test-cu', args, {
    timeoutMs: options.timeoutMs ?? 180_000,
  })
  return parseSuite(stdout, stderr)
}

/** Reads what iscsi-test-cu printed. Exported for its own test. */
export function parseSuite(stdout: string, stderr = ''): SuiteRun {
  const tests: SuiteTest[] = []
  for (const part of stdout.split(/^Suite: /m).slice(1)) {
    const suite = /^\S+/.exec(part)?.[0] ?? ''
    for (const body of part.split(/^ {2}Test: /m).slice(1)) tests.push(parseTest(suite, body))
  }
  const count = (outcome: SuiteTest['outcome']): number =>
    tests.filter((test) => test.outcome === outcome).length
  return {
    tests,
    passed: count('passed'),
    failed: count('failed'),
    skipped: count('skipped'),
    complete: /Tests completed with return value/.test(stdout),
    output: stdout.slice(-20_000) + stderr.slice(-5_000),
  }
}

function parseTest(suite: string, body: string): SuiteTest {
  const name = `${suite}.${/^(\S+) \.\.\./.exec(body)?.[1] ?? body.slice(0, 30)}`
  const text = body.slice(-3_000)
  // The verdict stands at the beginning of a line; a process that died leaves none: failed.
  const verdict = /^(passed|FAILED)/m.exec(body.replace(/^\S+ \.\.\./, '\n'))?.[1]
  if (verdict !== 'passed') return { name, outcome: 'failed', text }
  return { name, outcome: body.includes('[SKIPPED]') ? 'skipped' : 'passed', text }
}
