/**
 * Region masks over a disk that loses what was not flushed. The process dies at any operation of its
 * disk, the machine with it or not, and comes back, again and again. Judged after each death: every
 * bit whose mark resolved is set, and a label vouches for all that it says it does.
 */
import fc from 'fast-check'
import t from 'tap'
import type { BlockFile, BlockFiles } from '../../src/ports/block-file.ts'
import type { MaskSet } from '../../targets/mirror/mask-set.ts'
import { MaskStore } from '../../targets/mirror/mask-store.ts'
import { RegionMask } from '../../targets/mirror/region-mask.ts'
import type { SegmentMasks } from '../../targets/mirror/segment-masks.ts'
import { FaultPlan } from '../support/fault-plan.ts'
import { LossyBlockFiles } from '../support/lossy-block-files.ts'
import { settle } from '../support/manual-clock.ts'
import { MemoryBlockFiles } from '../support/memory-block-files.ts'
import { quietLog } from '../support/quiet-log.ts'
import { seededFractions } from '../support/seeded-random.ts'
import { testUuid } from '../support/volume-maps.ts'

const segmentId = testUuid(1)
const servers = [testUuid(2), testUuid(3), testUuid(4)]
/** Few, so that steps meet; what is beyond one page of a mask, the unit tests look at. */
const regions = 4
const regionBlocks = 1024

interface Step {
  readonly what: 'mark' | 'clear' | 'leave' | 'forget' | 'forgetAll' | 'takeOver' | 'merge'
  readonly region: number
  readonly count: number
  readonly inSync: boolean
  readonly lacking: readonly string[]
  readonly after: 'go on' | 'wait' | 'settle'
}

interface Life {
  readonly steps: readonly Step[]
  /** The process dies at this operation of its disk. */
  readonly diesAt: number
  readonly powerLost: boolean
}

/** What one label vouches for. */
interface Claim {
  readonly serverId: string
  readonly regions: Set<number>
  revoked: boolean
}

/** What must be on the disk, whatever happens. */
class Ghost {
  readonly inSync = new Set<number>()
  readonly lacks = new Map<string, Set<number>>()
  readonly claims = new Map<number, Claim>()
  readonly #marking = new Set<readonly number[]>()
  /** What was asked before a forget is forgotten with it. */
  readonly #eras = new Map<string, number>()
  #label = 0

  /** A new label; `former` is called when those before it are nowhere any more. */
  claiming(serverId: string, differs: Iterable<number>): { label: number; former: () => void } {
    const before = this.standing(serverId)
    this.#label += 1
    this.claims.set(this.#label, { serverId, regions: new Set(differs), revoked: false })
    const former = (): void => {
      for (const claim of before) claim.revoked = true
    }
    return { label: this.#label, former }
  }

  lacksOf(serverId: string): Set<number> {
    const known = this.lacks.get(serverId) ?? new Set()
    this.lacks.set(serverId, known)
    return known
  }

  standing(serverId: string): Claim[] {
    return [...this.claims.values()].filter((each) => each.serverId === serverId && !each.revoked)
  }

  /** Until the returned function is called nothing is promised. */
  marking(range: readonly number[], inSync: boolean, lacking: readonly string[]): () => void {
    if (inSync) this.#marking.add(range)
    const eras = new Map(this.#eras)
    return () => {
      this.#marking.delete(range)
      if (inSync) for (const region of range) this.inSync.add(region)
      for (const serverId of lacking) {
        if (eras.get(serverId) === this.#eras.get(serverId)) this.#lack(serverId, range)
      }
    }
  }

  forgetting(serverId: string): () => void {
    const claims = this.standing(serverId)
    this.lacksOf(serverId).clear()
    this.#eras.set(serverId, (this.#eras.get(serverId) ?? 0) + 1)
    return () => {
      for (const claim of claims) claim.revoked = true
    }
  }

  #lack(serverId: string, range: readonly number[]): void {
    for (const region of range) {
      this.lacksOf(serverId).add(region)
      for (const claim of this.standing(serverId)) claim.regions.add(region)
    }
  }

  clear(range: readonly number[], inSync: boolean, lacking: readonly string[]): void {
    for (const region of range) {
      if (inSync) this.inSync.delete(region)
      for (const serverId of lacking) {
        this.lacksOf(serverId).delete(region)
        for (const claim of this.standing(serverId)) claim.regions.delete(region)
      }
    }
  }

  /** What may differ now: promised, or about to be. */
  mayDiffer(): Set<number> {
    return new Set([...this.inSync, ...[...this.#marking].flat()])
  }

  /** Nothing that was under way at a death was promised to anybody. */
  died(): void {
    this.#marking.clear()
  }
}

/** Files whose operations never answer once their process is dead. */
class MortalFiles implements BlockFiles {
  readonly died: Promise<void>
  readonly #backing: BlockFiles
  #left: number
  #die: () => void = () => undefined

  constructor(backing: BlockFiles, operations: number) {
    this.#backing = backing
    this.#left = operations
    this.died = new Promise((resolve) => {
      this.#die = resolve
    })
  }

  get dead(): boolean {
    return this.#left < 0
  }

  async open(name: string, options?: { create?: boolean }): Promise<BlockFile> {
    const file = await this.#live(() => this.#backing.open(name, options))
    return {
      get sizeBytes() {
        return file.sizeBytes
      },
      read: (buffer, offsetBytes) => this.#live(() => file.read(buffer, offsetBytes)),
      write: (buffers, offsetBytes) => this.#live(() => file.write(buffers, offsetBytes)),
      flush: () => this.#live(() => file.flush()),
      resize: (sizeBytes) => this.#live(() => file.resize(sizeBytes)),
      close: () => this.#live(() => file.close()),
    }
  }

  exists(name: string): Promise<boolean> {
    return this.#live(() => this.#backing.exists(name))
  }

  remove(name: string): Promise<void> {
    return this.#live(() => this.#backing.remove(name))
  }

  async #live<T>(run: () => Promise<T>): Promise<T> {
    const forever = new Promise<T>(() => undefined)
    if (this.dead) return forever
    this.#left -= 1
    if (this.#left === -1) this.#die()
    // The last one has its effect, and nobody hears of it.
    const result = await run()
    return this.dead ? forever : result
  }
}

const rangeOf = ({ region, count }: Step): number[] =>
  Array.from({ length: count }, (_, index) => region + index).filter((each) => each < regions)

const setOf = (set: readonly number[]): Buffer => {
  const mask = new RegionMask(regions)
  for (const region of set) mask.set(region)
  return mask.toBuffer()
}

/** Calls, and tells the ghost when it is promised. */
function take(masks: SegmentMasks, ghost: Ghost, step: Step): Promise<void> | undefined {
  const { inSync, lacking } = step
  const range = rangeOf(step)
  switch (step.what) {
    case 'mark': {
      const promised = ghost.marking(range, inSync, lacking)
      const marked = masks.mark(range[0]!, range.at(-1)! + 1, lacking, inSync)
      if (marked === undefined) promised()
      return marked?.then(promised)
    }
    case 'clear':
      ghost.clear(range, inSync, lacking)
      return void masks.clear(range, { inSync, lacks: lacking })
    case 'leave':
      return leave(masks, ghost, lacking)
    case 'forget':
      return all(lacking.map((serverId) => masks.forget(serverId).then(ghost.forgetting(serverId))))
    case 'forgetAll': {
      const done = masks.forgetAll()
      return all(servers.map((serverId) => done.then(ghost.forgetting(serverId))))
    }
    case 'takeOver':
      return takeOver(masks, ghost, step)
    case 'merge': {
      const promised = ghost.marking([...ghost.mayDiffer()], false, lacking)
      return masks.mergeIntoLacks(lacking).then(promised)
    }
  }
}

async function all(promises: readonly Promise<void>[]): Promise<void> {
  await Promise.all(promises)
}

function leave(masks: SegmentMasks, ghost: Ghost, lacking: readonly string[]): Promise<void> {
  return all(
    lacking.map((serverId) => {
      const differs = ghost.mayDiffer()
      const replaced = ghost.claiming(serverId, differs)
      const promised = ghost.marking([...differs], false, [serverId])
      return masks.leave(serverId, replaced.label).then(() => {
        replaced.former()
        promised()
      })
    }),
  )
}

function takeOver(masks: SegmentMasks, ghost: Ghost, step: Step): Promise<void> {
  const range = rangeOf(step)
  const promised = [ghost.marking(range, true, step.lacking)]
  const lacks = step.lacking.map((serverId) => {
    const { label, former } = ghost.claiming(serverId, range)
    promised.push(former)
    return { serverId, label, regions: setOf(range) }
  })
  const set: MaskSet = { inSync: setOf(range), lacks, inSyncGeneration: 1 }
  return masks.takeOver(set).then(() => {
    for (const each of promised) each()
  })
}

function judge(masks: SegmentMasks, ghost: Ghost, when: string): void {
  for (const region of ghost.inSync) {
    if (!masks.inSync.has(region)) throw new Error(`${when}: region ${region} lost its mark`)
  }
  for (const [serverId, lacked] of ghost.lacks) {
    for (const region of lacked) {
      if (masks.lacks(serverId)?.has(region)) continue
      throw new Error(`${when}: it is forgotten that ${serverId} lacks ${region}`)
    }
  }
  for (const serverId of masks.lacking) {
    const label = masks.label(serverId)
    if (label === 0) continue
    const claim = ghost.claims.get(label)
    if (claim?.serverId !== serverId || claim.revoked) {
      throw new Error(`${when}: label ${label} of ${serverId} was taken back`)
    }
    for (const region of claim.regions) {
      if (masks.lacks(serverId)?.has(region)) continue
      throw new Error(`${when}: label ${label} of ${serverId} says that it has ${region}`)
    }
  }
}

async function live(
  masks: SegmentMasks,
  ghost: Ghost,
  { steps, files }: { readonly steps: readonly Step[]; readonly files: MortalFiles },
): Promise<void> {
  for (const step of steps) {
    if (files.dead) return
    const taken = take(masks, ghost, step)
    if (step.after === 'wait') await taken
    if (step.after === 'settle') await settle()
  }
  await settle()
}

async function run(lives: readonly Life[], seed: number): Promise<void> {
  const plan = new FaultPlan({ random: seededFractions(seed) })
  const disk = new MemoryBlockFiles()
  const ghost = new Ghost()
  let machine = new LossyBlockFiles(disk, plan)
  for (const [index, { steps, diesAt, powerLost }] of lives.entries()) {
    const files = new MortalFiles(machine, diesAt)
    const one = async (): Promise<void> => {
      const masks = await open(files)
      judge(masks, ghost, `life ${index}`)
      await live(masks, ghost, { steps, files })
      judge(masks, ghost, `end of life ${index}`)
    }
    await Promise.race([one(), files.died])
    // What was answered in the turn of the death is answered.
    await settle()
    ghost.died()
    if (!powerLost) continue
    await machine.crash()
    machine = new LossyBlockFiles(disk, plan)
  }
  judge(await open(machine), ghost, 'at last')
}

function open(files: BlockFiles): Promise<SegmentMasks> {
  const store = MaskStore.open({ files, log: quietLog })
  return store.segment(segmentId, regions * regionBlocks, 4096)
}

t.test('what was promised survives any deaths', async (t) => {
  const step: fc.Arbitrary<Step> = fc.record({
    what: fc.oneof(
      { weight: 6, arbitrary: fc.constant('mark' as const) },
      { weight: 3, arbitrary: fc.constant('clear' as const) },
      {
        weight: 5,
        arbitrary: fc.constantFrom('leave', 'leave', 'forget', 'forgetAll', 'takeOver', 'merge'),
      },
    ),
    region: fc.nat(regions - 1),
    count: fc.integer({ min: 1, max: 2 }),
    inSync: fc.boolean(),
    lacking: fc.uniqueArray(fc.constantFrom(...servers), { maxLength: 2 }),
    after: fc.constantFrom('go on', 'go on', 'wait', 'settle'),
  })
  const life: fc.Arbitrary<Life> = fc.record({
    steps: fc.array(step, { maxLength: 12 }),
    diesAt: fc.integer({ min: 1, max: 70 }),
    powerLost: fc.boolean(),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(life, { minLength: 1, maxLength: 4 }), fc.integer(), run),
    { numRuns: 500 },
  )
  t.pass()
})
