/**
 * A task for an operation that outlives its command, its session and every reset (SANITIZE, SBC-3
 * 4.11): nobody aborts it, and whether its initiator still lives is of no matter.
 */
import type { Nexus } from '../scsi/logical-unit.ts'
import type { Fence } from '../volume/generation-header.ts'
import type { FrontSession, PortalTask, SessionDescription } from './portal-host.ts'

export class DetachedTask implements PortalTask {
  readonly nexus: Nexus
  readonly lun: number
  readonly cdb: Buffer
  readonly fence: Fence
  readonly session: FrontSession
  readonly aborted = false
  readonly isDetached = true

  /** `session`: absent where an operation is carried on that no session here has asked for. */
  constructor(
    task: Pick<PortalTask, 'nexus' | 'lun' | 'cdb' | 'fence'> & { readonly session?: FrontSession },
  ) {
    this.nexus = task.nexus
    this.lun = task.lun
    this.cdb = Buffer.from(task.cdb)
    this.fence = task.fence
    this.session = everliving(task.nexus, task.session)
  }

  whenAborted(): void {
    // Nothing aborts it.
  }

  detached(): PortalTask {
    return this
  }
}

function everliving(nexus: Nexus, session: FrontSession | undefined): FrontSession {
  const description = session?.describe() ?? nobody(nexus)
  return {
    nexus,
    handle: session?.handle ?? 0,
    generationVersion: session?.generationVersion ?? 0,
    provenAtMs: Number.POSITIVE_INFINITY,
    portalAddresses: [],
    idle: true,
    ended: new Promise(() => undefined),
    describe: () => description,
    ping: () => Promise.resolve(true),
    abortTasks: () => Promise.resolve(),
    abortTasksOf: () => Promise.resolve(),
    distrust: () => undefined,
    end: () => undefined,
  }
}

function nobody({ initiatorName }: Nexus): SessionDescription {
  const plain = { headerDigest: false, dataDigest: false, errorRecoveryLevel: 0 }
  return { initiatorName, profile: 'unknown', addresses: [], portalGroupTag: 1, ...plain }
}
