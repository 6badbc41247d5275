/**
 * The masks of one replica: where the in-sync replicas may differ, and what each replica of the map
 * that is not in sync lacks. All of it is in memory; a mark resolves when it is on the disk as well.
 * It decides neither what to mark nor what to clear, and knows no map.
 *
 * The disk may have bits more than the memory, never fewer of those that were promised, and never a
 * label before the bits that it vouches for. Any failure of the file is final for this object.
 */
import { assert } from '../../src/base/assert.ts'
import type { StorageError } from '../../src/base/errors.ts'
import { mirror } from '../../src/base/limits.ts'
import type { Generation } from '../../src/volume/generation.ts'
import { MaskFile, type MaskFileOptions } from './mask-file.ts'
import { inSyncSlot, lacksSlots, pagesIn, regionsIn, regionsPerPage } from './mask-page.ts'
import { type LackedMask, MaskRounds, type MaskTables } from './mask-rounds.ts'
import type { MaskSet } from './mask-set.ts'
import { PagedMask } from './paged-mask.ts'
import type { ClearWhat } from './partner.ts'
import { RegionMask, type RegionView } from './region-mask.ts'

export interface SegmentMasksOptions extends MaskFileOptions {
  /** Length of the replica. */
  readonly bytes: number
  /** The replica was here before: where there is no file, every region counts as marked. */
  readonly mustExist: boolean
}

interface RegionRange {
  readonly firstRegion: number
  readonly endRegion: number
}

export class SegmentMasks {
  readonly #tables: MaskTables
  readonly #rounds: MaskRounds
  /** Marks under way: their bits stay, also those that were durable before. */
  readonly #marking = new Set<RegionRange>()
  /** Whole masks that are being added: all bits stay. */
  #adding = 0

  private constructor(file: MaskFile, tables: MaskTables) {
    this.#tables = tables
    this.#rounds = new MaskRounds(file, tables)
  }

  /** Opens the file, or makes it; what it says is durable when this resolves. */
  static async open(options: SegmentMasksOptions): Promise<SegmentMasks> {
    const file = await MaskFile.open(options)
    try {
      const masks = new SegmentMasks(file, await readTables(file, options))
      await masks.#rounds.durably()
      return masks
    } catch (error) {
      await file.close()
      throw error
    }
  }

  get regions(): number {
    return this.#tables.inSync.bits.regions
  }

  /** Length of the replica. */
  get bytes(): number {
    return this.#tables.bytes
  }

  /** Why nothing can be marked any more. */
  get failure(): StorageError | undefined {
    return this.#rounds.failure
  }

  get inSync(): RegionView {
    return this.#tables.inSync.bits
  }

  /** Servers of which is known what they lack. */
  get lacking(): string[] {
    return [...this.#tables.lacks.keys()]
  }

  lacks(serverId: string): RegionView | undefined {
    return this.#tables.lacks.get(serverId)?.mask.bits
  }

  /** The newest generation in which that replica was in sync; 0: its mask may not say everything. */
  label(serverId: string): Generation {
    return this.#tables.lacks.get(serverId)?.label ?? 0
  }

  /** Bytes of the replica that these regions stand for. */
  bytesOf(regions: RegionView): number {
    const missing = this.regions * mirror.regionBytes - this.#tables.bytes
    return regions.count * mirror.regionBytes - (regions.has(this.regions - 1) ? missing : 0)
  }

  /**
   * Before anything in these regions is written here: in the in-sync mask unless told otherwise, and
   * in those of the lacking. Undefined when all of that is durable already.
   */
  mark(
    firstRegion: number,
    endRegion: number,
    lacking: readonly string[],
    inSync = true,
  ): Promise<void> | undefined {
    if (this.failure !== undefined) return Promise.reject(this.failure)
    assert(firstRegion >= 0 && endRegion <= this.regions, 'a mark is inside the replica')
    let durable = inSync ? this.#tables.inSync.mark(firstRegion, endRegion) : true
    for (const serverId of lacking) {
      durable = this.#of(serverId).mask.mark(firstRegion, endRegion) && durable
    }
    return durable ? undefined : this.#marked({ firstRegion, endRegion })
  }

  /**
   * Lazily: after a crash they may be set again. What is being marked or added stays set, and what
   * is marked from now on is set.
   */
  clear(regions: Iterable<number>, what: ClearWhat): void {
    if (this.#adding > 0) return
    const masks = what.lacks.map((serverId) => this.#tables.lacks.get(serverId)?.mask)
    if (what.inSync) masks.push(this.#tables.inSync)
    const kept = this.#beingMarked()
    for (const region of regions) {
      if (!kept.has(region)) for (const mask of masks) mask?.clear(region)
    }
    this.#rounds.lazily()
  }

  /**
   * A replica leaves the in-sync set: what may differ now is what it lacks from now on. The label is
   * the newest generation in which it was in sync.
   */
  leave(serverId: string, label: Generation): Promise<void> {
    const lacks = this.#of(serverId)
    lacks.mask.add(this.inSync)
    lacks.label = label
    this.#rounds.touchHead()
    return this.#added()
  }

  /** That replica is in sync, or not of the map any more. */
  forget(serverId: string): Promise<void> {
    if (this.#tables.lacks.delete(serverId)) this.#rounds.touchHead()
    return this.#rounds.durably()
  }

  /** This replica stops being in sync: what it knows of others says nothing from now on. */
  forgetAll(): Promise<void> {
    this.#tables.lacks.clear()
    this.#rounds.touchHead()
    return this.#rounds.durably()
  }

  /** What may differ among the in-sync replicas is added to what these lack: either content may stay. */
  mergeIntoLacks(serverIds: readonly string[]): Promise<void> {
    for (const serverId of serverIds) this.#of(serverId).mask.add(this.inSync)
    return this.#added()
  }

  /**
   * Adds what the primary knows, whose content this replica has or is being given. Among replicas in
   * sync two labels of one server are both true of the two masks together: the newer one is kept.
   * One that is not in sync has labels from when it was given content before, and missed what was
   * marked since: only `theirs` are true.
   */
  takeOver(masks: MaskSet, labels: 'newer' | 'theirs' = 'newer'): Promise<void> {
    this.#tables.inSync.add(masks.inSync)
    if (labels === 'theirs') for (const lacks of this.#tables.lacks.values()) lacks.label = 0
    for (const { serverId, label, regions } of masks.lacks) {
      const lacks = this.#of(serverId)
      lacks.mask.add(regions)
      lacks.label = Math.max(label, lacks.label)
    }
    this.#rounds.touchHead()
    return this.#added()
  }

  snapshot(inSyncGeneration: Generation): MaskSet {
    const lacks = [...this.#tables.lacks].map(([serverId, { mask, label }]) => {
      return { serverId, label, regions: mask.bits.toBuffer() }
    })
    return { inSync: this.inSync.toBuffer(), lacks, inSyncGeneration }
  }

  /** Follows the length of the replica. */
  resize(bytes: number): Promise<void> {
    const former = this.#tables.bytes
    this.#tables.bytes = bytes
    this.#tables.inSync.resize(regionsIn(bytes))
    for (const { mask } of this.#tables.lacks.values()) resizeLacks(mask, former, bytes)
    this.#rounds.touchHead()
    return this.#rounds.durably()
  }

  /** Everything is in the file after it, unless the file has failed before. */
  async close(): Promise<void> {
    try {
      if (this.failure === undefined) await this.#rounds.durably()
    } finally {
      await this.abandon()
    }
  }

  /** Closes the file as it is; whoever waits is rejected. */
  abandon(): Promise<void> {
    return this.#rounds.close()
  }

  async #marked(range: RegionRange): Promise<void> {
    this.#marking.add(range)
    try {
      await this.#rounds.durably()
    } finally {
      this.#marking.delete(range)
    }
  }

  async #added(): Promise<void> {
    this.#adding += 1
    try {
      await this.#rounds.durably()
    } finally {
      this.#adding -= 1
    }
  }

  #beingMarked(): ReadonlySet<number> {
    const regions = new Set<number>()
    for (const { firstRegion, endRegion } of this.#marking) {
      for (let region = firstRegion; region < endRegion; region++) regions.add(region)
    }
    return regions
  }

  #of(serverId: string): LackedMask {
    const { lacks } = this.#tables
    const known = lacks.get(serverId)
    if (known !== undefined) return known
    assert(lacks.size < lacksSlots, 'a map names few replicas, and others are forgotten')
    const mask = new PagedMask(new RegionMask(this.regions))
    const added: LackedMask = { mask, label: 0, slot: undefined }
    lacks.set(serverId, added)
    this.#rounds.touchHead()
    return added
  }
}

/** What is added reads as zeros here; a replica that was away may have something there. */
function resizeLacks(mask: PagedMask, formerBytes: number, bytes: number): void {
  mask.resize(regionsIn(bytes))
  if (bytes > formerBytes) mask.mark(Math.floor(formerBytes / mirror.regionBytes), regionsIn(bytes))
}

async function readTables(file: MaskFile, options: SegmentMasksOptions): Promise<MaskTables> {
  const { bytes, mustExist } = options
  const { head } = file
  // Zeros before this page are damage: they were written once.
  const blankFrom =
    head === undefined ? (file.begun || mustExist ? Infinity : 0) : pagesIn(head.bytes)
  const lacks = new Map<string, LackedMask>()
  for (const { slot, serverId, label } of head?.owners ?? []) {
    const mask = new PagedMask(await readMask(file, slot, { bytes, blankFrom }))
    resizeLacks(mask, head?.bytes ?? 0, bytes)
    lacks.set(serverId, { mask, label, slot })
  }
  const inSync = new PagedMask(await readMask(file, inSyncSlot, { bytes, blankFrom }))
  return { bytes, inSync, lacks }
}

async function readMask(
  file: MaskFile,
  slot: number,
  { bytes, blankFrom }: { readonly bytes: number; readonly blankFrom: number },
): Promise<RegionMask> {
  const mask = new RegionMask(regionsIn(bytes))
  for (let index = 0; index < pagesIn(bytes); index++) {
    const first = index * regionsPerPage
    const bits = await file.readBits(slot, index, index >= blankFrom)
    if (bits !== undefined) mask.replaceBytes(first / 8, bits)
    else mask.setRange(first, Math.min(mask.regions, first + regionsPerPage))
  }
  return mask
}
