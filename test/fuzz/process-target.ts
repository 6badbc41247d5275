/**
 * A target in a process of its own, as it is shipped: one disk to be fuzzed, and a write-protected
 * one that an initiator beside it reads all the time. All cases go to the same process, so that
 * what one of them left behind is met by the next.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { NodeNetwork } from '../../src/adapters/node-network.ts'
import { nopOut } from '../../src/iscsi/pdu/nop-out.ts'
import { Opcode, RESERVED_TAG } from '../../src/iscsi/pdu/opcode.ts'
import { PalisadeProcess } from '../support/palisade-process.ts'
import { quietLog } from '../support/quiet-log.ts'
import { RawInitiator, read10 } from '../support/raw-initiator.ts'
import { seededRandom } from '../support/seeded-random.ts'
import { type FuzzCase, fuzzTarget } from './fuzz-case.ts'
import { Player } from './player.ts'

const guardBytes = 1 << 20
const readBlocks = 64
/** A case is over when nothing came for so long: only what is said meanwhile depends on it. */
const quietMs = 4
/** Pings of the initiator beside it are answered by then, whatever else goes on here. */
const longestAnswerMs = 8_000
const mostResidentBytes = 512 * 1024 * 1024
const pingTag = 0x5000_0000

export class ProcessTarget {
  readonly #dir: string
  readonly #process: PalisadeProcess
  readonly #guard: Buffer
  readonly #network = new NodeNetwork(quietLog)
  #address = ''
  #slowestMs = 0
  #mostResident = 0
  #healthy!: RawInitiator
  #reads = 0
  #goodReads = 0
  #casesSinceReset = 1_000

  private constructor(dir: string, guard: Buffer) {
    this.#dir = dir
    this.#guard = guard
    const disks = ['--lun', `${dir}/fuzzed=8MiB,thin`, '--lun', `${dir}/guard,read-only`]
    const rest = ['--iqn', fuzzTarget, '--portal', '127.0.0.1:0', '--json', '--log-level', 'error']
    this.#process = new PalisadeProcess(['target', '--standalone', ...disks, ...rest])
  }

  static async start(): Promise<ProcessTarget> {
    const dir = await mkdtemp(join(tmpdir(), 'palisade-fuzz-'))
    const guard = Buffer.alloc(guardBytes, seededRandom(1).bytes(4099))
    await writeFile(join(dir, 'guard'), guard)
    const target = new ProcessTarget(dir, guard)
    try {
      const [line] = await target.#process.output(/^\{"ready":true.*\}$/m)
      target.#address = (JSON.parse(line) as { portals: string[] }).portals[0]!
      await target.#join()
      return target
    } catch (error) {
      await target.stop()
      throw error
    }
  }

  /** What is worth to be told of a run. */
  get summary(): string {
    const mib = Math.round(this.#mostResident / (1 << 20))
    return `resident at most ${mib} MiB, slowest answer ${Math.round(this.#slowestMs)} ms, ${this.#goodReads} of ${this.#reads} reads beside it were answered with data`
  }

  readonly play = async (played: FuzzCase): Promise<readonly string[]> => {
    const player = new Player({
      network: this.#network,
      address: this.#address,
      settle: quiet,
    })
    await player.play(played)
    player.cut()
    this.#casesSinceReset = asksForColdReset(played) ? 0 : this.#casesSinceReset + 1
    try {
      await this.#check()
    } catch (error) {
      // TARGET COLD RESET ends the connections of all initiators, by rule. RFC 7143 11.5.1. It may
      // be carried out when its initiator has left.
      if (!this.#healthy.ended || this.#casesSinceReset > 2) throw error
      await this.#join()
      await this.#check()
    }
    return player.said
  }

  /** Rejects when the process or its protected disk is not as it was. */
  async stop(): Promise<void> {
    this.#healthy?.close()
    const ran = this.#process.running
    const code = await this.#process.stop()
    const { stderr } = this.#process
    const left = await readFile(join(this.#dir, 'guard'))
    await rm(this.#dir, { recursive: true, force: true })
    if (!ran || code !== 0) throw new Error(`the target ended with ${code}: ${stderr}`)
    if (this.#reads > 0 && this.#goodReads === 0) throw new Error('nobody beside it could read')
    if (!left.equals(this.#guard)) throw new Error('the protected disk was changed')
  }

  async #join(): Promise<void> {
    this.#healthy = await RawInitiator.connect(this.#network, this.#address)
    const isid = Buffer.from('400001370099', 'hex')
    const { status } = await this.#healthy.login({ targetName: fuzzTarget, isid })
    if (status !== 0) throw new Error(`the initiator beside it is refused: ${status.toString(16)}`)
  }

  async #check(): Promise<void> {
    if (!this.#process.running) throw new Error(`the target has ended: ${this.#process.stderr}`)
    const resident = await residentBytes(this.#process.pid)
    this.#mostResident = Math.max(this.#mostResident, resident)
    if (resident > mostResidentBytes) throw new Error(`the target holds ${resident} bytes`)
    await this.#ping()
    await this.#read()
  }

  async #ping(): Promise<void> {
    const raw = this.#healthy
    const tag = pingTag + this.#reads
    const header = nopOut.build({
      lun: Buffer.alloc(8),
      initiatorTaskTag: tag,
      targetTransferTag: RESERVED_TAG,
      cmdSn: raw.cmdSn,
      expStatSn: raw.expStatSn,
    })
    const began = performance.now()
    raw.send(header, { immediate: true })
    await raw.next(Opcode.NOP_IN, (frame) => frame.header.readUInt32BE(16) === tag)
    const tookMs = performance.now() - began
    this.#slowestMs = Math.max(this.#slowestMs, tookMs)
    if (tookMs > longestAnswerMs) throw new Error(`a ping took ${tookMs} ms`)
  }

  /**
   * Others may legally reset or reserve the disk, or stop it: then it says so, or nothing where a
   * reset ended the command. Never wrong data.
   */
  async #read(): Promise<void> {
    const raw = this.#healthy
    const lba = (this.#reads++ * readBlocks) % (guardBytes / 512)
    const readBytes = readBlocks * 512
    const tag = raw.command({ cdb: read10(lba, readBlocks), lun: 1, readBytes })
    const end = await Promise.race([
      raw.end(tag),
      sleep(longestAnswerMs, undefined, { ref: false }),
    ])
    if (end === undefined || end.status !== 0) return
    const want = this.#guard.subarray(lba * 512, lba * 512 + readBytes)
    this.#goodReads += 1
    if (!end.data.equals(want)) throw new Error(`the protected disk reads wrong at ${lba}`)
  }
}

const coldReset = 7

function asksForColdReset({ steps }: FuzzCase): boolean {
  return steps.some((step) => {
    if (step.kind === 'manage') return step.function === coldReset
    if (step.kind !== 'pdu') return false
    const header = Buffer.from(step.header, 'hex')
    const isRequest = (header[0]! & 0x3f) === Opcode.TASK_MANAGEMENT_REQUEST
    return isRequest && (header[1]! & 0x7f) === coldReset
  })
}

async function quiet(player: Player): Promise<void> {
  for (let length = -1; length !== player.said.length; ) {
    length = player.said.length
    await sleep(quietMs)
  }
}

async function residentBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024
}
