/**
 * A host some of whose targets are served elsewhere: a login to one of them is answered with its
 * address, all others are the other host's. RFC 7143 11.13.5, status class 1.
 */
import type {
  DiscoveredTarget,
  LoginDecision,
  LoginRequestFacts,
  PortalHost,
} from './portal-host.ts'

export interface Redirect {
  readonly targetName: string
  /** `HOST:PORT`. */
  readonly address: string
  readonly permanently: boolean
}

export class RedirectingHost implements PortalHost {
  readonly #host: PortalHost
  readonly #redirects: ReadonlyMap<string, Redirect>

  constructor(host: PortalHost, redirects: readonly Redirect[]) {
    this.#host = host
    this.#redirects = new Map(redirects.map((one) => [one.targetName.toLowerCase(), one]))
  }

  discover(initiatorName: string, portalAddress: string): readonly DiscoveredTarget[] {
    const own = this.#host.discover(initiatorName, portalAddress)
    const others = [...this.#redirects.values()].filter(
      ({ targetName }) => !own.some((one) => one.targetName === targetName),
    )
    return [...own, ...others.map(({ targetName }) => ({ targetName }))]
  }

  login(facts: LoginRequestFacts): Promise<LoginDecision> {
    const moved = this.#redirects.get(facts.targetName.toLowerCase())
    if (moved === undefined) return this.#host.login(facts)
    const { address, permanently } = moved
    return Promise.resolve({ kind: 'moved', address, permanently })
  }
}
