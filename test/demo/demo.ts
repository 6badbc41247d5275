/**
 * The demonstration: a cluster of three storage servers, a real file system on a striped volume, a
 * server killed in the middle of a write. It shows what it does and proves what it says; it throws
 * where something is not as promised.
 */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Cluster } from '../support/cluster.ts'
import { mainProgram, run } from '../support/palisade-process.ts'
import { qemuImg } from '../support/qemu-io.ts'
import { QemuWriter } from '../support/qemu-writer.ts'

/** Where the files of the demonstration's file system come from: this checkout's sources. */
const sources = fileURLToPath(new URL('../../../src', import.meta.url))

const imageMib = 96
const volume = 'photos'
const scratch = 'busy'
/** Each write covers all three columns of a stripe set, so a killed server is always inside one. */
const slotBytes = 512 * 1024
const slots = 32
const writesBefore = 60
const writesAfter = 120

export interface DemoResult {
  readonly seconds: number
  readonly longestStallMs: number
  readonly writes: number
}

type Print = (line: string) => void

export async function demonstrate(print: Print): Promise<DemoResult> {
  const started = performance.now()
  const say = (line: string) => print(`${elapsed(started)}  ${line}`)
  const directory = await mkdtemp(join(tmpdir(), 'palisade-demo-'))
  let cluster: Cluster | undefined
  try {
    cluster = await startCluster(say)
    const image = await makeImage(directory, say)
    await roundTrip({ cluster, image, directory, say })
    await showMap(cluster, print, say)
    const crash = await killServer(cluster, say)
    await readAgain({ cluster, image, directory, say })
    const code = await cluster.stop()
    cluster = undefined
    check(code === 0, `palisade up ended with ${code}`)
    say('The cluster stopped in order, exit status 0. Nothing was lost.')
    return { seconds: (performance.now() - started) / 1000, ...crash }
  } finally {
    await cluster?.stop()
    await rm(directory, { recursive: true, force: true })
  }
}

function elapsed(started: number): string {
  return `[${((performance.now() - started) / 1000).toFixed(1).padStart(5)} s]`
}

function check(condition: boolean, why: string): asserts condition {
  if (!condition) throw new Error(why)
}

async function startCluster(say: Print): Promise<Cluster> {
  say('Starting a manager, three storage servers and a shim: palisade up')
  const cluster = await Cluster.start([
    ...['--servers', '3', '--capacity', '1GiB'],
    ...['--volume', `${volume}=${imageMib}MiB,stripe=3`],
    ...['--volume', `${scratch}=${(slots * slotBytes) / 1024}KiB,stripe=3`],
  ])
  const pids = cluster.ready.processes.map(({ name, pid }) => `${name} ${pid}`)
  say(`Ready: ${pids.join(', ')}; initiators attach at ${cluster.ready.portal}`)
  return cluster
}

async function makeImage(directory: string, say: Print): Promise<string> {
  const image = join(directory, 'image.ext4')
  const args = ['-q', '-t', 'ext4', '-d', sources, image, `${imageMib}M`]
  const { code, stderr } = await run('mke2fs', args)
  check(code === 0, `mke2fs: ${stderr}`)
  say(`Made an ext4 image of ${imageMib} MiB with the sources of Palisade in it: mke2fs -d`)
  return image
}

interface Scene {
  readonly cluster: Cluster
  readonly image: string
  readonly directory: string
  readonly say: Print
}

async function roundTrip({ cluster, image, directory, say }: Scene): Promise<void> {
  const url = cluster.url(volume)
  await qemuImg(['convert', '-n', '-f', 'raw', '-O', 'raw', image, url])
  say(`Wrote it to the volume "${volume}", striped over three servers: qemu-img convert … ${url}`)
  const copy = await readBack(cluster, directory)
  check((await digest(copy)) === (await digest(image)), 'what was read back differs')
  say(`Read it back: identical, SHA-256 ${(await digest(copy)).slice(0, 16)}…`)
  await fsck(copy, say)
}

async function readBack(cluster: Cluster, directory: string): Promise<string> {
  const copy = join(directory, 'copy.ext4')
  await rm(copy, { force: true })
  await qemuImg(['convert', '-f', 'raw', '-O', 'raw', cluster.url(volume), copy])
  check((await stat(copy)).size === imageMib * 1024 * 1024, 'the copy has another size')
  return copy
}

async function digest(file: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(file)) hash.update(chunk)
  return hash.digest('hex')
}

async function fsck(copy: string, say: Print): Promise<void> {
  const { code, stdout, stderr } = await run('e2fsck', ['-fn', copy])
  check(code === 0, `e2fsck found faults: ${stdout}${stderr}`)
  say(`File system check: clean; ${/\d+\/\d+ files/.exec(stdout)?.[0] ?? ''}: e2fsck -fn`)
}

async function showMap(cluster: Cluster, print: Print, say: Print): Promise<void> {
  const args = [mainProgram, 'volume', 'show', volume, '--manager', cluster.ready.manager]
  const { code, stdout, stderr } = await run(process.execPath, args)
  check(code === 0, `volume show: ${stderr}`)
  say('The map, with the generation that every request carries: palisade volume show')
  for (const line of stdout.trimEnd().split('\n')) print(`           ${line}`)
}

async function killServer(
  cluster: Cluster,
  say: Print,
): Promise<{ longestStallMs: number; writes: number }> {
  const victim = cluster.member('server', 'server-2')
  const writer = await QemuWriter.open({
    ...{ url: cluster.url(scratch), offsetBytes: 0 },
    ...{ slots, slotBytes },
  })
  try {
    writer.start()
    await until(() => writer.acknowledgedWrites >= writesBefore, 'the writer makes no progress')
    const before = writer.acknowledgedWrites
    process.kill(victim.pid, 'SIGKILL')
    say(`${before} writes acknowledged on "${scratch}"; kill -9 of ${victim.name} inside the next`)
    const back = /server-2 serves again \(pid (\d+)\)/
    await until(() => back.test(cluster.process.stderr), 'server-2 does not come back')
    say(`palisade up started it again: pid ${back.exec(cluster.process.stderr)?.[1]}`)
    const enough = before + writesAfter
    await until(() => writer.acknowledgedWrites >= enough, 'no writes after the crash')
    await writer.stop()
    check(writer.errors.length === 0, `the initiator saw an error: ${writer.errors[0]}`)
    const stallMs = Math.round(writer.longestMs)
    say(`I/O goes on: ${writer.acknowledgedWrites} writes, no error, longest wait ${stallMs} ms`)
    const wrong = await writer.verify()
    check(wrong.length === 0, `slots with another content: ${wrong.join(', ')}`)
    say('Every acknowledged write was read back and is there')
    return { longestStallMs: stallMs, writes: writer.acknowledgedWrites }
  } finally {
    await writer.stop()
    await writer.close()
  }
}

async function readAgain({ cluster, image, directory, say }: Scene): Promise<void> {
  const copy = await readBack(cluster, directory)
  check((await digest(copy)) === (await digest(image)), 'the image changed over the crash')
  say(`"${volume}" read again after the crash: still identical`)
  await fsck(copy, say)
}

const patienceMs = 60_000

async function until(holds: () => boolean, complaint: string): Promise<void> {
  const deadline = performance.now() + patienceMs
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(complaint)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
