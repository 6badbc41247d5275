/**
 * What becomes of the copies that each I_T nexus has a unit make, by their list identifiers, for the
 * commands that ask later. SPC-4 5.16.4. Owned by the unit's conditions: gone with the session that
 * asked, or when it has made many more since.
 */
import { copy as limits } from '../../base/limits.ts'
import type { Nexus, Silence } from '../logical-unit.ts'
import { checkCondition, type ScsiResult, type Sense, Status } from '../result.ts'
import { OPERATION_IN_PROGRESS } from '../sense.ts'

type Outcome = ScsiResult | Silence

export interface CopyRecord {
  readonly listIdentifier: number
  /** Of the command that began it. */
  readonly serviceAction: number
  readonly blockBytes: number
  segments: number
  bytes: number
  /** Undefined while it is under way. */
  ended: { readonly status: Status; readonly sense: Sense | undefined } | undefined
  /** What POPULATE TOKEN made. */
  token: Buffer | undefined
}

export interface NewCopy {
  /** Undefined: nobody will ask. */
  readonly listIdentifier: number | undefined
  readonly serviceAction: number
  readonly blockBytes: number
}

const inProgress = checkCondition(OPERATION_IN_PROGRESS)
const busy: ScsiResult = { status: Status.BUSY }

export class CopyRecords {
  readonly #ofNexus = new WeakMap<Nexus, Map<number, CopyRecord>>()
  #underWay = 0

  find(nexus: Nexus, listIdentifier: number): CopyRecord | undefined {
    return this.#ofNexus.get(nexus)?.get(listIdentifier)
  }

  /**
   * Runs a copy under its list identifier, which must not be in use: the former record is replaced.
   * A copy that is dropped or aborted leaves none.
   */
  async run(
    nexus: Nexus,
    copy: NewCopy,
    work: (record: CopyRecord) => Promise<Outcome>,
  ): Promise<Outcome> {
    const { listIdentifier = 0, ...rest } = copy
    const former = this.find(nexus, listIdentifier)
    const named = copy.listIdentifier !== undefined
    if (named && former !== undefined && former.ended === undefined) return inProgress
    if (this.#underWay === limits.concurrentCopies) return busy
    const record: CopyRecord = { ...rest, ...fresh, listIdentifier }
    if (named) this.#keep(nexus, record)
    this.#underWay += 1
    try {
      const result = await work(record)
      if (result === 'drop' || result.status === Status.TASK_ABORTED) this.#forget(nexus, record)
      else record.ended = { status: result.status, sense: senseOf(result) }
      return result
    } finally {
      this.#underWay -= 1
    }
  }

  /** The oldest that has ended makes room; of those under way there are few. */
  #keep(nexus: Nexus, record: CopyRecord): void {
    const records = this.#ofNexus.get(nexus) ?? new Map<number, CopyRecord>()
    this.#ofNexus.set(nexus, records)
    records.delete(record.listIdentifier)
    records.set(record.listIdentifier, record)
    if (records.size <= limits.records) return
    const oldest = [...records.values()].find(({ ended }) => ended !== undefined)
    if (oldest !== undefined) records.delete(oldest.listIdentifier)
  }

  #forget(nexus: Nexus, record: CopyRecord): void {
    const records = this.#ofNexus.get(nexus)
    if (records?.get(record.listIdentifier) === record) records.delete(record.listIdentifier)
  }
}

const fresh = { segments: 0, bytes: 0, ended: undefined, token: undefined }

function senseOf(result: ScsiResult): Sense | undefined {
  return result.status === Status.CHECK_CONDITION ? result.sense : undefined
}
