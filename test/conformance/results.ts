/**
 * The results of a conformance run as text: a table for the terminal, and the page that is kept in
 * the repository. Both name every test that did not pass, with the reason that the tool gave.
 */
import type { SuiteTest } from '../support/iscsi-test-cu.ts'
import type { RunResult } from './conductor.ts'
import { runs } from './runs.ts'
import { isToolFault, toolFaultLines } from './tool-faults.ts'

export interface Counts {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
  /** Failed, by a fault of the tool: not counted under `failed`. */
  readonly toolFaults: number
}

export function count(tests: readonly SuiteTest[]): Counts {
  const of = (outcome: SuiteTest['outcome']): number =>
    tests.filter((test) => test.outcome === outcome).length
  const toolFaults = tests.filter(isToolFault).length
  return {
    passed: of('passed'),
    failed: of('failed') - toolFaults,
    skipped: of('skipped'),
    toolFaults,
  }
}

/** Nothing failed, nothing was skipped, something passed. */
export function isClean(tests: readonly SuiteTest[]): boolean {
  const { passed, failed, skipped } = count(tests)
  return passed > 0 && failed === 0 && skipped === 0
}

export function describeCounts(tests: readonly SuiteTest[]): string {
  const { passed, failed, skipped, toolFaults } = count(tests)
  const counts = `${passed} / ${failed} / ${skipped}`
  return toolFaults === 0 ? counts : `${counts} (tool: ${toolFaults})`
}

/** One row for each run, one column for each subject, then what did not pass. */
export function describeResults(results: readonly RunResult[]): string {
  return [...table(results), '', ...shortcomings(results)].join('\n').trimEnd()
}

export interface Versions {
  readonly tool: string
  readonly tgt: string
  readonly date: string
}

/** `RESULTS.md`. */
export function resultsPage(results: readonly RunResult[], versions: Versions): string {
  return `${[
    '# Conformance',
    '',
    'What `make conformance` found last: `iscsi-test-cu` of libiscsi, each suite in a process of its',
    'own, over two portals, against Palisade and, in the same go, tgt. All disks are thin and removable.',
    '*Skipped* is what the tool reports as passed although it says that it did not test; a test that',
    'never came to a verdict counts as failed. Together the runs let every test of the tool run:',
    'ReadOnly needs a write-protected disk, Sanitize needs `-S`.',
    '',
    `Run on ${versions.date} with ${versions.tool} and ${versions.tgt}.`,
    '',
    'Each cell: passed / failed / skipped (and, apart, failed by a fault of the tool: see below).',
    '',
    ...table(results),
    '',
    '## Faults of the tool',
    '',
    ...toolFaultLines,
    '',
    '## What did not pass',
    '',
    ...shortcomings(results),
  ]
    .join('\n')
    .trimEnd()}\n`
}

function table(results: readonly RunResult[]): string[] {
  const subjects = [...new Set(results.map(({ subject }) => subject))]
  const rows = runs
    .filter((run) => results.some((result) => result.run === run))
    .map((run) => {
      const cells = subjects.map((subject) => {
        const result = results.find((each) => each.run === run && each.subject === subject)
        return result === undefined ? '' : describeCounts(result.tests)
      })
      return [run.title, ...cells]
    })
  return markdownTable([['run', ...subjects.map(({ title }) => title)], ...rows])
}

function shortcomings(results: readonly RunResult[]): string[] {
  const lines: string[] = []
  for (const { subject, run, tests } of results) {
    const bad = tests.filter(({ outcome }) => outcome !== 'passed')
    if (bad.length === 0) continue
    lines.push(`### ${subject.title}: ${run.title}`, '')
    for (const test of bad) {
      const verdict = isToolFault(test) ? 'failed by a fault of the tool' : test.outcome
      lines.push(`- \`${test.name}\` ${verdict}: ${shortened(test.reason)}`)
    }
    lines.push('')
  }
  return lines.length === 0 ? ['Everything passed.'] : lines
}

const longestReasonChars = 160

function shortened(reason: string): string {
  const plain = reason.replaceAll('`', "'")
  return plain.length <= longestReasonChars ? plain : `${plain.slice(0, longestReasonChars)}…`
}

function markdownTable(rows: readonly (readonly string[])[]): string[] {
  const columns = rows[0]?.length ?? 0
  const widths = Array.from({ length: columns }, (_, column) =>
    Math.max(3, ...rows.map((row) => row[column]?.length ?? 0)),
  )
  const line = (cells: readonly string[]): string =>
    `| ${widths.map((width, column) => (cells[column] ?? '').padEnd(width)).join(' | ')} |`
  const [head = [], ...body] = rows
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...body.map(line)]
}
