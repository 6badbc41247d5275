/**
 * Looks over the shoulder of a test: captures the loopback traffic of some iSCSI portals from now
 * on and has tshark dissect all of it afterwards. A PDU that tshark calls malformed, bytes that it
 * cannot take for a PDU, a digest that is wrong or a packet that the capture lost are failures of
 * the test; so is a capture without any PDU. Where a run carries more than fits, the capture is of
 * the first part, which is said in the result.
 */
import { once } from 'node:events'
import { mkdtemp, open, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { createConnection, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as after } from 'node:timers/promises'
import type { Test } from 'tap'
import { type Dissection, type DissectionFault, dissect } from './capture/dissection.ts'
import { fileHeaderBytes } from './capture/pcap.ts'
import { rewriteStreams, type Streams } from './capture/streams.ts'
import { PalisadeProcess } from './palisade-process.ts'

export interface CaptureOptions {
  /** What is kept; a run with more than this is dissected up to here. */
  readonly limitMib?: number
}

export interface Captured extends Dissection {
  readonly packets: number
  readonly lostPackets: number
  /** True when the limit was reached: only the first part of the run was dissected. */
  readonly bounded: boolean
  /** Data-Out PDUs of legs that were dissected without their generation header. */
  readonly relievedDataOuts: number
}

export interface Expectations {
  /** The test itself sends PDUs that are wrong: only those of the targets have to be right. */
  readonly wrongRequests?: boolean
}

const kernelBufferMib = 64
const defaultLimitMib = 48
const patienceMs = 60_000
const pollMs = 20
/** Payload of the last packet of a capture, to know that all before it was written. */
const mark = Buffer.from('palisade: the capture ends here')

export class Capture {
  readonly #ports: readonly number[]
  readonly #directory: string
  readonly #process: PalisadeProcess
  readonly #marker: Server

  private constructor(ports: readonly number[], directory: string, marker: Server, args: string[]) {
    this.#ports = ports
    this.#directory = directory
    this.#marker = marker
    this.#process = new PalisadeProcess(args, { program: 'dumpcap' })
  }

  /** Resolves when the capture has begun; what was sent before is not in it. */
  static async start(portals: readonly string[], options: CaptureOptions = {}): Promise<Capture> {
    const ports = portals.map((portal) => Number(portal.slice(portal.lastIndexOf(':') + 1)))
    const marker = createServer((socket) => socket.resume())
    marker.listen(0, '127.0.0.1')
    await once(marker, 'listening')
    const directory = await mkdtemp(join(tmpdir(), 'palisade-capture-'))
    const filter = [...ports, portOf(marker)].map((port) => `tcp port ${port}`).join(' or ')
    const limit = ['-a', `filesize:${(options.limitMib ?? defaultLimitMib) * 1024}`]
    const args = [
      ...['-q', '-P', '-i', 'lo', '-f', filter, '-B', `${kernelBufferMib}`],
      ...['-w', join(directory, 'packets'), ...limit],
    ]
    const capture = new Capture(ports, directory, marker, args)
    try {
      await capture.#began()
    } catch (error) {
      await capture.discard()
      throw error
    }
    return capture
  }

  /** Ends the capture and dissects it; `asCaptured` with the header on every Data-Out of a leg. */
  async finish(options: { readonly asCaptured?: boolean } = {}): Promise<Captured> {
    try {
      const bounded = await this.#flushed()
      this.#process.kill('SIGINT')
      await this.#process.exited
      const { packets, lost } = this.#counts()
      const file = await readFile(join(this.#directory, 'packets'))
      const isPortal = (port: number): boolean => this.#ports.includes(port)
      const { asCaptured = false } = options
      const streams = rewriteStreams(file, { isPortal, asCaptured })
      const path = join(this.#directory, 'in-order')
      await writeFile(path, streams.file)
      const found = await dissect(path, this.#ports)
      // At the limit of a bounded capture, streams end where they happen to be.
      const wrong = [...streams.faults, ...(bounded ? [] : streams.holes)]
      const more = wrong.map((what) => ({ frame: 0, sender: 'initiator' as const, what }))
      const missed = asCaptured ? [] : missedPdus(streams, found)
      const { pdus, goodDigests, cutByAllocation } = found
      return {
        ...{ found: found.found, pdus, goodDigests, cutByAllocation },
        ...{ faults: [...found.faults, ...more, ...missed] },
        ...{ packets, lostPackets: lost, bounded, relievedDataOuts: streams.relieved },
      }
    } finally {
      await this.discard()
    }
  }

  /** Ends the capture, and asserts that every PDU in it was dissected and found right. */
  async check(t: Test, expected: Expectations = {}): Promise<Captured> {
    const found = await this.finish()
    const { pdus, faults, bounded, packets, lostPackets } = found
    const wrong = faults.filter((fault) => !expected.wrongRequests || fault.sender === 'target')
    const count = [...pdus.values()].reduce((sum, each) => sum + each, 0)
    const kinds = [...pdus].map(([name, each]) => `${each} ${name}`).join(', ')
    const part = bounded ? ', the first part of the run' : ''
    t.comment(`${count} PDUs in ${packets} packets${part}: ${kinds}`)
    t.ok(count > 0, 'tshark finds PDUs')
    t.equal(lostPackets, 0, 'the capture lost no packet')
    t.same(wrong.slice(0, 10), [], 'tshark finds no malformed PDU')
    return found
  }

  /** Ends the capture without a look at it. */
  async discard(): Promise<void> {
    this.#process.kill('SIGKILL')
    // Where dumpcap could not even be started, there is nothing to wait for.
    await this.#process.exited.catch(() => -1)
    this.#marker.close()
    await rm(this.#directory, { recursive: true, force: true })
  }

  /** dumpcap names its file when it has opened the interface with the filter. */
  async #began(): Promise<void> {
    const deadline = Date.now() + patienceMs
    while (!this.#process.stderr.includes('File: ')) {
      if (!this.#process.running || Date.now() > deadline) {
        await this.#process.exited
        throw new Error(`dumpcap does not capture: ${this.#process.stderr}`)
      }
      await after(pollMs)
    }
  }

  /** Waits until all packets up to now are in the file; true when it had reached its limit. */
  async #flushed(): Promise<boolean> {
    const socket = createConnection(portOf(this.#marker), '127.0.0.1')
    await once(socket, 'connect')
    socket.end(mark)
    const deadline = Date.now() + patienceMs
    while (this.#process.running) {
      if ((await this.#tail()).includes(mark)) return false
      if (Date.now() > deadline) throw new Error('dumpcap does not write its packets')
      await after(pollMs)
    }
    return true
  }

  async #tail(): Promise<Buffer> {
    const path = join(this.#directory, 'packets')
    const { size } = await stat(path)
    const from = Math.max(fileHeaderBytes, size - 256 * 1024)
    if (size <= from) return Buffer.alloc(0)
    const file = await open(path)
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(size - from), 0, size - from, from)
      return buffer.subarray(0, bytesRead)
    } finally {
      await file.close()
    }
  }

  #counts(): { packets: number; lost: number } {
    const { stderr } = this.#process
    const [, packets, lost] = /received\/dropped on interface .*?: (\d+)\/(\d+)/.exec(stderr) ?? []
    if (packets === undefined) throw new Error(`dumpcap did not count: ${stderr}`)
    return { packets: Number(packets), lost: Number(lost) }
  }
}

/** A PDU that was handed over and not found is one too many. */
function missedPdus(streams: Streams, { found }: Dissection): DissectionFault[] {
  return (['initiator', 'target'] as const).flatMap((sender) => {
    const [written, seen] = [streams.pdus[sender], found[sender]]
    return written === seen ? [] : [{ frame: 0, sender, what: `${seen} of ${written} PDUs found` }]
  })
}

function portOf(server: Server): number {
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('not listening')
  return address.port
}
