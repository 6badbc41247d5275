/**
 * The narrow waist of the product: what a SCSI device server asks of the thing that holds the
 * blocks. Implemented by a replica (targets/lun), a volume seen from a client's host
 * (initiator-shim/device) and a plain file (targets/lun, standalone). It knows no iSCSI and no CDB.
 */
import type { TokenStore } from './copy/token-store.ts'
import type { ScsiResult, Sense } from './result.ts'
import type { UnitSettings } from './unit-settings.ts'

/** One I_T nexus: an initiator port talking to a target port. SAM-5 4.8. */
export interface Nexus {
  /** iSCSI: InitiatorName. */
  readonly initiatorName: string
  /** iSCSI: InitiatorName + ",i,0x" + ISID; the SCSI initiator port name. RFC 7143 4.4.2. */
  readonly initiatorPort: string
  /** iSCSI: TargetName. */
  readonly targetName: string
  /** iSCSI: the tag of the portal group, which with the name is the target port; absent: 1. */
  readonly portalGroupTag?: number
}

/** What travels with a command from its arrival to its status. Drivers extend it. */
export interface Task {
  readonly nexus: Nexus
  readonly lun: number
  readonly cdb: Buffer
  /** Bytes that the initiator means to send, where the transport knows; more than it asks for, too. */
  readonly announcedBytes?: number
  /** True once nobody waits for the answer: a unit need not start what it has not begun. */
  readonly aborted: boolean
  /**
   * Ends the tasks of other nexuses for the same LUN, without an answer; resolves when they can touch
   * nothing any more. Absent where a transport knows of no others.
   */
  abortTasksOf?(initiatorPorts: readonly string[]): Promise<void>
  /** Calls `run` once when the task is aborted or its session ends; at once if it already was. */
  whenAborted?(run: () => void): void
  /** The same kind of task for an operation that goes on when command and session have ended. */
  detached?(): Task
  /** It is one of those. */
  readonly isDetached?: boolean
}

export interface UnitFacts {
  /** Logical block count; may grow while sessions are open. */
  readonly blocks: number
  readonly blockBytes: number
  /** Physical blocks are a power of two of logical ones. */
  readonly physicalBlockBytes: number
  /** Unallocated blocks exist, read as zeros, and UNMAP makes them. */
  readonly thin: boolean
  /** Acknowledged writes may be volatile until a flush (WCE). */
  readonly writeCache: boolean
  readonly readOnly: boolean
  /** RMB: the medium can be ejected, loaded, and kept in. SPC-4 6.6.2. */
  readonly removable: boolean
  /** Blocks that WRITE ATOMIC takes at most: whole physical ones. 0: there is no such command. */
  readonly atomicBlocks: number
  /** No atomic write crosses a multiple of this, because it would reach two stores. 0: it may. */
  readonly atomicBoundaryBlocks: number
  /** 1 to 20 printable ASCII characters; VPD page 80h. */
  readonly serial: string
  /** 16 bytes, NAA IEEE Registered Extended (6h); VPD page 83h. */
  readonly naa: Buffer
}

/** The result of a command that the driver must not answer at all (`--stale ignore`). */
export type Silence = 'drop'

export interface LogicalUnit<T extends Task = Task> {
  readonly facts: UnitFacts
  /**
   * Where initiators may set state. Absent for the segments behind a front end: commands that set
   * state do not exist there.
   */
  readonly settings?: UnitSettings
  /** The same as one task may change them, where that depends on the task. */
  settingsFor?(task: T): UnitSettings
  /** Where initiators may have copies of blocks kept in memory (ROD tokens). One for a program. */
  readonly tokens?: TokenStore
  /** Absent: one group, active and optimized, that nobody can set. */
  readonly portGroups?: PortGroups<T> | undefined
  /** Where space is allocated on first write and there may be too little of it for all blocks. */
  readonly space?: UnitSpace
  /**
   * Asked once per command when it arrives, before its CDB is checked and before any of its data
   * is asked for; undefined lets it pass. Asked for every command that exists, also those that
   * touch nothing of the medium and READ CAPACITY: the unit itself knows which it fences.
   */
  arrive?(task: T): ScsiResult | Silence | undefined
  /** May this unit serve the medium now; undefined is ready. For TEST UNIT READY, START STOP UNIT. */
  notReady?(task: T): Sense | undefined
  /** At least one block, all of them on the unit. The data are `blocks * blockBytes` bytes. */
  read(task: T, lba: number, blocks: number): Promise<ScsiResult | Silence>
  /** All data have arrived; buffers add up to blocks * blockBytes and are borrowed until it settles. */
  write(
    task: T,
    lba: number,
    data: readonly Buffer[],
    options: WriteOptions,
  ): Promise<ScsiResult | Silence>
  /**
   * In one step as seen by all other writes of these blocks: where they hold `compare` they hold
   * `data` afterwards; otherwise MISCOMPARE, whose INFORMATION is the offset in `compare` of the
   * first byte that is not the same. Both are of the same size.
   */
  compareAndWrite(
    task: T,
    lba: number,
    data: { readonly compare: readonly Buffer[]; readonly write: readonly Buffer[] },
    options: WriteOptions,
  ): Promise<ScsiResult | Silence>
  /** The blocks become the bitwise OR of what they hold and the data; in one step, block by block. */
  orWrite(
    task: T,
    lba: number,
    data: readonly Buffer[],
    options: WriteOptions,
  ): Promise<ScsiResult | Silence>
  /** All or nothing, for readers and whatever happens; within the bounds that `atomicBlocks` sets. */
  writeAtomic(
    task: T,
    lba: number,
    data: readonly Buffer[],
    options: WriteOptions,
  ): Promise<ScsiResult | Silence>
  /**
   * What is allocated of the range, from its beginning: at least one run, not more than `runs` of
   * them, and they need not reach the end of the range.
   */
  mapping(
    task: T,
    range: BlockExtent,
    runs: number,
  ): Promise<readonly AllocationRun[] | ScsiResult | Silence>
  /** Afterwards the extents read as zeros; space is given back where whole pages are covered. */
  unmap(task: T, extents: readonly BlockExtent[]): Promise<ScsiResult | Silence>
  /** Everything acknowledged before this call is durable afterwards. */
  flush(task: T): Promise<ScsiResult | Silence>
}

/** A unit as it describes itself, without its blocks. */
export type UnitDescription = Pick<
  LogicalUnit,
  'facts' | 'settings' | 'space' | 'tokens' | 'portGroups'
>

/** Through which ports of several programs the unit is reached, and how well. SPC-4 5.15. */
export interface PortGroups<T extends Task = Task> {
  /** Initiators may ask for another access state (TPGS 11b). */
  readonly settable: boolean
  /** The group that the nexus came through. */
  own(nexus: Nexus): number
  /** As they are for this initiator; that one is among them. */
  groups(nexus: Nexus): readonly PortGroup[]
  /** Makes the group that the task came through active and optimized for its initiator. */
  activate(task: T): Promise<ScsiResult>
}

export interface PortGroup {
  readonly group: number
  /** Relative target port identifiers. */
  readonly ports: readonly number[]
  readonly state: 'optimized' | 'standby'
}

export interface UnitSpace {
  /** Blocks that are allocated, and for how many more there is room. */
  usedBlocks(): number
  availableBlocks(): number
}

export interface WriteOptions {
  /** Durable before it is answered. */
  readonly forceUnitAccess: boolean
}

export interface BlockExtent {
  readonly lba: number
  readonly blocks: number
}

/** Blocks one after the other that are all allocated, or all not. */
export interface AllocationRun {
  readonly mapped: boolean
  readonly blocks: number
}
