/**
 * What initiators set on a volume, as one command may change it that came to one of several front
 * ends. It may have been parked here while its initiator gave it up and sent it again through
 * another one, for what is set goes through any of them. So each attempt names a state that was known
 * before the initiator was asked whether it still waits: if the command was carried out elsewhere
 * after its answer, that state holds no more and the attempt fails; and before the next one the
 * initiator is asked again. Owned by the command.
 */
import type {
  ChangeOutcome,
  Edit,
  SharedState,
  UnitSettings,
} from '../../src/scsi/unit-settings.ts'

export class TaskSettings implements UnitSettings {
  readonly #settings: Required<UnitSettings>
  readonly #stillWaits: () => Promise<boolean>

  constructor(settings: Required<UnitSettings>, stillWaits: () => Promise<boolean>) {
    this.#settings = settings
    this.#stillWaits = stillWaits
  }

  get state(): SharedState {
    return this.#settings.state
  }

  get owner(): string {
    return this.#settings.owner
  }

  async change(
    former: SharedState,
    next: SharedState,
    how: { readonly takesAway: boolean },
  ): Promise<ChangeOutcome> {
    if (former !== this.state) return 'changed'
    if (!(await this.#stillWaits())) return 'unavailable'
    return former === this.state ? this.#settings.change(former, next, how) : 'changed'
  }

  revert(edit: Edit): void {
    this.#settings.revert(edit)
  }
}
