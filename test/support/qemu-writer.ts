/**
 * A stock initiator that writes and verifies for as long as a test wants: one interactive qemu-io
 * (libiscsi inside) with one command at a time. Each write of a slot carries the next pattern byte,
 * so that a slot says which of its writes it holds. Latencies of all commands are kept.
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'

const prompt = 'qemu-io> '

export interface WriterOptions {
  readonly url: string
  /** First byte and length of the range that this writer alone writes. */
  readonly offsetBytes: number
  readonly slots: number
  readonly slotBytes: number
  /** Reads a slot back after each write, and keeps what is not as it was acknowledged. */
  readonly verifies?: boolean
  /** Between commands, so that a long run leaves the machine to what it is about. */
  readonly restMs?: number
}

export class QemuWriter {
  readonly #options: WriterOptions
  readonly #child: ChildProcessWithoutNullStreams
  /** Pattern of the last acknowledged write of each slot; 0 where there was none. */
  readonly #acknowledged: number[]
  readonly latenciesMs: number[] = []
  /** What qemu-io said of commands that failed. */
  readonly errors: string[] = []
  /** What was read back and was not what had been acknowledged. */
  readonly stale: string[] = []
  #text = ''
  #wake: (() => void) | undefined
  #stopping = false
  #loop: Promise<void> | undefined
  #next = 0

  private constructor(options: WriterOptions, child: ChildProcessWithoutNullStreams) {
    this.#options = options
    this.#child = child
    this.#acknowledged = Array.from({ length: options.slots }, () => 0)
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.#text += text
        this.#wake?.()
      })
    }
    child.on('close', () => this.#wake?.())
    // A command written to a process that has just ended is told of by its missing answer.
    child.stdin.on('error', () => this.#wake?.())
  }

  static async open(options: WriterOptions): Promise<QemuWriter> {
    const child = spawn('qemu-io', ['-f', 'raw', '-t', 'none', options.url])
    const writer = new QemuWriter(options, child)
    const greeting = await writer.#answer()
    if (child.exitCode !== null) throw new Error(`qemu-io ${options.url}: ${greeting}`)
    return writer
  }

  get acknowledgedWrites(): number {
    return this.#next
  }

  get longestMs(): number {
    return Math.max(0, ...this.latenciesMs)
  }

  /** Writes slot after slot until `stop`. */
  start(): void {
    this.#loop = this.#run()
  }

  /** Ends the writing; resolves when the last command was answered. */
  async stop(): Promise<void> {
    this.#stopping = true
    await this.#loop
  }

  /** Reads every written slot back; the slots that do not hold their last acknowledged write. */
  async verify(): Promise<number[]> {
    const wrong: number[] = []
    for (const slot of this.#acknowledged.keys()) {
      if ((await this.#readBack(slot)) !== '') wrong.push(slot)
    }
    return wrong
  }

  async flush(): Promise<string> {
    return await this.command('flush')
  }

  async close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const closed = once(this.#child, 'close')
    this.#child.stdin.write('quit\n')
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), 5_000)
    await closed
    clearTimeout(timer)
  }

  async #run(): Promise<void> {
    while (!this.#stopping && this.#child.exitCode === null) {
      const slot = this.#next % this.#options.slots
      const pattern = 1 + (Math.floor(this.#next / this.#options.slots) % 255)
      const said = await this.command(`write -P ${pattern} ${this.#range(slot)}`)
      if (/^wrote \d+\/\d+ bytes/m.test(said)) this.#acknowledged[slot] = pattern
      else this.errors.push(said)
      this.#next++
      if (this.#options.verifies === true) await this.#verifyOne(slot)
      if (this.#options.restMs !== undefined) await sleep(this.#options.restMs)
    }
  }

  /** A slot that was not written just now, for as long as there is one. */
  async #verifyOne(written: number): Promise<void> {
    const { slots } = this.#options
    const said = await this.#readBack((written + Math.ceil(slots / 2)) % slots)
    if (/verification failed/i.test(said)) this.stale.push(said)
    else if (said !== '') this.errors.push(said)
  }

  /** What was said where the slot does not hold its last acknowledged write; empty: it does. */
  async #readBack(slot: number): Promise<string> {
    const pattern = this.#acknowledged[slot] ?? 0
    if (pattern === 0) return ''
    const said = await this.command(`read -P ${pattern} ${this.#range(slot)}`)
    return /^read \d+\/\d+ bytes/m.test(said) && !/verification failed/i.test(said) ? '' : said
  }

  #range(slot: number): string {
    const { offsetBytes, slotBytes } = this.#options
    return `${offsetBytes + slot * slotBytes} ${slotBytes}`
  }

  /** One command of qemu-io, between others; what it said. */
  async command(line: string): Promise<string> {
    const startedMs = performance.now()
    this.#text = ''
    this.#child.stdin.write(`${line}\n`)
    const said = await this.#answer()
    this.latenciesMs.push(performance.now() - startedMs)
    return said
  }

  /** What was said up to the next prompt, or to the end of the process. */
  async #answer(): Promise<string> {
    while (!this.#text.includes(prompt) && this.#child.exitCode === null) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    return this.#text
  }
}
