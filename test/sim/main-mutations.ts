/**
 * Runs the simulator against each mutation of the program until it notices, and prints the table.
 * Options: --dist (the compiled program; default the one that this file is in), --seeds (the most
 * for one mutation), --theme-seeds (of the schedule that aims at the guard, before the others),
 * --theme-only (none but these, and --seeds of them), --as-drawn (the seeds that `make sim` would
 * run, of them those first that draw the schedule), --seed (the first), --only (part of a guard's
 * name), --jobs, --table (single or mirrors), --dry (no seeds: is every guard where the table says
 * it is?), --report (a file that gets the outcomes).
 */
import { spawn } from 'node:child_process'
import { link, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import type { Edit, Mutation } from './mutations/mutation.ts'
import { mutations } from './mutations.ts'

const tableHead = `Each guard, taken out of a copy of the program: what the simulator said. Written by main-mutations.ts.

| Cluster | Guard | Outcome |
|---|---|---|
`
const here = dirname(fileURLToPath(import.meta.url))
const { values } = parseArgs({
  options: {
    dist: { type: 'string', default: join(here, '..', '..') },
    seeds: { type: 'string', default: '1000' },
    'theme-seeds': { type: 'string', default: '20' },
    seed: { type: 'string', default: '1' },
    only: { type: 'string', default: '' },
    jobs: { type: 'string', default: '2' },
    table: { type: 'string', default: 'all' },
    dry: { type: 'boolean', default: false },
    'as-drawn': { type: 'boolean', default: false },
    'theme-only': { type: 'boolean', default: false },
    report: { type: 'string', default: '' },
  },
})

interface Found {
  readonly seed: number
  readonly by: string
  readonly what: string
}

/** A copy of the program without the guard; throws where the guard is not found. */
async function mutant({ guard, file, before, after, more = [] }: Mutation): Promise<string> {
  const edits = [{ file, before, after }, ...more]
  const edited = new Map<string, string>()
  for (const edit of edits) {
    const text = edited.get(edit.file) ?? (await readFile(join(values.dist, edit.file), 'utf8'))
    edited.set(edit.file, withEdit(text, edit, guard))
  }
  const directory = await mkdtemp(join(dirname(values.dist), 'dist-mutant-'))
  for (const part of ['src', 'targets', 'initiator-shim', 'test/sim', 'test/support']) {
    await linkAll(part, directory)
  }
  for (const [name, text] of edited) {
    await rm(join(directory, name))
    await writeFile(join(directory, name), text)
  }
  return directory
}

function withEdit(text: string, { file, before, after }: Edit, guard: string): string {
  const parts = text.split(before)
  if (parts.length === 2) return parts.join(after)
  throw new Error(`"${guard}": found ${parts.length - 1} times in ${file}`)
}

/** The same files under other names: what is the same in all mutants is there once. */
async function linkAll(part: string, directory: string): Promise<void> {
  await mkdir(join(directory, part), { recursive: true })
  for (const entry of await readdir(join(values.dist, part), { withFileTypes: true })) {
    const name = join(part, entry.name)
    if (entry.isDirectory()) await linkAll(name, directory)
    else if (name.endsWith('.js')) await link(join(values.dist, name), join(directory, name))
  }
}

async function hunt(mutation: Mutation): Promise<Found | undefined> {
  const directory = await mutant(mutation)
  try {
    if (values.dry) return { seed: 0, by: 'dry', what: 'the guard is there' }
    const { theme, mirrors = false } = mutation
    const all = `--seeds=${values.seeds}`
    const asDrawn = values['as-drawn']
    if (theme !== undefined) {
      const own = asDrawn ? [all, '--drawn'] : [`--seeds=${themeSeeds}`]
      const found = await seek(directory, [...own, '--theme', theme])
      if (found !== undefined) return { ...found, by: `theme ${theme}, ${found.by}` }
      if (values['theme-only']) return undefined
    }
    return await seek(directory, asDrawn ? [all] : [all, mirrors ? '--mirrors' : '--single'])
  } finally {
    await rm(directory, { recursive: true })
  }
}

async function seek(directory: string, more: readonly string[]): Promise<Found | undefined> {
  const args = [join(directory, 'test/sim/main-sim.js'), '--seed', values.seed, '--brief']
  const child = spawn(process.execPath, [...args, ...more])
  let said = ''
  child.stdout.on('data', (chunk: Buffer) => {
    said += chunk.toString()
  })
  child.stderr.on('data', (chunk: Buffer) => {
    said += chunk.toString()
  })
  const code = await new Promise((resolve) => child.once('close', resolve))
  const found = /^seed (\d+): at \d+ ms \(([^)]*)\) (.*)$/m.exec(said)
  if (found !== null) {
    const [, seed = '', by = '', what = ''] = found
    return { seed: Number(seed), by, what }
  }
  if (code === 0) return undefined
  throw new Error(`the simulator does not run: ${said.slice(-500)}`)
}

/** The table of what was found, with this run's rows in the place of older ones of the same guards. */
async function report(guard: string, mirrors: boolean, outcome: string): Promise<void> {
  if (values.report === '' || values.dry) return
  const known = await readFile(values.report, 'utf8').catch(() => tableHead)
  const start = `| ${mirrors ? 'copies' : 'single'} | ${guard} |`
  const rows = known
    .split('\n')
    .filter((line) => line.startsWith('| ') && !tableHead.includes(line) && !line.startsWith(start))
  const text = outcome.replaceAll('|', '/')
  await writeFile(values.report, `${tableHead}${[...rows, `${start} ${text} |`].join('\n')}\n`)
}

const wanted = mutations.filter(({ guard, mirrors = false }) => {
  const inTable = values.table === 'all' || (values.table === 'mirrors') === mirrors
  return inTable && guard.includes(values.only)
})
const themeSeeds = values['theme-only'] ? values.seeds : values['theme-seeds']
const queue = [...wanted]
let missed = 0

function seedsTried({ theme }: Mutation): string {
  const { seeds } = values
  if (theme === undefined) return `${seeds} seeds`
  const aimed = values['as-drawn']
    ? `those of ${seeds} seeds that draw theme ${theme}`
    : `${themeSeeds} seeds of theme ${theme}`
  return values['theme-only'] ? aimed : `${aimed} and ${seeds} others`
}

async function work(): Promise<void> {
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    const startMs = performance.now()
    const found = await hunt(next).catch((error: unknown) => {
      return { seed: 0, by: 'not made', what: String(error) }
    })
    const seconds = ((performance.now() - startMs) / 1_000).toFixed(0)
    if (found === undefined || found.by === 'not made') missed++
    const text =
      found === undefined
        ? `not found in ${seedsTried(next)}`
        : `seed ${found.seed}, ${found.by}: ${found.what.slice(0, 110)}`
    await report(next.guard, next.mirrors === true, text)
    console.log(`${next.guard.padEnd(68)} | ${text} | ${seconds} s`)
  }
}

await Promise.all(Array.from({ length: Number(values.jobs) }, work))
console.log(`${wanted.length - missed} of ${wanted.length} mutations found`)
process.exitCode = missed > 0 ? 1 : 0
