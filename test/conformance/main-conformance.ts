/**
 * `make conformance`: the whole suite of libiscsi against Palisade and against tgt. Prints the
 * table, keeps the page of results when nothing was left out, and ends with 0 only when Palisade
 * failed and skipped nothing; what tgt does is for comparison.
 *
 * Usage: main-conformance.js [--suite NAME]... [--only SUBJECT]... [--run NAME]... [--lanes N]
 *   [--verbose]
 */
import { writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { run as runProgram } from '../support/palisade-process.ts'
import { conduct, type RunResult } from './conductor.ts'
import type { Subject } from './disk.ts'
import { shimSubject, standaloneSubject } from './palisade-subjects.ts'
import { describeCounts, describeResults, isClean, resultsPage } from './results.ts'
import { runs } from './runs.ts'
import { tgtSubject } from './tgt-subject.ts'

const subjects: readonly Subject[] = [standaloneSubject, shimSubject, tgtSubject]
/** In the source tree, seen from `dist/test/conformance`. */
const pagePath = fileURLToPath(new URL('../../../test/conformance/RESULTS.md', import.meta.url))

function chosen<T extends { readonly name: string }>(
  all: readonly T[],
  names: readonly string[],
): readonly T[] {
  for (const name of names) {
    if (all.some((each) => each.name === name)) continue
    throw new Error(`"${name}" is none of ${all.map((each) => each.name).join(', ')}`)
  }
  return names.length === 0 ? all : all.filter(({ name }) => names.includes(name))
}

async function versionOf(debianPackage: string): Promise<string> {
  const { stdout } = await runProgram('dpkg-query', ['-W', debianPackage])
  return stdout.trim().replaceAll(/\s+/g, ' ')
}

async function keepPage(results: readonly RunResult[]): Promise<void> {
  const versions = {
    tool: await versionOf('libiscsi-bin'),
    tgt: await versionOf('tgt'),
    date: new Date().toISOString().slice(0, 10),
  }
  await writeFile(pagePath, resultsPage(results, versions))
}

function told(result: RunResult, verbose: boolean): void {
  const { subject, run, tests } = result
  console.error(`${subject.name} ${run.name}: ${describeCounts(tests)}`)
  if (!verbose) return
  for (const { name, outcome, text } of tests) {
    if (outcome !== 'passed') console.error(`--- ${name} ${outcome}\n${text}`)
  }
}

const { values } = parseArgs({
  options: {
    suite: { type: 'string', multiple: true, default: [] },
    only: { type: 'string', multiple: true, default: [] },
    run: { type: 'string', multiple: true, default: [] },
    lanes: { type: 'string', default: '2' },
    verbose: { type: 'boolean', default: false },
  },
})

const lanes = Number(values.lanes)
const suites = values.suite.length === 0 ? {} : { suites: new Set(values.suite) }
const results: RunResult[] = []
for (const run of chosen(runs, values.run)) {
  for (const subject of chosen(subjects, values.only)) {
    const result = await conduct(subject, run, { lanes, ...suites })
    told(result, values.verbose)
    if (result.tests.length > 0) results.push(result)
  }
}
console.log(`passed / failed / skipped\n\n${describeResults(results)}`)
const complete = [values.suite, values.only, values.run].every((names) => names.length === 0)
if (complete) await keepPage(results)
const ours = results.filter(({ subject }) => subject !== tgtSubject)
process.exitCode = results.length > 0 && ours.every(({ tests }) => isClean(tests)) ? 0 : 1
