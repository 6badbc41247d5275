/**
 * An initiator that reaches its volume through several gateways, as dm-multipath does: a session
 * with each, a check of each path now and then (TEST UNIT READY), commands on one path at a time.
 * What a path lost, refused in standby or let time out is sent again on another one, by whoever
 * sends it: here only the path is chosen.
 */
import type { LegAnswer } from '../../../src/leg/leg-command.ts'
import type { Clock } from '../../../src/ports/clock.ts'
import { decodeSense } from '../../../src/scsi/sense-format.ts'
import type { Chance } from '../world/chance.ts'
import * as cdbs from './cdbs.ts'
import type { Attachment, FrontSession, Request } from './front-session.ts'
import { sectorBytes } from './stamps.ts'

export interface PathOptions {
  readonly session: FrontSession
  /** Of the gateway at this address: a session may have been sent to another one. */
  readonly groupAt: (address: string) => number
}

export interface MultipathOptions {
  readonly paths: readonly PathOptions[]
  readonly clock: Clock
  readonly chance: Chance
  /** Asks for the path that it goes to, by SET TARGET PORT GROUPS; otherwise I/O alone moves it. */
  readonly explicit: boolean
  /** Returns to the first path when that works again. */
  readonly failsBack: boolean
  readonly checkMs: number
  readonly note: (text: string) => void
}

interface Path extends PathOptions {
  readonly name: string
  /** By the newest check, or by what became of a command. */
  works: boolean
  /** Not to be tried again before. */
  restsUntilMs: number
}

const restMs = 400
const lookMs = 25
const taskAborted = 0x40
const lost: LegAnswer = { kind: 'lost', sent: true }

export class MultipathSession implements Attachment {
  readonly #options: MultipathOptions
  readonly #paths: readonly Path[]
  #current: Path
  #choosing: Promise<void> | undefined

  constructor(options: MultipathOptions) {
    this.#options = options
    this.#paths = options.paths.map((path, i) => ({
      ...path,
      name: `path ${i + 1}`,
      works: true,
      restsUntilMs: 0,
    }))
    this.#current = this.#paths[0]!
    for (const path of this.#paths) void this.#watch(path)
  }

  async ready(): Promise<void> {
    while (!this.#isUsable(this.#current) || this.#choosing !== undefined) {
      this.#choosing ??= this.#choose().finally(() => {
        this.#choosing = undefined
      })
      await this.#choosing
    }
  }

  async submit(request: Request): Promise<LegAnswer> {
    const path = this.#current
    const answer = await path.session.submit(request)
    // What was aborted for lack of an answer goes out again, too.
    if (answer.kind === 'status' && !isRefused(answer)) return answer
    this.#fails(path, answer.kind)
    return lost
  }

  /** A read through the path in use: when it is answered, that one is the active one. */
  async settled(): Promise<void> {
    for (;;) {
      await this.ready()
      const answer = await this.submit({ cdb: cdbs.read16(0, 1), dataInBytes: sectorBytes })
      if (answer.kind === 'status' && answer.status === 0) return
      await this.#pause(lookMs)
    }
  }

  #isUsable({ session, works, restsUntilMs }: Path): boolean {
    return session.connected && works && this.#options.clock.nowMs() >= restsUntilMs
  }

  #fails(path: Path, why: string): void {
    this.#options.note(`${path.name} fails: ${why}`)
    path.restsUntilMs = this.#options.clock.nowMs() + restMs
  }

  async #choose(): Promise<void> {
    const usable = this.#paths.filter((path) => this.#isUsable(path))
    const next = usable.includes(this.#current) ? this.#current : usable[0]
    if (next === undefined) {
      await this.#pause(lookMs)
      return
    }
    if (next !== this.#current) await this.#goTo(next)
  }

  async #goTo(path: Path): Promise<void> {
    this.#options.note(`goes to ${path.name}`)
    if (this.#options.explicit) {
      const { groupAt, session } = path
      const asked = await session.submit({
        cdb: cdbs.setTargetPortGroups(),
        dataOut: [cdbs.targetPortGroupsList(groupAt(session.address))],
      })
      if (asked.kind !== 'status') {
        this.#fails(path, asked.kind)
        return
      }
    }
    this.#current = path
  }

  /** Keeps a session on the path and finds out whether it works. */
  async #watch(path: Path): Promise<void> {
    const { chance, checkMs, failsBack } = this.#options
    for (;;) {
      await path.session.ready()
      const works = await this.#check(path)
      if (works !== path.works) this.#options.note(`${path.name} ${works ? 'works' : 'fails'}`)
      path.works = works
      const first = this.#paths[0]!
      if (failsBack && path === first && this.#current !== first && this.#isUsable(first)) {
        this.#choosing ??= this.#goTo(first).finally(() => {
          this.#choosing = undefined
        })
      }
      await this.#pause(chance.between(0.5, 1.5) * checkMs)
    }
  }

  /** A path in standby works, too. */
  async #check({ session }: Path): Promise<boolean> {
    const { clock, checkMs } = this.#options
    return new Promise((resolve) => {
      const cancel = clock.after(2 * checkMs, () => resolve(false))
      void session.submit({ cdb: cdbs.testUnitReady() }).then((answer) => {
        cancel()
        resolve(answer.kind === 'status')
      })
    })
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#options.clock.after(ms, resolve))
  }
}

/** It was not carried out here, or nothing more of it will be: another path may do better. */
function isRefused(answer: LegAnswer & { readonly kind: 'status' }): boolean {
  if (answer.status === taskAborted) return true
  const sense = answer.status === 0x02 && answer.sense ? decodeSense(answer.sense) : undefined
  return sense?.key === 0x02 && sense.asc === 0x04 && sense.ascq === 0x0b
}
