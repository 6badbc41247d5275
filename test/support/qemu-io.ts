/** qemu's own I/O tools on iscsi:// URLs: pattern writes and reads, images, load. */
import { run } from './palisade-process.ts'

/** One qemu-io process running the commands in order; throws what it said when one failed. */
export async function qemuIo(
  url: string,
  commands: readonly string[],
  options: { readonly timeoutMs?: number; readonly unmap?: boolean } = {},
): Promise<string> {
  const unmap = options.unmap === true ? ['-d', 'unmap'] : []
  const args = [
    '-f',
    'raw',
    '-t',
    'none',
    ...unmap,
    ...commands.flatMap((command) => ['-c', command]),
    url,
  ]
  const { code, stdout, stderr } = await run('qemu-io', args, options)
  // qemu-io tells of a pattern mismatch in its output. qemu goes on without GET LBA STATUS.
  const said = (stdout + stderr).replace(/.*GET_LBA_STATUS failed.*/g, '')
  if (code !== 0 || /verification failed|error|fail/i.test(said)) {
    const lines = said.split('\n').filter((line) => /fail|error|invalid/i.test(line))
    const asked = commands.join('; ').slice(0, 1_000)
    throw new Error(`qemu-io ${asked}: ${code}\n${(lines.join('\n') || said).slice(0, 4_000)}`)
  }
  return stdout
}

/** Writes `pattern` (one byte) to the range. */
export function writePattern(pattern: number, offsetBytes: number, lengthBytes: number): string {
  return `write -P ${pattern} ${offsetBytes} ${lengthBytes}`
}

/** Reads the range and compares it with `pattern`. */
export function readPattern(pattern: number, offsetBytes: number, lengthBytes: number): string {
  return `read -P ${pattern} ${offsetBytes} ${lengthBytes}`
}

export async function qemuImg(
  args: readonly string[],
  options: { readonly timeoutMs?: number } = {},
): Promise<string> {
  const { code, stdout, stderr } = await run('qemu-img', args, options)
  if (code !== 0) throw new Error(`qemu-img ${args.join(' ')}: ${code}\n${stdout}${stderr}`)
  return stdout
}

export interface BenchLoad {
  readonly url: string
  readonly count: number
  readonly depth: number
  readonly sizeBytes: number
  /** Distance from one request to the next; it wraps around at the end of the disk. */
  readonly stepBytes: number
  readonly write: boolean
}

/** qemu-img bench; seconds that the requests took, as it measured them. */
export async function qemuImgBench(load: BenchLoad, timeoutMs = 120_000): Promise<number> {
  const { url, count, depth, sizeBytes, stepBytes, write } = load
  const numbers = ['-c', count, '-d', depth, '-s', sizeBytes, '-S', stepBytes].map(String)
  const args = ['bench', '-f', 'raw', '-t', 'none', ...numbers, ...(write ? ['-w'] : []), url]
  const seconds = /Run completed in ([0-9.]+) seconds/.exec(await qemuImg(args, { timeoutMs }))?.[1]
  if (seconds === undefined) throw new Error('qemu-img bench did not say how long it took')
  return Number(seconds)
}
