/** The masks of one replica as they travel between servers and come out of its file. Values. */
import type { Generation } from '../../src/volume/generation.ts'

export interface MaskSet {
  /** Bits that say where the in-sync replicas may differ; bit 0 of byte 0 is region 0. */
  readonly inSync: Buffer
  /** Of each replica of the map that is not in sync. */
  readonly lacks: readonly LackedRegions[]
  /** The newest generation in which this replica itself was in sync; 0: never. */
  readonly inSyncGeneration: Generation
}

export interface LackedRegions {
  readonly serverId: string
  /** The newest generation of a map in which that replica was in sync. */
  readonly label: Generation
  readonly regions: Buffer
}
