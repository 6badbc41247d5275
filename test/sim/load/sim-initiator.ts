/**
 * An initiator under load: some workers, each with one operation under way. An operation that lost
 * its session is sent again, as a stock initiator does, until it is answered. It judges statuses:
 * what is no success has to have a reason that the simulation knows of.
 */
import { pageBytes } from '../../../src/base/limits.ts'
import { decodeSense } from '../../../src/scsi/sense-format.ts'
import type { Violations } from '../checks/violations.ts'
import type { Chance } from '../world/chance.ts'
import type { SimProcess } from '../world/sim-process.ts'
import * as cdbs from './cdbs.ts'
import type { Attachment, Request } from './front-session.ts'
import type { Ending, History, Operation } from './history.ts'
import { readStamp, sameStamp, sectorBytes, stampedBlocks, stampedSector } from './stamps.ts'

/** What is beyond the end that the front end knows is asked for again after this. */
const unknownBlocksMs = 50

export interface LoadVolume {
  readonly number: number
  readonly name: string
  blocks: number
  /** So many every front end knows of; it may hear later of those that the volume grew by. */
  readonly knownBlocks: number
  /** Where operations meet. */
  readonly hot: readonly number[]
}

export interface InitiatorOptions {
  readonly name: string
  readonly client: string
  readonly volume: LoadVolume
  readonly session: Attachment
  readonly process: SimProcess
  readonly chance: Chance
  readonly history: History
  readonly violations: Violations
  readonly weights: LoadWeights
  /** Between two operations of a worker. */
  readonly thinkMs: number
  readonly workers: number
  /** May this client be refused now? */
  readonly isFenced: (sinceMs: number) => boolean
  readonly mayFail: (sinceMs: number) => boolean
}

export interface LoadWeights {
  readonly read: number
  readonly write: number
  readonly large: number
  readonly unmap: number
  readonly same: number
  readonly compare: number
  readonly flush: number
  readonly forced: number
  readonly letGo: number
}

const pageBlocks = pageBytes / sectorBytes

type Answer =
  | { readonly kind: 'good'; readonly data: Buffer }
  | { readonly kind: 'lost' }
  | { readonly kind: 'aborted' }
  | { readonly kind: 'again'; readonly afterMs: number }
  | { readonly kind: 'miscompare' }
  | { readonly kind: 'lost-data' }
  | { readonly kind: 'failed'; readonly why: string }
  | { readonly kind: 'in-doubt'; readonly why: string }

interface Draft {
  readonly kind: Operation['kind']
  readonly lba: number
  readonly blocks: number
  readonly forced?: boolean
  readonly same?: true
  readonly expected?: number
  readonly request: (number: number) => Request
}

export class SimInitiator {
  readonly options: InitiatorOptions
  /** Operations under way, for those who wait for the end. */
  readonly open = new Map<Operation, number>()
  completed = 0
  #stopping = false
  readonly #known = new Map<number, number>()

  constructor(options: InitiatorOptions) {
    this.options = options
  }

  start(): void {
    for (let i = 0; i < this.options.workers; i++) void this.#work()
  }

  /** Begins nothing any more. */
  stopLoad(): void {
    this.#stopping = true
  }

  get idle(): boolean {
    return this.open.size === 0
  }

  /** Reads all the blocks that operations met at. */
  async readAll(): Promise<void> {
    for (const lba of this.options.volume.hot) await this.#perform(this.#read(lba, 4))
  }

  async flush(): Promise<void> {
    await this.#perform(this.#flush())
  }

  async read(lba: number): Promise<void> {
    await this.#perform(this.#read(lba, 1))
  }

  async write(lba: number): Promise<void> {
    await this.#perform(this.#write(lba, 1))
  }

  async compareAndWrite(lba: number): Promise<void> {
    await this.#perform(this.#compare(lba, this.#known.get(lba) ?? 0))
  }

  /** Gives back the page that the block is in. */
  async freePage(lba: number): Promise<void> {
    await this.#perform(this.#freePage(lba))
  }

  async #work(): Promise<void> {
    const { chance, thinkMs } = this.options
    while (!this.#stopping) {
      await this.#pause(chance.between(0, 2 * thinkMs))
      if (!this.#stopping) await this.#perform(this.#draw())
    }
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => void this.options.process.clock.after(ms, resolve))
  }

  #draw(): Draft {
    const { chance, weights, volume } = this.options
    const lba = chance.pick(volume.hot)
    const blocks = chance.pick([1, 1, 1, 2, 3, 4])
    const kinds: readonly [number, () => Draft][] = [
      [weights.read, () => this.#read(lba, blocks)],
      [weights.write, () => this.#write(lba, blocks)],
      [weights.large, () => this.#write(lba, Math.min(8 + chance.below(200), volume.blocks - lba))],
      [weights.unmap, () => (chance.happens(0.3) ? this.#freePage(lba) : this.#unmap(lba, blocks))],
      [weights.same, () => this.#same(lba, blocks)],
      [weights.compare, () => this.#compare(lba, this.#expected(lba))],
      [weights.flush, () => this.#flush()],
    ]
    const sum = kinds.reduce((total, [weight]) => total + weight, 0)
    let at = chance.fraction() * sum
    for (const [weight, draft] of kinds) {
      at -= weight
      if (at < 0) return draft()
    }
    return this.#read(lba, blocks)
  }

  #read(lba: number, asked: number): Draft {
    const blocks = Math.min(asked, this.options.volume.blocks - lba)
    const request = { cdb: cdbs.read16(lba, blocks), dataInBytes: blocks * sectorBytes }
    return { kind: 'read', lba, blocks, request: () => request }
  }

  #write(lba: number, asked: number): Draft {
    const { volume, chance, weights } = this.options
    const blocks = Math.min(asked, volume.blocks - lba)
    const forced = chance.happens(weights.forced)
    return {
      kind: 'write',
      lba,
      blocks,
      forced,
      request: (operation) => ({
        cdb: cdbs.write16(lba, blocks, forced),
        dataOut: [stampedBlocks({ volume: volume.number, lba, operation }, blocks)],
      }),
    }
  }

  #same(lba: number, asked: number): Draft {
    const { volume } = this.options
    const blocks = Math.min(asked * 4, volume.blocks - lba)
    return {
      kind: 'write',
      lba,
      blocks,
      same: true,
      request: (operation) => ({
        cdb: cdbs.writeSame16(lba, blocks, false),
        dataOut: [sameStamp(volume.number, operation)],
      }),
    }
  }

  #unmap(lba: number, asked: number): Draft {
    const blocks = Math.min(asked, this.options.volume.blocks - lba)
    const request = { cdb: cdbs.unmap(), dataOut: [cdbs.unmapList(lba, blocks)] }
    return { kind: 'unmap', lba, blocks, request: () => request }
  }

  /** What lies around there is given back. */
  #freePage(lba: number): Draft {
    return this.#unmap(lba - (lba % pageBlocks), pageBlocks)
  }

  /** What this initiator saw there last, or what nobody wrote. */
  #expected(lba: number): number {
    const { chance } = this.options
    return chance.happens(0.8) ? (this.#known.get(lba) ?? 0) : 0
  }

  #compare(lba: number, expected: number): Draft {
    const { volume, history } = this.options
    const isSame = history.operations.get(expected)?.same === true
    const stamp = { volume: volume.number, lba, operation: expected }
    return {
      kind: 'compare',
      lba,
      blocks: 1,
      expected,
      request: (operation) => ({
        cdb: cdbs.compareAndWrite(lba),
        dataOut: [
          isSame ? sameStamp(volume.number, expected) : stampedSector(stamp),
          stampedSector({ volume: volume.number, lba, operation }),
        ],
      }),
    }
  }

  #flush(): Draft {
    const { blocks } = this.options.volume
    const request = { cdb: cdbs.synchronizeCache() }
    return { kind: 'flush', lba: 0, blocks, request: () => request }
  }

  async #perform({ request, ...draft }: Draft): Promise<void> {
    const { history, name, client, volume, process } = this.options
    const number = history.nextNumber()
    const operation: Operation = {
      forced: false,
      ...draft,
      number,
      initiator: name,
      client,
      volume: volume.number,
    }
    const atMs = process.machine.world.nowMs
    this.open.set(operation, atMs)
    history.add({ what: 'begin', operation, atMs })
    this.#note(`${number} ${text(operation)}`)
    await this.#untilAnswered(operation, request(number))
    this.open.delete(operation)
    this.completed++
  }

  async #untilAnswered(operation: Operation, request: Request): Promise<void> {
    const { session, chance, weights, process } = this.options
    const beganMs = process.machine.world.nowMs
    let mayBeDone = false
    for (;;) {
      await session.ready()
      if (mayBeDone && (operation.kind === 'compare' || chance.happens(weights.letGo))) {
        await session.settled()
        this.#end(operation, 'let-go')
        return
      }
      const answer = await this.#once(operation, request, beganMs)
      switch (answer.kind) {
        case 'lost':
          mayBeDone = true
          continue
        case 'again':
          await this.#pause(answer.afterMs)
          continue
        case 'good':
          this.#good(operation, answer.data)
          return
        case 'aborted':
          this.#end(operation, 'let-go')
          return
        case 'miscompare':
          this.#end(operation, 'miscompare')
          return
        case 'lost-data':
          this.#told()
          this.#end(operation, 'failed')
          return
        case 'failed':
        case 'in-doubt':
          this.#note(`${operation.number} ${answer.kind}: ${answer.why}`)
          this.#end(operation, answer.kind)
          return
      }
    }
  }

  #good(operation: Operation, data: Buffer): void {
    const { volume, violations } = this.options
    if (operation.kind !== 'read') {
      if (operation.kind === 'write') this.#known.set(operation.lba, operation.number)
      if (operation.kind === 'compare') this.#known.set(operation.lba, operation.number)
      this.#end(operation, 'good')
      return
    }
    const seen: number[] = []
    for (let i = 0; i < operation.blocks; i++) {
      const sector = data.subarray(i * sectorBytes, (i + 1) * sectorBytes)
      const stamp = readStamp(sector, volume.number, operation.lba + i)
      if (typeof stamp === 'string') {
        violations.add('stamp', `${volume.name} block ${operation.lba + i} ${stamp}`)
        seen.push(-1)
      } else seen.push(stamp)
    }
    this.#known.set(operation.lba, seen[0]!)
    this.#note(`${operation.number} read ${seen.join(' ')}`)
    this.#end(operation, 'good', seen)
  }

  #end(operation: Operation, ending: Ending, seen?: readonly number[]): void {
    const { history, process } = this.options
    const atMs = process.machine.world.nowMs
    if (seen === undefined) this.#note(`${operation.number} ${ending}`)
    history.add({ what: 'end', operation, ending, atMs, ...(seen !== undefined && { seen }) })
  }

  async #once(operation: Operation, request: Request, beganMs: number): Promise<Answer> {
    const answer = await this.options.session.submit(request)
    if (answer.kind !== 'status') return { kind: answer.kind }
    const { status, sense, dataIn } = answer
    switch (status) {
      case 0x00:
        return { kind: 'good', data: Buffer.concat(dataIn) }
      case 0x02:
        return this.#condition(operation, sense ?? Buffer.alloc(0), beganMs)
      case 0x08:
      case 0x28:
        this.#note(`${operation.number} busy`)
        return { kind: 'again', afterMs: 200 }
      case 0x18:
        if (!this.options.isFenced(beganMs)) this.#unexpected(operation, 'RESERVATION CONFLICT')
        return { kind: 'failed', why: 'fenced' }
      default:
        this.#unexpected(operation, `status ${status}`)
        return { kind: 'failed', why: `status ${status}` }
    }
  }

  #condition(operation: Operation, bytes: Buffer, beganMs: number): Answer {
    const sense = decodeSense(bytes)
    const code = sense ? `${hex(sense.key)}/${hex(sense.asc)}/${hex(sense.ascq)}` : 'no sense'
    const { mayFail, isFenced, volume } = this.options
    switch (code) {
      case '6/29/0':
        this.#note('is told of a reset: 29h/00h')
        return { kind: 'again', afterMs: 0 }
      case 'e/1d/0':
        return { kind: 'miscompare' }
      case '3/c/0':
        return { kind: 'lost-data' }
      case 'b/8/0':
        if (operation.kind === 'compare') return { kind: 'in-doubt', why: 'nobody knows' }
        break
      case '5/21/0':
        if (operation.lba + operation.blocks <= volume.knownBlocks) break
        return { kind: 'again', afterMs: unknownBlocksMs }
      case '2/4/0':
        if (mayFail(beganMs) || isFenced(beganMs)) return { kind: 'in-doubt', why: 'not ready' }
        break
    }
    if (code.startsWith('6/')) return { kind: 'again', afterMs: 0 }
    if (!mayFail(beganMs)) this.#unexpected(operation, `sense ${code}`)
    return { kind: 'failed', why: code }
  }

  #told(): void {
    const { history, name, volume, process } = this.options
    const atMs = process.machine.world.nowMs
    this.#note('is told that what it wrote may be lost')
    history.add({ what: 'told', initiator: name, volume: volume.number, atMs })
  }

  #unexpected(operation: Operation, what: string): void {
    const { violations, name } = this.options
    violations.add('error', `${name}: ${operation.number} ${text(operation)} got ${what}`)
  }

  #note(what: string): void {
    const { name, process } = this.options
    process.machine.world.note(`${name}: ${what}`)
  }
}

function hex(number: number): string {
  return number.toString(16)
}

export function text({ kind, lba, blocks, forced, expected }: Operation): string {
  const range = kind === 'flush' ? '' : ` ${lba}+${blocks}`
  return `${kind}${range}${forced ? ' forced' : ''}${expected === undefined ? '' : ` if ${expected}`}`
}
