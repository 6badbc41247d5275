/**
 * Our own programs as processes: start one, wait for its ready line, kill it by its pid, keep what
 * it said. Programs are started compiled, so tests depend on neither a loader nor the directory.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/** `dist/src/cli/main.js`, seen from `dist/test/support`. */
export const mainProgram = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url))

export interface ProcessOptions {
  readonly cwd?: string
  readonly env?: NodeJS.ProcessEnv
  /** Another program than `palisade`. */
  readonly program?: string
}

const longestLogChars = 1024 * 1024

export class PalisadeProcess {
  readonly child: ChildProcess
  readonly args: readonly string[]
  /** What it printed so far, cut to the last MiB. */
  stdout = ''
  stderr = ''
  readonly #waiting = new Set<() => void>()
  readonly #exited: Promise<number>

  constructor(args: readonly string[], options: ProcessOptions = {}) {
    this.args = args
    const { cwd, env = process.env, program } = options
    const argv = program === undefined ? [mainProgram, ...args] : [...args]
    this.child = spawn(program ?? process.execPath, argv, {
      ...(cwd === undefined ? {} : { cwd }),
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.stdout = (this.stdout + text).slice(-longestLogChars)
      this.#wake()
    })
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr = (this.stderr + text).slice(-longestLogChars)
      this.#wake()
    })
    this.#exited = once(this.child, 'close').then(([code, signal]) => {
      return typeof code === 'number' ? code : 128 + (signal === 'SIGKILL' ? 9 : 15)
    })
    // A program that could not be started is told of by `exited`, which rejects.
    this.#exited.then(
      () => this.#wake(),
      () => this.#wake(),
    )
  }

  get pid(): number {
    return this.child.pid ?? -1
  }

  get running(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null
  }

  /** Exit code; 128 + signal where a signal ended it. */
  get exited(): Promise<number> {
    return this.#exited
  }

  /** Waits until standard output matches. Rejects with all it said when it ends before. */
  async output(pattern: RegExp, timeoutMs = 20_000): Promise<RegExpExecArray> {
    const deadline = Date.now() + timeoutMs
    for (;;) {
      const match = pattern.exec(this.stdout)
      if (match !== null) return match
      const leftMs = deadline - Date.now()
      if (!this.running || leftMs <= 0) throw new Error(this.#complaint(pattern))
      await this.#changed(leftMs)
    }
  }

  kill(signal: NodeJS.Signals = 'SIGKILL'): void {
    if (this.running) this.child.kill(signal)
  }

  /** Asks it to end and waits; kills it after `graceMs`. Resolves with the exit code. */
  async stop(graceMs = 10_000): Promise<number> {
    this.kill('SIGTERM')
    const timer = setTimeout(() => this.kill('SIGKILL'), graceMs)
    try {
      return await this.#exited
    } finally {
      clearTimeout(timer)
    }
  }

  #complaint(pattern: RegExp): string {
    const fate = this.running ? 'did not say' : `ended (${this.child.exitCode}) before it said`
    return `${this.args.join(' ')} ${fate} ${pattern}\n${this.stdout}\n${this.stderr}`
  }

  #wake(): void {
    for (const wake of this.#waiting) wake()
  }

  #changed(leftMs: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer)
        this.#waiting.delete(done)
        resolve()
      }
      const timer = setTimeout(done, leftMs)
      this.#waiting.add(done)
    })
  }
}

/** Runs a program to its end. */
export async function run(
  program: string,
  args: readonly string[],
  options: { readonly timeoutMs?: number; readonly env?: NodeJS.ProcessEnv } = {},
): Promise<{ code: number; stdout: string; stderr: string }> {
  const child = new PalisadeProcess(args, { program, env: options.env ?? process.env })
  const timer = setTimeout(() => child.kill('SIGKILL'), options.timeoutMs ?? 120_000)
  try {
    const code = await child.exited
    return { code, stdout: child.stdout, stderr: child.stderr }
  } finally {
    clearTimeout(timer)
  }
}
