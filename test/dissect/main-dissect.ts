/**
 * `make dissect`: runs interop tests one by one, each under a capture of the whole loopback, and has
 * tshark dissect every iSCSI connection of theirs from its first packet to its last. It ends with 0
 * only when all tests passed, no packet was lost and no PDU was malformed. For a slow hour: bulk loads
 * are dissected too. It must have the loopback to itself.
 *
 * Usage: main-dissect.js [TEST]..., names of test/interop/TEST.test.ts; where none is given, all but
 * those in `provesTheCapture`
 */
import { mkdtemp, open, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { dissect } from '../support/capture/dissection.ts'
import { rewriteStreams } from '../support/capture/streams.ts'
import { PalisadeProcess, run } from '../support/palisade-process.ts'
import { type Shard, splitDump } from './split-dump.ts'

const testDirectory = fileURLToPath(new URL('../interop', import.meta.url))
const suffix = '.test.js'
const kernelBufferMib = 256
const testDeadlineMs = 900_000

/** They send what no initiator should: only what they are answered has to be right. */
const sendsWrong: ReadonlySet<string> = new Set([
  'conformance',
  'fence',
  'recovery',
  'robustness',
  'shim',
  'standalone',
])

/** Its peers, on both sides, are made to send malformed PDUs, to see that the capture finds them. */
const provesTheCapture: ReadonlySet<string> = new Set(['capture'])

interface Outcome {
  readonly bytes: number
  readonly packets: number
  readonly lostPackets: number
  readonly connections: number
  pdus: number
  readonly faults: string[]
}

async function underCapture(name: string, directory: string): Promise<Outcome> {
  const path = join(directory, 'packets')
  const buffer = ['-B', `${kernelBufferMib}`]
  const dumpcap = new PalisadeProcess(
    ['-q', '-P', '-i', 'lo', '-f', 'ip and tcp', ...buffer, '-w', path],
    { program: 'dumpcap' },
  )
  while (!dumpcap.stderr.includes('File: ')) {
    if (!dumpcap.running) throw new Error(`dumpcap does not capture: ${dumpcap.stderr}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  const test = join(testDirectory, `${name}${suffix}`)
  const { code, stdout } = await run(process.execPath, [test], {
    timeoutMs: testDeadlineMs,
    env: { ...process.env, TAP_TIMEOUT: `${testDeadlineMs / 1_000}` },
  })
  dumpcap.kill('SIGINT')
  await dumpcap.exited
  const { stderr } = dumpcap
  const [, packets, lost] = /received\/dropped on interface .*?: (\d+)\/(\d+)/.exec(stderr) ?? []
  const shards = await splitDump(path, directory)
  const faults = code === 0 ? [] : [`the test failed: ${stdout.slice(-2_000)}`]
  const outcome = {
    bytes: (await stat(path)).size,
    packets: Number(packets),
    lostPackets: Number(lost),
    connections: shards.reduce((sum, shard) => sum + shard.connections, 0),
    pdus: 0,
    faults,
  }
  for (const shard of shards) await look(name, shard, outcome)
  return outcome
}

async function look(name: string, shard: Shard, outcome: Outcome): Promise<void> {
  const isPortal = (port: number): boolean => shard.portals.has(port)
  const streams = rewriteStreams(await wholeFile(shard.path), { isPortal, asCaptured: false })
  await writeFile(shard.path, streams.file)
  const seen = await dissect(shard.path, [...shard.portals])
  await rm(shard.path)
  for (const sender of ['initiator', 'target'] as const) {
    outcome.pdus += seen.found[sender]
    const judged = sender === 'target' || !sendsWrong.has(name)
    if (judged && seen.found[sender] !== streams.pdus[sender]) {
      outcome.faults.push(`${seen.found[sender]} of ${streams.pdus[sender]} PDUs found (${sender})`)
    }
  }
  outcome.faults.push(...streams.faults, ...streams.holes)
  for (const { frame, sender, what } of seen.faults) {
    if (sender === 'target' || !sendsWrong.has(name)) {
      outcome.faults.push(`frame ${frame}, ${sender}: ${what}`)
    }
  }
}

/** `readFile` stops at 2 GiB. */
async function wholeFile(path: string): Promise<Buffer> {
  const file = await open(path)
  try {
    const { size } = await file.stat()
    const content = Buffer.allocUnsafeSlow(size)
    for (let at = 0; at < size; ) {
      const { bytesRead } = await file.read(content, at, Math.min(size - at, 2 ** 30), at)
      if (bytesRead === 0) throw new Error(`${path} became shorter`)
      at += bytesRead
    }
    return content
  } finally {
    await file.close()
  }
}

async function main(): Promise<void> {
  const all = (await readdir(testDirectory))
    .filter((name) => name.endsWith(suffix))
    .map((name) => basename(name, suffix))
    .filter((name) => !provesTheCapture.has(name))
  const names = process.argv.length > 2 ? process.argv.slice(2) : all.sort()
  let wrong = 0
  for (const name of names) {
    const directory = await mkdtemp(join(tmpdir(), 'palisade-dissect-'))
    try {
      const { bytes, packets, lostPackets, connections, pdus, faults } = await underCapture(
        name,
        directory,
      )
      const size = `${(bytes / 2 ** 20).toFixed(0)} MiB, ${packets} packets, ${lostPackets} lost`
      console.log(`${name}: ${size}; ${connections} iSCSI connections, ${pdus} PDUs`)
      for (const fault of faults.slice(0, 20)) console.log(`  ${fault}`)
      if (faults.length > 0 || lostPackets > 0) wrong++
    } finally {
      await rm(directory, { recursive: true, force: true })
    }
  }
  console.log(wrong === 0 ? 'no malformed PDU' : `${wrong} of ${names.length} tests with faults`)
  process.exitCode = wrong === 0 ? 0 : 1
}

await main()
