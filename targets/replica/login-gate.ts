/**
 * Who may log in to a storage server, and to what: the portal's host. It finds the volume's target
 * and keeps login numbers growing; ending the former session of an initiator port is the portal's.
 */
import type {
  DiscoveredTarget,
  LoginDecision,
  LoginRequestFacts,
  PortalHost,
} from '../../src/portal/portal-host.ts'
import type { VolumeTarget } from '../lun/volume-target.ts'
import { LoginNumbers } from './login-numbers.ts'

/** RFC 7143 11.13.5. */
const initiatorError = 0x0200
const targetNotFound = 0x0203
const loginKey = 'X-io.palisade.Login'

export interface LoginGateContext {
  targets(): Iterable<VolumeTarget>
  /** Where clients reach this server, one address a data path. */
  readonly portals: readonly string[]
  /** Where other servers come; in no discovery. */
  readonly replication?: {
    readonly targetName: string
    readonly accept: LoginDecision & { readonly kind: 'accept' }
  }
}

export class LoginGate implements PortalHost {
  readonly #context: LoginGateContext
  readonly #numbers = new LoginNumbers()

  constructor(context: LoginGateContext) {
    this.#context = context
  }

  discover(): DiscoveredTarget[] {
    const { portals } = this.#context
    return [...this.#context.targets()].flatMap(({ targetName }) =>
      targetName === undefined ? [] : [{ targetName, portals }],
    )
  }

  /**
   * A session that speaks of generations must offer a login number. One that does not may log in
   * and look at the units; what is compared is refused to it.
   */
  async login(facts: LoginRequestFacts): Promise<LoginDecision> {
    const { replication } = this.#context
    const isReplication = facts.targetName === replication?.targetName
    const accept = isReplication ? replication?.accept : this.#volume(facts.targetName)
    if (accept === undefined) return { kind: 'refuse', status: targetNotFound }
    // Servers among themselves always speak of generations.
    if (isReplication && facts.generationVersion === 0) {
      return { kind: 'refuse', status: initiatorError }
    }
    if (facts.generationVersion > 0) {
      if (facts.loginNumber === undefined) return { kind: 'refuse', status: initiatorError }
      const { initiatorPort, targetName, loginNumber } = facts
      const known = this.#numbers.offer(initiatorPort, targetName, loginNumber)
      if (known !== undefined) {
        return { kind: 'refuse', status: initiatorError, keys: [[loginKey, String(known)]] }
      }
    }
    return accept
  }

  #volume(targetName: string): LoginDecision | undefined {
    const volume = this.#find(targetName)
    return volume === undefined ? undefined : { kind: 'accept', target: volume.target }
  }

  /** Two volumes bear one name only while this server has not heard that the older was deleted. */
  #find(targetName: string): VolumeTarget | undefined {
    let found: VolumeTarget | undefined
    for (const each of this.#context.targets()) {
      if (each.targetName !== targetName) continue
      if (found === undefined || each.volume.map.generation > found.volume.map.generation) {
        found = each
      }
    }
    return found
  }
}
