/**
 * tgt and a standalone target side by side, each on a file of the same size in the same directory,
 * in alternating rounds on this machine; medians and ratios. Loads of both go through the page
 * cache, and by default the files are in memory, so that no disk's write-back is measured. A ratio
 * is worth more than a figure: the machine is shared with the load itself.
 *
 * Usage: bare-target.js [--rounds N] [--seconds S] [--dir DIR] [--only TEXT] [--json]
 *   [--url NAME=URL]...
 * Further URLs (a volume behind a shim) are measured beside the two, for information.
 */
import { mkdtemp, open, readFile, rm, statfs } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { PalisadeProcess } from '../test/support/palisade-process.ts'
import { startTgt } from '../test/support/tgt-peer.ts'
import { type Load, loads } from './loads.ts'

const diskBytes = 512 * 1024 * 1024

interface Contender {
  readonly name: string
  readonly url: string
  /** Of the process whose processor time is counted, where it is known. */
  readonly pid?: number
}

interface Result {
  readonly perSecond: number
  /** Processor time of the target for one operation; much less disturbed by what else runs. */
  readonly cpuUs: number
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((left, right) => left - right)
  const middle = Math.floor(sorted.length / 2)
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2
}

/** A file system in memory with room for both files, or the usual place. */
async function fastDirectory(): Promise<string> {
  try {
    const { bavail, bsize } = await statfs('/dev/shm')
    return bavail * bsize > 3 * diskBytes ? '/dev/shm' : tmpdir()
  } catch {
    return tmpdir()
  }
}

/** Written once from end to end, so that nobody allocates while being measured. */
async function makeFile(path: string): Promise<void> {
  const file = await open(path, 'w')
  const chunk = Buffer.alloc(8 * 1024 * 1024, 0xa5)
  for (let at = 0; at < diskBytes; at += chunk.length) await file.write(chunk)
  await file.close()
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0))
    })
  })
}

async function measure(
  contenders: readonly Contender[],
  load: Load,
  options: { readonly rounds: number; readonly seconds: number },
): Promise<ReadonlyMap<string, Result>> {
  const results = new Map(contenders.map(({ name }) => [name, [] as Result[]]))
  for (let round = 0; round < options.rounds; round++) {
    // Who goes first changes from round to round.
    const order = round % 2 === 0 ? contenders : [...contenders].reverse()
    for (const { name, url, pid } of order) {
      const before = await cpuSeconds(pid)
      const { perSecond, operations } = await load.measure(url, options.seconds)
      const cpuUs = (((await cpuSeconds(pid)) - before) / operations) * 1e6
      results.get(name)!.push({ perSecond, cpuUs })
    }
  }
  return new Map(
    [...results].map(([name, all]) => [
      name,
      {
        perSecond: median(all.map(({ perSecond }) => perSecond)),
        cpuUs: median(all.map(({ cpuUs }) => cpuUs)),
      },
    ]),
  )
}

/** User and system time so far. proc(5): fields 14 and 15, in ticks of 10 ms. */
async function cpuSeconds(pid: number | undefined): Promise<number> {
  if (pid === undefined) return Number.NaN
  const stat = await readFile(`/proc/${pid}/stat`, 'ascii')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / 100
}

function describe(load: Load, results: ReadonlyMap<string, Result>): string {
  const tgt = results.get('tgt')?.perSecond ?? Number.NaN
  const cells = [...results].map(([name, { perSecond, cpuUs }]) => {
    const mib = (perSecond * load.sizeBytes) / (1024 * 1024)
    const ratio = name === 'tgt' ? '' : `  ${(perSecond / tgt).toFixed(2)} of tgt`
    const cpu = Number.isNaN(cpuUs) ? '' : ` ${Math.round(cpuUs)} us CPU`
    return `${name} ${Math.round(perSecond)}/s ${Math.round(mib)} MiB/s${cpu}${ratio}`
  })
  return `${load.name.padEnd(32)} ${cells.join('   ')}   (aim ${load.aim.toFixed(1)})`
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '2' },
      dir: { type: 'string' },
      only: { type: 'string', default: '' },
      json: { type: 'boolean', default: false },
      url: { type: 'string', multiple: true, default: [] },
    },
  })
  const directory = await mkdtemp(join(values.dir ?? (await fastDirectory()), 'palisade-bench-'))
  const files = { tgt: join(directory, 'tgt.img'), palisade: join(directory, 'palisade.img') }
  for (const file of Object.values(files)) await makeFile(file)
  const args = ['--portal', '127.0.0.1:0', '--lun', files.palisade, '--json', '--log-level', 'warn']
  const target = new PalisadeProcess(['target', '--standalone', ...args])
  const peer = await startTgt({ file: files.tgt, ports: [await freePort()] })
  try {
    const ready = JSON.parse((await target.output(/^\{.*\}$/m))[0]) as { luns: { url: string }[] }
    const contenders = [
      { name: 'tgt', url: peer.urls[0]!, pid: peer.pid },
      { name: 'palisade', url: ready.luns[0]!.url, pid: target.pid },
      ...values.url.map((text) => {
        const equals = text.indexOf('=')
        return { name: text.slice(0, equals), url: text.slice(equals + 1) }
      }),
    ]
    const options = { rounds: Number(values.rounds), seconds: Number(values.seconds) }
    for (const load of loads) {
      if (!load.name.includes(values.only)) continue
      const results = await measure(contenders, load, options)
      const line = JSON.stringify({ load: load.name, aim: load.aim, results: [...results] })
      process.stdout.write(`${values.json ? line : describe(load, results)}\n`)
    }
  } finally {
    await peer.stop()
    target.kill()
    await rm(directory, { recursive: true, force: true })
  }
}

await main()
