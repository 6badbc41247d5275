/**
 * One process of the cluster, kept alive: started again at once when it ends unasked, then after
 * 1 s, then every 5 s, and said aloud each time. Owns the process and its log file. The child has
 * its own session, so that Ctrl-C reaches only the supervisor, which stops in order; it ends by
 * itself when its channel to the supervisor closes (parent-watch.ts).
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { StorageError } from '../../base/errors.ts'

export interface ProgramOptions {
  readonly role: 'manager' | 'server' | 'shim' | 'gateway'
  readonly name: string
  /** Arguments of the `palisade` command; the program must print one ready line of JSON. */
  readonly args: readonly string[]
  /** Takes what the program writes to standard error. */
  readonly logFile: string
  /** Tells the user. */
  readonly say: (line: string) => void
}

/** The line of JSON that every program prints when it serves. */
export interface ReadyLine {
  readonly ready: true
  readonly pid: number
  readonly portals: readonly { readonly kind: string; readonly address: string }[]
}

const restartDelaysMs = [0, 1_000, 5_000] as const
/** After this long alive, the next end is a first one again. */
const forgivenAfterMs = 60_000
const readyDeadlineMs = 60_000
const stopDeadlineMs = 15_000

export class SupervisedProgram {
  readonly #options: ProgramOptions
  #child: ChildProcess | undefined
  #ready: ReadyLine | undefined
  #failures = 0
  #startedAt = 0
  #stopping = false
  #restart: NodeJS.Timeout | undefined
  #clean = true

  constructor(options: ProgramOptions) {
    this.#options = options
  }

  get role(): ProgramOptions['role'] {
    return this.#options.role
  }

  get name(): string {
    return this.#options.name
  }

  /** Undefined while no process serves. */
  get ready(): ReadyLine | undefined {
    return this.#ready
  }

  /** Rejects when the first process ends, or says nothing, before it is ready. */
  async start(): Promise<ReadyLine> {
    const child = this.#spawn()
    const ended = new Promise<never>((_, reject) => {
      child.once('exit', (code, signal) => {
        const how = `${this.name} did not start (${describeEnd(code, signal)})`
        reject(new StorageError(startErrorCode(code), `${how}: ${this.#lastWords()}`))
      })
    })
    const ready = await Promise.race([readyLine(child), ended, deadline(this.name)])
    this.#serve(child, ready)
    return ready
  }

  /** Asks the process to end, then makes it. True when every end of it was an orderly one. */
  async stop(): Promise<boolean> {
    this.#stopping = true
    clearTimeout(this.#restart)
    const child = this.#child
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) {
      return this.#clean
    }
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
    child.kill('SIGTERM')
    const timer = setTimeout(() => {
      this.#options.say(`${this.name} did not stop within ${stopDeadlineMs / 1000} s: killed`)
      child.kill('SIGKILL')
    }, stopDeadlineMs)
    await ended
    clearTimeout(timer)
    if (child.exitCode !== 0) this.#clean = false
    return this.#clean
  }

  /** Ends the process at once. */
  kill(): void {
    this.#stopping = true
    this.#child?.kill('SIGKILL')
  }

  #spawn(): ChildProcess {
    const log = openSync(this.#options.logFile, 'a')
    const args = [...process.execArgv, process.argv[1] ?? '', ...this.#options.args]
    const child = spawn(process.execPath, args, {
      stdio: ['ignore', 'pipe', log, 'ipc'],
      detached: true,
    })
    closeSync(log)
    this.#child = child
    this.#startedAt = performance.now()
    child.once('error', (error) => this.#options.say(`${this.name}: ${error.message}`))
    return child
  }

  #serve(child: ChildProcess, ready: ReadyLine): void {
    this.#ready = ready
    child.once('exit', (code, signal) => this.#ended(code, signal))
    if (child.exitCode !== null || child.signalCode !== null) {
      this.#ended(child.exitCode, child.signalCode)
    }
  }

  #ended(code: number | null, signal: NodeJS.Signals | null): void {
    this.#ready = undefined
    if (this.#stopping || this.#restart !== undefined) return
    if (performance.now() - this.#startedAt > forgivenAfterMs) this.#failures = 0
    const delayMs = restartDelaysMs[Math.min(this.#failures, restartDelaysMs.length - 1)] ?? 0
    this.#failures += 1
    const when = delayMs === 0 ? 'now' : `in ${delayMs / 1000} s`
    const how = describeEnd(code, signal)
    this.#options.say(
      `${this.name} ended (${how}); starting it again ${when}. ${this.#lastWords()}`,
    )
    this.#restart = setTimeout(() => {
      this.#restart = undefined
      this.#startAgain()
    }, delayMs)
  }

  #startAgain(): void {
    const child = this.#spawn()
    child.once('exit', (code, signal) => this.#ended(code, signal))
    readyLine(child).then(
      (ready) => {
        this.#ready = ready
        this.#options.say(`${this.name} serves again (pid ${ready.pid})`)
      },
      // Its end is then told by the exit handler.
      () => child.kill('SIGKILL'),
    )
  }

  /** The last line of the log, which says why the process ended when it knew. */
  #lastWords(): string {
    const lines = readFileSync(this.#options.logFile, 'utf8').trimEnd().split('\n')
    const last = lines.findLast((line) => line.startsWith(reportStart)) ?? lines.at(-1) ?? ''
    return `${reportedMessage(last).slice(0, 400)} (log: ${this.#options.logFile})`
  }
}

function describeEnd(code: number | null, signal: NodeJS.Signals | null): string {
  return signal === null ? `exit status ${code}` : `killed by ${signal}`
}

/** The child's exit status tells what kind of failure it was (exit-codes.ts). */
function startErrorCode(code: number | null): 'invalid' | 'in-use' | 'io-error' {
  if (code === 2) return 'invalid'
  return code === 5 ? 'in-use' : 'io-error'
}

function deadline(name: string): Promise<never> {
  return new Promise((_, reject) => {
    const late = () => reject(new StorageError('deadline', `${name} is not ready after 60 s`))
    setTimeout(late, readyDeadlineMs).unref()
  })
}

/** How the root of the command reports an error with --json (main.ts). */
const reportStart = '{"error":'

function reportedMessage(line: string): string {
  if (!line.startsWith(reportStart)) return line
  return JSON.parse(line).error.message
}

/**
 * The first line of a program's standard output; rejects when it is not a ready line. A program
 * that ends without one is told by its exit.
 */
function readyLine(child: ChildProcess): Promise<ReadyLine> {
  return new Promise((resolve, reject) => {
    let text = ''
    child.stdout?.setEncoding('utf8')
    child.stdout?.on('data', (chunk: string) => {
      text += chunk
      const end = text.indexOf('\n')
      if (end < 0) return
      const ready = parseReady(text.slice(0, end))
      if (ready === undefined) reject(new Error(`not a ready line: ${text.slice(0, end)}`))
      else resolve(ready)
    })
  })
}

function parseReady(line: string): ReadyLine | undefined {
  try {
    const value = JSON.parse(line)
    return value.ready === true && Array.isArray(value.portals) ? value : undefined
  } catch (thrown) {
    if (thrown instanceof SyntaxError) return undefined
    throw thrown
  }
}
