/** A device server over units in memory, driven the way a transport drives it. */
import type { Clock } from '../../src/ports/clock.ts'
import { DeviceServer } from '../../src/scsi/device-server.ts'
import type { Silence, Task } from '../../src/scsi/logical-unit.ts'
import type { ScsiResult, Sense } from '../../src/scsi/result.ts'
import { MemoryUnit, testNexus, testTask } from './memory-unit.ts'

export class ScsiRig {
  readonly units: Map<number, MemoryUnit>
  readonly server: DeviceServer<Task>
  readonly nexus = testNexus()

  constructor(
    units: MemoryUnit | ReadonlyMap<number, MemoryUnit> = new MemoryUnit(),
    clock?: Clock,
  ) {
    this.units = units instanceof MemoryUnit ? new Map([[0, units]]) : new Map(units)
    this.server = new DeviceServer<Task>(
      {
        luns: () => [...this.units.keys()].sort((one, other) => one - other),
        unit: (lun) => this.units.get(lun),
      },
      clock,
    )
    this.server.nexusGained(this.nexus)
  }

  get unit(): MemoryUnit {
    return this.units.get(0)!
  }

  task(cdb: Buffer | string, lun = 0, nexus = this.nexus): Task {
    return testTask(nexus, typeof cdb === 'string' ? hex(cdb) : cdb, { lun })
  }

  arrive(cdb: Buffer | string, lun = 0): ScsiResult | Silence | undefined {
    return this.server.arrive(this.task(cdb, lun))
  }

  /** Arrival, then execution unless the arrival ended it. */
  async send(
    cdb: Buffer | string,
    options: { lun?: number; data?: readonly Buffer[]; nexus?: Task['nexus'] } = {},
  ): Promise<ScsiResult | Silence> {
    const task = this.task(cdb, options.lun, options.nexus)
    return this.server.arrive(task) ?? (await this.server.execute(task, options.data ?? []))
  }

  /** The data of a command that must end GOOD. */
  async dataOf(cdb: Buffer | string, options: { lun?: number } = {}): Promise<Buffer> {
    const result = await this.send(cdb, options)
    if (result === 'drop' || result.status !== 0) {
      throw new Error(`expected GOOD, got ${describe(result)}`)
    }
    return Buffer.concat(result.dataIn)
  }

  /** GOOD, a status, or the sense of a command as `key/asc/ascq`, for short assertions. */
  async outcome(
    cdb: Buffer | string,
    options: { lun?: number; data?: readonly Buffer[]; nexus?: Task['nexus'] } = {},
  ): Promise<string> {
    return describe(await this.send(cdb, options))
  }
}

export function hex(text: string): Buffer {
  const digits = text.replaceAll(/\s/g, '')
  const buffer = Buffer.from(digits, 'hex')
  if (buffer.length * 2 !== digits.length) throw new Error(`not hexadecimal: ${text}`)
  return buffer
}

export function describe(result: ScsiResult | Silence | undefined): string {
  if (result === undefined || result === 'drop') return String(result)
  if (result.status === 0x02) return senseText(result.sense)
  return result.status === 0 ? 'GOOD' : result.status.toString(16)
}

export function senseText({ key, asc, ascq }: Sense): string {
  return [key, asc, ascq].map((part) => part.toString(16).padStart(2, '0')).join('/')
}
