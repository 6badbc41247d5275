/**
 * tgtd as a peer, for measurements and for our initiator role: its own control port, one target with
 * one LUN on a file, and accounts for CHAP where they are given.
 */
import { spawn } from 'node:child_process'
import { run } from './palisade-process.ts'

export interface Account {
  readonly user: string
  readonly password: string
}

export interface TgtOptions {
  readonly file: string
  readonly ports: readonly number[]
  /** Whom it lets in; absent: everybody. */
  readonly incoming?: Account
  readonly headerDigest?: 'CRC32C'
  /** How it proves itself to initiators that ask. */
  readonly outgoing?: Account
  /** Of the LUN, as tgtadm takes them: `removable=1,readonly=1`. */
  readonly parameters?: string
  readonly blockBytes?: number
}

export interface Peer {
  readonly iqn: string
  /** One for each port. */
  readonly urls: readonly string[]
  readonly pid: number
  kill(signal: 'SIGSTOP' | 'SIGCONT' | 'SIGKILL'): void
  /** Resolves when the process is gone. */
  stop(): Promise<void>
}

const iqn = 'iqn.2026-11.example:tgt'

export async function startTgt(options: TgtOptions): Promise<Peer> {
  const { file, ports } = options
  const control = String(1000 + (ports[0]! % 30_000))
  const portals = ports.map((port) => `portal=127.0.0.1:${port}`).join(',')
  const daemon = spawn('tgtd', ['-f', '-C', control, '--iscsi', portals], { stdio: 'ignore' })
  const exited = new Promise<void>((resolve) => daemon.once('exit', () => resolve()))
  const admin = async (...args: string[]): Promise<number> => {
    const { code } = await run('tgtadm', ['-C', control, '--lld', 'iscsi', ...args])
    return code
  }
  const must = async (what: string, ...args: string[]): Promise<void> => {
    if ((await admin(...args)) !== 0) throw new Error(`tgtd: ${what}`)
  }
  const target = ['--mode', 'target', '--tid', '1']
  for (let attempts = 0; (await admin('--op', 'new', ...target, '-T', iqn)) !== 0; attempts++) {
    if (attempts > 100 || daemon.exitCode !== null) throw new Error('tgtd does not start')
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  const blockSize = options.blockBytes === undefined ? [] : ['-y', String(options.blockBytes)]
  const unit = ['--mode', 'logicalunit', '--tid', '1', '--lun', '1']
  await must(`does not take ${file}`, '--op', 'new', ...unit, ...blockSize, '-b', file)
  if (options.parameters !== undefined) {
    await must('parameters', '--op', 'update', ...unit, '--params', options.parameters)
  }
  for (const direction of ['incoming', 'outgoing'] as const) {
    const account = options[direction]
    if (account === undefined) continue
    const { user, password } = account
    const named = ['--mode', 'account', '--user', user]
    await must('account', '--op', 'new', ...named, '--password', password)
    const way = direction === 'outgoing' ? ['--outgoing'] : []
    await must('account bind', '--op', 'bind', ...named, '--tid', '1', ...way)
  }
  if (options.headerDigest !== undefined) {
    const named = ['-n', 'HeaderDigest', '-v', options.headerDigest]
    await must('digest', '--op', 'update', ...target, ...named)
  }
  await must('bind', '--op', 'bind', ...target, '-I', 'ALL')
  return {
    iqn,
    urls: ports.map((port) => `iscsi://127.0.0.1:${port}/${iqn}/1`),
    pid: daemon.pid ?? -1,
    kill: (signal) => daemon.kill(signal),
    stop: () => {
      // It does not end on SIGTERM.
      daemon.kill('SIGKILL')
      return exited
    },
  }
}
