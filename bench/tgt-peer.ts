/** tgtd as the peer of a measurement: its own control port, one target with one LUN on a file. */
import { spawn } from 'node:child_process'
import { run } from '../test/support/palisade-process.ts'

export interface Peer {
  readonly url: string
  readonly pid: number
  stop(): void
}

const iqn = 'iqn.2026-11.example:tgt'

export async function startTgt(file: string, port: number): Promise<Peer> {
  const control = String(1000 + (port % 30_000))
  const portal = `portal=127.0.0.1:${port}`
  const daemon = spawn('tgtd', ['-f', '-C', control, '--iscsi', portal], { stdio: 'ignore' })
  const admin = async (...args: string[]): Promise<number> => {
    const { code } = await run('tgtadm', ['-C', control, '--lld', 'iscsi', ...args])
    return code
  }
  const target = ['--mode', 'target', '--tid', '1']
  for (let attempts = 0; (await admin('--op', 'new', ...target, '-T', iqn)) !== 0; attempts++) {
    if (attempts > 100 || daemon.exitCode !== null) throw new Error('tgtd does not start')
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  const unit = ['--mode', 'logicalunit', '--tid', '1', '--lun', '1', '-b', file]
  if ((await admin('--op', 'new', ...unit)) !== 0) throw new Error(`tgtd does not take ${file}`)
  if ((await admin('--op', 'bind', ...target, '-I', 'ALL')) !== 0) throw new Error('tgtd: bind')
  return {
    url: `iscsi://127.0.0.1:${port}/${iqn}/1`,
    pid: daemon.pid ?? -1,
    // It does not end on SIGTERM.
    stop: () => daemon.kill('SIGKILL'),
  }
}
