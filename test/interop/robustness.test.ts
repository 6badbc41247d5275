/**
 * What peers that misbehave may cost a real target, all of them at once: logins that never end,
 * connections that come and go, initiators that ask for data and never read them, writes whose data
 * never come. Memory stays under a bound, and a healthy session beside them keeps its rate.
 *
 * The same load runs at the same time against a second target that nobody besieges. The rate of the
 * first in units of the second's is compared between quiet and hostile phases, so that what else the
 * machine does, and what the siege itself takes of it, weighs on both alike.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { NodeNetwork } from '../../src/adapters/node-network.ts'
import { Opcode } from '../../src/iscsi/pdu/opcode.ts'
import { PalisadeProcess } from '../support/palisade-process.ts'
import { quietLog } from '../support/quiet-log.ts'
import { RawInitiator, read10, write10 } from '../support/raw-initiator.ts'

const MIB = 1024 * 1024
const halfOpenLogins = 500
const comings = 1_000
const unreadReads = 2_000
const abandonedR2ts = 200
const longestGrowthMib = 256
const leastShare = 0.8

const warmUpMs = 2_000
const quietMs = 2_500
const hostileMs = 5_000
/** As many as give an answer: a busy machine moves a single one by a fifth either way. */
const fewestPhases = 2
const mostPhases = 6
/** Commands under way of each healthy session. */
const depth = '4'
const mibBlocks = MIB / 512

t.setTimeout(120_000)

const network = new NodeNetwork(quietLog)
const steadyProgram = fileURLToPath(new URL('../support/main-steady-load.js', import.meta.url))

interface Target {
  readonly process: PalisadeProcess
  readonly portal: string
  readonly iqn: string
}

/** `programs` get to know of it at once, so that it ends whatever comes of it. */
async function startTarget(directory: string, programs: PalisadeProcess[]): Promise<Target> {
  const lun = `${directory}=64MiB,thin`
  const args = ['target', '--standalone', '--json', '--portal', '127.0.0.1:0', '--lun', lun]
  const process = new PalisadeProcess(args)
  programs.push(process)
  const [line] = await process.output(/^\{"ready":true.*\}$/m)
  const ready = JSON.parse(line) as { iqn: string; portals: string[] }
  return { process, portal: ready.portals[0]!, iqn: ready.iqn }
}

async function residentMib(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) / 1024
}

/** The healthy session with one target: how many commands were answered by a time. */
class SteadyLoad {
  readonly process: PalisadeProcess
  readonly #marks: { readonly atMs: number; readonly done: number }[] = []
  #read = 0

  constructor({ portal, iqn }: Target) {
    const args = [steadyProgram, portal, iqn, depth]
    this.process = new PalisadeProcess(args, { program: process.execPath })
  }

  /** Takes what it has said since. */
  listen(): void {
    const { stdout } = this.process
    const whole = stdout.lastIndexOf('\n') + 1
    const lines = stdout.slice(this.#read, whole).split('\n')
    for (const line of lines) if (line !== '') this.#marks.push(JSON.parse(line))
    this.#read = whole
  }

  /** For each second between two times. */
  rate(fromMs: number, toMs: number): number {
    const marks = this.#marks.filter(({ atMs }) => atMs >= fromMs && atMs <= toMs)
    const [first, last] = [marks[0], marks.at(-1)]
    if (first === undefined || last === undefined || last.atMs === first.atMs) return 0
    return ((last.done - first.done) * 1000) / (last.atMs - first.atMs)
  }
}

/** Everything hostile of one phase, and how it is taken back. */
class Siege {
  readonly #target: Target
  readonly #sockets: Socket[] = []
  readonly #initiators: RawInitiator[] = []
  #nextIsid = 1
  readsSent = 0
  r2tsSeen = 0
  /** How long a login beside all this took. */
  helloMs = Number.NaN

  constructor(target: Target) {
    this.#target = target
  }

  /** Everything that stays. */
  async lay(): Promise<void> {
    await this.#halfOpen(halfOpenLogins)
    await this.#neverRead(unreadReads)
    await this.#abandonR2ts(abandonedR2ts)
    await this.#hello()
  }

  /** Half of them say nothing, the others a part of a Login Request. */
  async #halfOpen(count: number): Promise<void> {
    const part = Buffer.alloc(20)
    part[0] = 0x43
    for (let i = 0; i < count; i++) {
      const socket = this.#connect()
      if (i % 2 === 0) socket.write(part)
      this.#sockets.push(socket)
      if (i % 50 === 49) await sleep(5)
    }
  }

  /** Connections that come and go, spread over the time. */
  async churn(count: number, durationMs: number): Promise<void> {
    const startMs = performance.now()
    for (let i = 0; i < count; i++) {
      const socket = this.#connect()
      await new Promise<void>((resolve) => {
        socket.once('connect', () => socket.destroy()).once('close', () => resolve())
      })
      const aheadMs = startMs + (i * durationMs) / count - performance.now()
      if (aheadMs > 5) await sleep(aheadMs)
    }
  }

  /** Sessions that ask for as many reads of 1 MiB as their window lets them, and some more. */
  async #neverRead(count: number): Promise<void> {
    while (this.readsSent < count) {
      const initiator = await this.#login()
      const window = initiator.maxCmdSn - initiator.cmdSn + 1
      initiator.stream.pause()
      for (let i = 0; i < Math.min(window, count - this.readsSent); i++) {
        const lba = (i % 60) * mibBlocks
        initiator.command({ cdb: read10(lba, mibBlocks), readBytes: MIB })
      }
      this.readsSent += Math.min(window, count - this.readsSent)
      for (let i = 0; i < 20; i++) {
        initiator.command({ cdb: read10(0, mibBlocks), readBytes: MIB })
      }
    }
  }

  /** Writes of 1 MiB whose R2Ts come and are never answered. */
  async #abandonR2ts(count: number): Promise<void> {
    const data = Buffer.alloc(MIB)
    while (this.r2tsSeen < count) {
      const initiator = await this.#login()
      const writes = Math.min(25, count - this.r2tsSeen)
      for (let i = 0; i < writes; i++) {
        initiator.command({ cdb: write10(i * mibBlocks, mibBlocks), data })
      }
      for (let i = 0; i < writes; i++) await initiator.next(Opcode.READY_TO_TRANSFER)
      this.r2tsSeen += writes
    }
  }

  /** A healthy initiator comes while all this goes on: how long its login took. */
  async #hello(): Promise<void> {
    const startMs = performance.now()
    const initiator = await this.#login()
    this.helloMs = performance.now() - startMs
    initiator.close()
  }

  lift(): void {
    for (const socket of this.#sockets) socket.destroy()
    for (const initiator of this.#initiators) initiator.close()
  }

  async #login(): Promise<RawInitiator> {
    const initiator = await RawInitiator.connect(network, this.#target.portal)
    this.#initiators.push(initiator)
    const isid = Buffer.from('400001370000', 'hex')
    isid.writeUInt16BE(this.#nextIsid++, 4)
    const { status } = await initiator.login({ targetName: this.#target.iqn, isid })
    if (status !== 0) throw new Error(`login: status ${status.toString(16)}`)
    return initiator
  }

  #connect(): Socket {
    const [host = '', port] = this.#target.portal.split(':')
    const socket = connect({ host, port: Number(port) })
    // The target may close what it has too many of.
    return socket.on('error', () => socket.destroy())
  }
}

interface Phase {
  readonly alone: number
  readonly beside: number
}

/** Runs a phase; the rates of the besieged target and of the other one. */
async function phase(
  loads: { readonly besieged: SteadyLoad; readonly control: SteadyLoad },
  lasting: (fromMs: number) => Promise<void>,
): Promise<Phase> {
  const fromMs = Date.now()
  await lasting(fromMs)
  const toMs = Date.now()
  for (const load of [loads.besieged, loads.control]) load.listen()
  return { alone: loads.control.rate(fromMs, toMs), beside: loads.besieged.rate(fromMs, toMs) }
}

/** In units of the target that is left in peace. */
function relative(phases: readonly Phase[]): number {
  const sum = (of: (phase: Phase) => number): number =>
    phases.reduce((total, each) => total + of(each), 0)
  return sum(({ beside }) => beside) / sum(({ alone }) => alone)
}

t.test('hostile peers cost a bounded amount, and nobody else', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'palisade-robustness-'))
  const programs: PalisadeProcess[] = []
  t.teardown(async () => {
    for (const program of programs) program.kill()
    await Promise.all(programs.map(({ exited }) => exited))
    await rm(directory, { recursive: true, force: true })
  })
  const [target, peaceful] = await Promise.all([
    startTarget(join(directory, 'besieged'), programs),
    startTarget(join(directory, 'peaceful'), programs),
  ])
  const loads = { besieged: new SteadyLoad(target), control: new SteadyLoad(peaceful) }
  programs.push(loads.besieged.process, loads.control.process)
  for (const { process } of [loads.besieged, loads.control]) {
    await process.output(/"done":[1-9]/)
  }
  let peakMib = 0
  const last = async (untilMs: number): Promise<void> => {
    while (Date.now() < untilMs) {
      await sleep(100)
      peakMib = Math.max(peakMib, await residentMib(target.process.pid))
    }
  }
  await last(Date.now() + warmUpMs)
  const quiet = [await phase(loads, (fromMs) => last(fromMs + quietMs))]
  const hostile: Phase[] = []
  const baselineMib = await residentMib(target.process.pid)
  const share = (): number => relative(hostile) / relative(quiet)
  while (hostile.length < fewestPhases || (share() < leastShare && hostile.length < mostPhases)) {
    const siege = new Siege(target)
    await Promise.all([siege.lay(), last(Date.now() + 1_000)])
    const besieged = await phase(loads, async (fromMs) => {
      await Promise.all([siege.churn(comings / fewestPhases, hostileMs), last(fromMs + hostileMs)])
    })
    hostile.push(besieged)
    t.equal(siege.readsSent, unreadReads, `${unreadReads} reads of 1 MiB were asked for`)
    t.equal(siege.r2tsSeen, abandonedR2ts, `${abandonedR2ts} R2Ts came`)
    t.comment(`a login beside them took ${siege.helloMs.toFixed(0)} ms`)
    siege.lift()
    quiet.push(await phase(loads, (fromMs) => last(fromMs + quietMs)))
  }

  const growthMib = peakMib - baselineMib
  t.comment(`resident: ${baselineMib.toFixed(0)} MiB, at most ${peakMib.toFixed(0)} MiB`)
  for (const [name, phases] of Object.entries({ quiet, hostile })) {
    const rates = phases.map(({ beside, alone }) => `${beside.toFixed(0)} (${alone.toFixed(0)})`)
    t.comment(`${name}: ${rates.join(', ')} per second, (in peace) at the same time`)
  }
  t.ok(growthMib < longestGrowthMib, `memory grew by ${growthMib.toFixed(0)} MiB`)
  t.ok(share() >= leastShare, `the healthy session kept ${(share() * 100).toFixed(0)} %`)
  t.ok(loads.besieged.process.running, `it still runs: ${loads.besieged.process.stderr}`)
  t.ok(target.process.running, 'so does the target')
})
