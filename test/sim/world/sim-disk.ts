/**
 * The BlockFiles port over a simulated disk. An operation takes time, and has its effect at some
 * moment before it is answered; of one that its process did not live to see, nobody knows. What no
 * flush covered is lost with the power of the machine: all, nothing, or any part, torn at sectors.
 */
import { StorageError } from '../../../src/base/errors.ts'
import type { BlockFile, BlockFiles } from '../../../src/ports/block-file.ts'
import type { Chance } from './chance.ts'
import type { Machine } from './machine.ts'
import type { SimProcess } from './sim-process.ts'
import { SparseBytes } from './sparse-bytes.ts'

interface Pending {
  readonly bytes: Buffer
  readonly offsetBytes: number
}

/** What is wrong with a disk now. */
export interface DiskFaults {
  /** Operations take so much longer at most. */
  slowMs: number
  /** What is done with user data takes so much longer at most: it lands late. */
  lateMs: number
  /** Writes find no space, also where something was before; part of each may be there. */
  full: boolean
  /** The next flushes fail, and what they were to cover is lost in part. */
  failingFlushes: number
  /** Reads of user data fail with this probability. */
  failingReads: number
  failingWrites: number
  /** So many writes of user data go to another place than they should. */
  misdirected: number
}

/** So far from its place does a write land that goes astray. */
const strayBytes = [512, 4096, 65_536]

export class SimDisk {
  readonly machine: Machine
  readonly chance: Chance
  readonly faults: DiskFaults = {
    slowMs: 0,
    lateMs: 0,
    full: false,
    failingFlushes: 0,
    failingReads: 0,
    failingWrites: 0,
    misdirected: 0,
  }
  readonly #files = new Map<string, SimFile>()
  readonly #underWay = new Map<SimProcess, Set<() => void>>()
  /** By the name of a file on which nothing has its effect now: what waits for that. */
  readonly #held = new Map<string, (() => void)[]>()
  /** A flush has failed, once. */
  failed = false
  /** Called when a flush has failed: data may be lost. */
  onLoss: () => void = () => undefined

  constructor(machine: Machine, name: string) {
    this.machine = machine
    this.chance = machine.world.chance.fork(`disk ${name}`)
    machine.onPowerLoss(() => {
      for (const file of this.#files.values()) file.losePower()
    })
  }

  /** The disk as one process sees it. */
  of(process: SimProcess): BlockFiles {
    return {
      open: async (name, options = {}) => {
        await this.operate(process, () => undefined)
        const known = this.#files.get(name)
        if (known === undefined && options.create !== true) {
          throw new StorageError('not-found', `there is no file ${name}`)
        }
        const file = known ?? new SimFile(this, name)
        this.#files.set(name, file)
        return new OpenFile(this, process, file)
      },
      exists: async (name) => this.#files.has(name),
      remove: (name) => this.operate(process, () => void this.#files.delete(name)),
    }
  }

  /** What is done with a file from now on waits; returns what lets it go on. */
  hold(name: string): () => void {
    const waiting: (() => void)[] = []
    this.#held.set(name, waiting)
    return () => {
      if (this.#held.get(name) === waiting) this.#held.delete(name)
      for (const run of waiting.splice(0)) run()
    }
  }

  /** All that is on it now; returns what puts it back, while the machine has no power. */
  backUp(): () => void {
    const files = [...this.#files].map(([name, file]) => [name, file.backUp()] as const)
    return () => {
      this.#files.clear()
      for (const [name, file] of files) this.#files.set(name, file.backUp())
    }
  }

  /** Has its effect and is answered some time from now. */
  operate(process: SimProcess, effect: () => void, name = ''): Promise<void> {
    return new Promise((resolve, reject) => {
      const underWay = this.#underWayOf(process)
      underWay.add(effect)
      const due = (): void => {
        const held = this.#held.get(name)
        if (held !== undefined) {
          held.push(due)
          return
        }
        if (!underWay.delete(effect)) return
        try {
          effect()
        } catch (error) {
          process.enter(() => reject(error))
          return
        }
        process.enter(resolve)
      }
      this.machine.world.after(this.#durationMs(name), due)
    })
  }

  /** What its process did not live to see had its effect before the end, or not at all. */
  #underWayOf(process: SimProcess): Set<() => void> {
    const known = this.#underWay.get(process)
    if (known !== undefined) return known
    const underWay = new Set<() => void>()
    this.#underWay.set(process, underWay)
    process.onDeath(() => {
      const effects = [...underWay].filter(() => this.chance.happens(0.5))
      underWay.clear()
      this.#underWay.delete(process)
      for (const effect of effects) tryOut(effect)
    })
    return underWay
  }

  #durationMs(name: string): number {
    const { slowMs, lateMs } = this.faults
    const isLate = lateMs > 0 && name === 'pages' && this.chance.happens(0.4)
    const ms = this.chance.between(0.02, 0.2) + (isLate ? this.chance.between(0, lateMs) : 0)
    return slowMs > 0 && this.chance.happens(0.3) ? ms + this.chance.between(0, slowMs) : ms
  }
}

/** What the machine knows of a file, over the lives of its processes. */
class SimFile {
  readonly #disk: SimDisk
  readonly name: string
  /** As programs see it, and as it is on the medium. */
  #seen = new SparseBytes()
  #durable = new SparseBytes()
  #pending: Pending[] = []
  /** Writes that left `#pending` so far. */
  #passed = 0

  constructor(disk: SimDisk, name: string) {
    this.#disk = disk
    this.name = name
  }

  get sizeBytes(): number {
    return this.#seen.sizeBytes
  }

  /** The same content, as if all of it had been flushed. */
  backUp(): SimFile {
    const copy = new SimFile(this.#disk, this.name)
    copy.#seen = this.#seen.copy()
    copy.#durable = this.#seen.copy()
    return copy
  }

  /** Counts the writes that were ever made. */
  get written(): number {
    return this.#passed + this.#pending.length
  }

  read(target: Buffer, offsetBytes: number): void {
    if (offsetBytes + target.length > this.#seen.sizeBytes) {
      throw new StorageError('io-error', `${this.name}: nothing at byte ${this.#seen.sizeBytes}`)
    }
    const { faults, chance } = this.#disk
    if (faults.failingReads > 0 && this.name === 'pages' && chance.happens(faults.failingReads)) {
      throw new StorageError('io-error', `${this.name}: the test lets a read fail`)
    }
    this.#seen.read(target, offsetBytes)
  }

  write(bytes: Buffer, offsetBytes: number): void {
    const { faults, chance } = this.#disk
    if (faults.full && this.name !== 'superblock') {
      this.#writePart(bytes, offsetBytes)
      throw new StorageError('no-space', `${this.name}: the test leaves no space`)
    }
    if (faults.failingWrites > 0 && chance.happens(faults.failingWrites)) {
      throw new StorageError('io-error', `${this.name}: the test lets a write fail`)
    }
    const at = this.#misdirected(offsetBytes, bytes.length)
    this.#seen.write(bytes, at)
    this.#pending.push({ bytes, offsetBytes: at })
  }

  /** Whole sectors of what is made of them; a record may be cut anywhere. */
  #writePart(bytes: Buffer, offsetBytes: number): void {
    const { chance } = this.#disk
    const cutBytes = offsetBytes % 512 === 0 ? 512 : 1
    const part = Math.floor((chance.fraction() * bytes.length) / cutBytes) * cutBytes
    if (part === 0 || chance.happens(0.5)) return
    this.#seen.write(bytes.subarray(0, part), offsetBytes)
    this.#pending.push({ bytes: bytes.subarray(0, part), offsetBytes })
  }

  /** Where it lands. */
  #misdirected(offsetBytes: number, lengthBytes: number): number {
    const { faults, chance, machine } = this.#disk
    if (faults.misdirected === 0 || this.name !== 'pages') return offsetBytes
    const ways = [-1, 1].map((way) => offsetBytes + way * chance.pick(strayBytes))
    const at = ways.find((to) => to >= 0 && to + lengthBytes <= this.sizeBytes)
    if (at === undefined) return offsetBytes
    faults.misdirected--
    machine.world.note(`${machine.name}: a write lands ${at - offsetBytes} bytes off its place`)
    return at
  }

  /** The first so many writes that were ever made. */
  flush(covered: number): void {
    const { faults, chance } = this.#disk
    const count = Math.max(0, Math.min(covered - this.#passed, this.#pending.length))
    const writes = this.#pending.splice(0, count)
    this.#passed += count
    if (faults.failingFlushes > 0 && count > 0) {
      faults.failingFlushes--
      this.#disk.failed = true
      for (const write of writes) if (chance.happens(0.5)) this.#keep(write)
      this.#disk.machine.world.note(`${this.#disk.machine.name}: a flush of ${this.name} fails`)
      this.#disk.onLoss()
      throw new StorageError('io-error', `${this.name}: the test lets a flush fail`)
    }
    for (const write of writes) this.#keep(write)
  }

  resize(sizeBytes: number): void {
    this.#seen.resize(sizeBytes)
    this.#durable.resize(sizeBytes)
    this.#pending = this.#pending.map(({ bytes, offsetBytes }) => ({
      bytes: bytes.subarray(0, Math.max(0, sizeBytes - offsetBytes)),
      offsetBytes,
    }))
  }

  losePower(): void {
    const { chance } = this.#disk
    const mode = chance.pick(['none', 'all', 'some', 'torn'] as const)
    const sectorBytes = chance.pick([512, 4096])
    for (const write of this.#pending) {
      if (mode === 'all' || (mode === 'some' && chance.happens(0.5))) this.#keep(write)
      if (mode === 'torn') this.#keepSectors(write, sectorBytes)
    }
    this.#passed += this.#pending.length
    this.#pending = []
    this.#seen = this.#durable.copy()
  }

  #keepSectors({ bytes, offsetBytes }: Pending, sectorBytes: number): void {
    const end = offsetBytes + bytes.length
    for (let at = offsetBytes; at < end; ) {
      const next = Math.min(end, (Math.floor(at / sectorBytes) + 1) * sectorBytes)
      const part = bytes.subarray(at - offsetBytes, next - offsetBytes)
      if (this.#disk.chance.happens(0.5)) this.#keep({ bytes: part, offsetBytes: at })
      at = next
    }
  }

  #keep({ bytes, offsetBytes }: Pending): void {
    this.#durable.write(bytes, offsetBytes)
  }
}

class OpenFile implements BlockFile {
  readonly #disk: SimDisk
  readonly #process: SimProcess
  readonly #file: SimFile

  constructor(disk: SimDisk, process: SimProcess, file: SimFile) {
    this.#disk = disk
    this.#process = process
    this.#file = file
  }

  get sizeBytes(): number {
    return this.#file.sizeBytes
  }

  read(buffer: Buffer, offsetBytes: number): Promise<void> {
    if (buffer.length === 0) return Promise.resolve()
    return this.#operate(() => this.#file.read(buffer, offsetBytes))
  }

  /** Borrowed until it settles, so that what is changed meanwhile is written changed. */
  write(buffers: readonly Uint8Array[], offsetBytes: number): Promise<void> {
    return this.#operate(() => this.#file.write(Buffer.concat(buffers), offsetBytes))
  }

  flush(): Promise<void> {
    const covered = this.#file.written
    return this.#operate(() => this.#file.flush(covered))
  }

  resize(sizeBytes: number): Promise<void> {
    return this.#operate(() => this.#file.resize(sizeBytes))
  }

  async close(): Promise<void> {
    await Promise.resolve()
  }

  #operate(effect: () => void): Promise<void> {
    return this.#disk.operate(this.#process, effect, this.#file.name)
  }
}

/** Nobody is left to hear of a failure. */
function tryOut(effect: () => void): void {
  try {
    effect()
  } catch (error) {
    if (!(error instanceof StorageError)) throw error
  }
}
