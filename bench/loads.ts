/** What is measured: each load runs once against a URL and answers operations per second. */
import { run } from '../test/support/palisade-process.ts'
import { qemuImgBench } from '../test/support/qemu-io.ts'

const KIB = 1024

export interface Load {
  readonly name: string
  readonly sizeBytes: number
  /** Ratio to the peer that is aimed at. */
  readonly aim: number
  measure(url: string, seconds: number): Promise<Measured>
}

export interface Measured {
  readonly perSecond: number
  /** Operations in all, trial runs included. */
  readonly operations: number
}

interface QemuLoad {
  readonly name: string
  readonly sizeBytes: number
  readonly stepBytes: number
  readonly write: boolean
  readonly aim: number
  /** Operations of one second on a fast machine: the first guess of how many to run. */
  readonly perSecond: number
}

/** Runs as many operations as take about the time wanted, by the rate of a short first run. */
function qemu(load: QemuLoad): Load {
  const { name, sizeBytes, stepBytes, write, aim, perSecond } = load
  const bench = (url: string, count: number): Promise<number> =>
    qemuImgBench({ url, count, depth: 32, sizeBytes, stepBytes, write })
  return {
    name,
    sizeBytes,
    aim,
    async measure(url, seconds) {
      const trial = Math.ceil(perSecond / 10)
      const count = Math.ceil((trial / (await bench(url, trial))) * seconds)
      return { perSecond: count / (await bench(url, count)), operations: trial + count }
    },
  }
}

/** iscsi-perf reads at random addresses. */
const randomRead: Load = {
  name: '4 KiB random read (iscsi-perf)',
  sizeBytes: 4 * KIB,
  aim: 1,
  async measure(url, seconds) {
    const whole = Math.max(1, Math.round(seconds))
    const args = ['-m', '32', '-b', '8', '-r', '-t', String(whole), url]
    const { stdout, stderr } = await run('iscsi-perf', args)
    const average = /iops average (\d+)/.exec(stdout)?.[1]
    if (average === undefined) throw new Error(`iscsi-perf: ${stdout}${stderr}`)
    return { perSecond: Number(average), operations: Number(average) * whole }
  },
}

/** A step of many pages and one more, so that no read-ahead guesses the next address. */
const scattered = 4 * KIB * 1031

export const loads: readonly Load[] = [
  randomRead,
  qemu({
    name: '4 KiB scattered read',
    sizeBytes: 4 * KIB,
    stepBytes: scattered,
    write: false,
    aim: 1,
    perSecond: 40_000,
  }),
  qemu({
    name: '4 KiB scattered write',
    sizeBytes: 4 * KIB,
    stepBytes: scattered,
    write: true,
    aim: 1,
    perSecond: 30_000,
  }),
  ...[64, 1024].flatMap((kib) =>
    [false, true].map((write) =>
      qemu({
        name: `${kib === 1024 ? '1 MiB' : `${kib} KiB`} ${write ? 'write' : 'read'}`,
        sizeBytes: kib * KIB,
        stepBytes: kib * KIB,
        write,
        aim: 0.8,
        perSecond: 800_000 / kib,
      }),
    ),
  ),
]
