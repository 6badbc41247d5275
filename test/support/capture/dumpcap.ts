/** One dumpcap process: the loopback traffic of some ports, from its start to its end. */
import { once } from 'node:events'
import { mkdtemp, open, readFile, rm, stat } from 'node:fs/promises'
import { createConnection, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as after } from 'node:timers/promises'
import { PalisadeProcess } from '../palisade-process.ts'
import { fileHeaderBytes } from './pcap.ts'

export interface Dump {
  readonly file: Buffer
  readonly packets: number
  readonly lostPackets: number
  /** True when the limit was reached: the rest is not in the file. */
  readonly bounded: boolean
}

const kernelBufferMib = 64
const patienceMs = 60_000
const pollMs = 20
/** Payload of the last packet of a capture, to know that all before it was written. */
const mark = Buffer.from('palisade: the capture ends here')

export class Dumpcap {
  readonly #directory: string
  readonly #process: PalisadeProcess
  readonly #marker: Server

  private constructor(directory: string, process: PalisadeProcess, marker: Server) {
    this.#directory = directory
    this.#process = process
    this.#marker = marker
  }

  /** Resolves when the capture has begun; what was sent before is not in it. */
  static async start(ports: readonly number[], limitMib: number): Promise<Dumpcap> {
    const marker = createServer((socket) => socket.resume())
    marker.listen(0, '127.0.0.1')
    await once(marker, 'listening')
    const directory = await mkdtemp(join(tmpdir(), 'palisade-capture-'))
    const filter = [...ports, portOf(marker)].map((port) => `tcp port ${port}`).join(' or ')
    const args = [
      ...['-q', '-P', '-i', 'lo', '-f', filter, '-B', `${kernelBufferMib}`],
      ...['-w', join(directory, 'packets'), '-a', `filesize:${limitMib * 1024}`],
    ]
    const process = new PalisadeProcess(args, { program: 'dumpcap' })
    const dumpcap = new Dumpcap(directory, process, marker)
    try {
      await dumpcap.#began()
    } catch (error) {
      await dumpcap.discard()
      throw error
    }
    return dumpcap
  }

  /** Ends it; all that was sent until now is in the file, or over the limit. */
  async finish(): Promise<Dump> {
    const bounded = await this.#flushed()
    this.#process.kill('SIGINT')
    await this.#process.exited
    const file = await readFile(this.#path)
    return { file, bounded, ...this.#counts() }
  }

  async discard(): Promise<void> {
    this.#process.kill('SIGKILL')
    // Where dumpcap could not even be started, there is nothing to wait for.
    await this.#process.exited.catch(() => -1)
    this.#marker.close()
    await rm(this.#directory, { recursive: true, force: true })
  }

  get #path(): string {
    return join(this.#directory, 'packets')
  }

  /** dumpcap names its file when it has opened the interface with the filter. */
  async #began(): Promise<void> {
    const deadline = Date.now() + patienceMs
    while (!this.#process.stderr.includes('File: ')) {
      if (!this.#process.running || Date.now() > deadline) {
        this.#process.kill('SIGKILL')
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
    const { size } = await stat(this.#path)
    const from = Math.max(fileHeaderBytes, size - 256 * 1024)
    if (size <= from) return Buffer.alloc(0)
    const file = await open(this.#path)
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(size - from), 0, size - from, from)
      return buffer.subarray(0, bytesRead)
    } finally {
      await file.close()
    }
  }

  #counts(): { packets: number; lostPackets: number } {
    const { stderr } = this.#process
    const [, packets, lost] = /received\/dropped on interface .*?: (\d+)\/(\d+)/.exec(stderr) ?? []
    if (packets === undefined) throw new Error(`dumpcap did not count: ${stderr}`)
    return { packets: Number(packets), lostPackets: Number(lost) }
  }
}

function portOf(server: Server): number {
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('not listening')
  return address.port
}
