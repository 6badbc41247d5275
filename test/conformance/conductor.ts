/**
 * Carries out a run of the suite against a subject: every suite in a process of its own, on one of
 * a few equal disks, so that as many suites run side by side as there are disks. Owns the disks.
 */
import { listSuites, runSuite, type SuiteTest } from '../support/iscsi-test-cu.ts'
import type { Paths, Subject } from './disk.ts'
import type { Run } from './runs.ts'

export interface RunResult {
  readonly subject: Subject
  readonly run: Run
  /** In the order in which the tool lists them. */
  readonly tests: readonly SuiteTest[]
}

export interface ConductOptions {
  readonly lanes: number
  /** Only these suites of the run; all without. */
  readonly suites?: ReadonlySet<string>
  /** Called with the portals before anything is sent there. */
  readonly listening?: (portals: readonly string[]) => Promise<void>
}

/**
 * MultipathIO.CompareAndWrite writes zeros to 256 blocks and then tries 257: it takes for granted that
 * nobody has written the last. So this suite gets a fresh disk.
 */
const firstSuite = 'MultipathIO'

interface Job {
  readonly suite: string
  readonly tests: readonly string[]
}

export async function conduct(
  subject: Subject,
  run: Run,
  options: ConductOptions,
): Promise<RunResult> {
  const jobs: Job[] = []
  for (const [suite, tests] of await listSuites()) {
    const wanted = options.suites?.has(suite) ?? true
    if (run.includes(suite) && wanted) jobs.push({ suite, tests })
  }
  const results = jobs.map((): SuiteTest[] => [])
  const disks = await subject.start(run, Math.min(options.lanes, Math.max(1, jobs.length)))
  try {
    await options.listening?.(disks.portals)
    const isFirst = ([, { suite }]: [number, Job]): number => Number(suite === firstSuite)
    const queue = [...jobs.entries()].sort((left, right) => isFirst(right) - isFirst(left)).values()
    await Promise.all(disks.paths.map((paths) => lane(queue, results, { paths, run })))
  } finally {
    await disks.stop()
  }
  return { subject, run, tests: results.flat() }
}

interface LaneContext {
  readonly paths: Paths
  readonly run: Run
}

async function lane(
  queue: Iterator<[number, Job]>,
  results: SuiteTest[][],
  { paths, run }: LaneContext,
): Promise<void> {
  for (let next = queue.next(); next.done !== true; next = queue.next()) {
    const [index, { suite, tests }] = next.value
    const { allowSanitize, suiteTimeoutMs: timeoutMs } = run
    const limits = timeoutMs === undefined ? { allowSanitize } : { allowSanitize, timeoutMs }
    results[index] = await runSuite(suite, tests, paths, limits)
  }
}
