/**
 * A portal on a network in memory, with a clock that the test moves and a unit whose reads and
 * writes can be held. The host accepts every login of its target unless told otherwise.
 */
import { type LoginPolicy, plainLoginPolicy } from '../../src/iscsi/login-policy.ts'
import { Portal } from '../../src/portal/portal.ts'
import type {
  LoginDecision,
  LoginRequestFacts,
  PortalHost,
  PortalTask,
} from '../../src/portal/portal-host.ts'
import { DeviceServer } from '../../src/scsi/device-server.ts'
import type { Silence, Task } from '../../src/scsi/logical-unit.ts'
import type { ScsiResult } from '../../src/scsi/result.ts'
import type { UnitSettings } from '../../src/scsi/unit-settings.ts'
import { ManualClock } from './manual-clock.ts'
import { MemoryNetwork } from './memory-network.ts'
import { MemoryUnit } from './memory-unit.ts'
import { quietLog } from './quiet-log.ts'
import { type LoginOptions, RawInitiator } from './raw-initiator.ts'

export const rigTarget = 'iqn.2026-11.example:rig'

/** A memory unit that begins nothing while it is shut, and says what waits. */
export class GatedUnit extends MemoryUnit {
  /** Tasks whose read or write has begun and waits for `open`. */
  readonly held: Task[] = []
  #release: (() => void)[] = []
  #shut = false

  shut(): void {
    this.#shut = true
  }

  /** Lets everything held go on, and what comes after it. */
  open(): void {
    this.#shut = false
    for (const release of this.#release.splice(0)) release()
  }

  override async read(task: Task, lba: number, blocks: number): Promise<ScsiResult | Silence> {
    await this.#pass(task)
    return super.read(task, lba, blocks)
  }

  override async write(
    task: Task,
    lba: number,
    data: readonly Buffer[],
    options: { readonly forceUnitAccess: boolean },
  ): Promise<ScsiResult | Silence> {
    await this.#pass(task)
    return super.write(task, lba, data, options)
  }

  async #pass(task: Task): Promise<void> {
    if (!this.#shut) return
    this.held.push(task)
    await new Promise<void>((resolve) => this.#release.push(resolve))
    this.held.splice(this.held.indexOf(task), 1)
  }
}

export interface RigOptions {
  readonly policy?: Partial<LoginPolicy>
  readonly chunkBytes?: number
  /** Decides logins; the default accepts those of `rigTarget`. */
  readonly decide?: (
    facts: LoginRequestFacts,
    accept: LoginDecision,
  ) => Promise<LoginDecision> | LoginDecision
  readonly unitBlocks?: number
  /** Without them, initiators can set nothing. */
  readonly settings?: UnitSettings
  readonly moreTargets?: number
  /** Memory for the data of writes of all sessions. */
  readonly writeBytes?: number
  /** Memory for what all sessions keep to send it again. */
  readonly keptBytes?: number
}

export class PortalRig {
  readonly clock = new ManualClock()
  readonly unit: GatedUnit
  readonly network: MemoryNetwork
  readonly device: DeviceServer<PortalTask>
  readonly portal: Portal
  address = ''
  readonly #initiators: RawInitiator[] = []

  private constructor(options: RigOptions) {
    const { chunkBytes, decide, unitBlocks, settings } = options
    this.network = new MemoryNetwork(chunkBytes === undefined ? {} : { chunkBytes })
    this.unit = new GatedUnit(unitBlocks === undefined ? {} : { blocks: unitBlocks }, settings)
    this.device = new DeviceServer<PortalTask>({
      luns: () => [0],
      unit: (lun) => (lun === 0 ? this.unit : undefined),
    })
    const accept: LoginDecision = { kind: 'accept', target: this.device }
    const host: PortalHost = {
      discover: (_name, portalAddress) => [
        { targetName: rigTarget, portals: [portalAddress, '[::1]:3260'] },
        ...Array.from({ length: options.moreTargets ?? 0 }, (_, index) => ({
          targetName: `${rigTarget}:${index}`,
          portals: [portalAddress],
        })),
      ],
      login: async (facts) => {
        if (facts.targetName !== rigTarget) return { kind: 'refuse', status: 0x0203 }
        return decide === undefined ? accept : decide(facts, accept)
      },
    }
    this.portal = new Portal({
      network: this.network,
      clock: this.clock,
      log: quietLog,
      host,
      policy: { ...plainLoginPolicy, ...options.policy },
      ...(options.writeBytes === undefined ? {} : { writeBytes: options.writeBytes }),
      ...(options.keptBytes === undefined ? {} : { keptBytes: options.keptBytes }),
    })
  }

  static async start(options: RigOptions = {}): Promise<PortalRig> {
    const rig = new PortalRig(options)
    rig.address = await rig.portal.listen('127.0.0.1:0')
    return rig
  }

  async connect(): Promise<RawInitiator> {
    const initiator = await RawInitiator.connect(this.network, this.address)
    this.#initiators.push(initiator)
    return initiator
  }

  /** Connects and logs in to the rig's target. */
  async login(options: LoginOptions = {}): Promise<RawInitiator> {
    const initiator = await this.connect()
    const { status } = await initiator.login({ targetName: rigTarget, ...options })
    if (status !== 0) throw new Error(`login refused with ${status.toString(16)}h`)
    return initiator
  }

  async stop(): Promise<void> {
    this.unit.open()
    for (const initiator of this.#initiators) initiator.close()
    await this.portal.close(0)
  }
}

/** Turns of the event loop until the condition holds: no clock, and an end. */
export async function until(condition: () => boolean, what: string, turns = 10_000): Promise<void> {
  for (let turn = 0; turn < turns; turn++) {
    if (condition()) return
    await new Promise<void>((resolve) => setImmediate(resolve))
  }
  throw new Error(`never: ${what}`)
}
