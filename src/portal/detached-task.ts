/**
 * A task for an operation that outlives its command, its session and every reset (SANITIZE, SBC-3
 * 4.11): nobody aborts it, and whether its initiator still lives is of no matter.
 */
import type { Nexus } from '../scsi/logical-unit.ts'
import type { Fence } from '../volume/generation-header.ts'
import type { FrontSession, PortalTask } from './portal-host.ts'

export class DetachedTask implements PortalTask {
  readonly nexus: Nexus
  readonly lun: number
  readonly cdb: Buffer
  readonly fence: Fence
  readonly session: FrontSession
  readonly aborted = false

  constructor(task: PortalTask) {
    this.nexus = task.nexus
    this.lun = task.lun
    this.cdb = Buffer.from(task.cdb)
    this.fence = task.fence
    this.session = everliving(task.session)
  }

  whenAborted(): void {
    // Nothing aborts it.
  }

  detached(): PortalTask {
    return this
  }
}

function everliving(session: FrontSession): FrontSession {
  const { nexus, handle, generationVersion } = session
  const description = session.describe()
  return {
    nexus,
    handle,
    generationVersion,
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
