/**
 * The iSCSI portals of one program (RFC 7143 4.4.1), in one portal group or several: a session may
 * come back through another portal of its group. It owns the listeners, the connections that have not
 * logged in, the sessions, and the memory that all of them share.
 */
import { assert } from '../base/assert.ts'
import { portal as limits } from '../base/limits.ts'
import type { LoginPolicy } from '../iscsi/login-policy.ts'
import type { SendTargetsRecord } from '../iscsi/send-targets.ts'
import type { Cancel, Clock } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'
import type { ByteStream, Listener, Network } from '../ports/network.ts'
import { ByteBudget } from './byte-budget.ts'
import { Connection } from './connection.ts'
import { HalfOpenLogins } from './half-open.ts'
import { KeptBudget } from './kept-budget.ts'
import { type PortalAddress, portalsSeen } from './portal-address.ts'
import type { DiscoveredTarget, FrontSession, PortalHost } from './portal-host.ts'
import { SessionRegistry } from './session-registry.ts'

export interface PortalOptions {
  /** Memory for the data of writes of all sessions. */
  readonly writeBytes?: number
  /** Memory for what was sent and may have to be sent again, of all sessions. */
  readonly keptBytes?: number
  readonly network: Network
  readonly clock: Clock
  readonly log: Log
  readonly host: PortalHost
  readonly policy: LoginPolicy
}

/** How initiators find one portal. */
export interface PortalPlace {
  /** `HOST:PORT` told to initiators instead of what is listened on. */
  readonly advertised?: string
  readonly portalGroupTag?: number
}

export class Portal {
  readonly #options: PortalOptions
  readonly #registry = new SessionRegistry()
  readonly #halfOpen = new HalfOpenLogins()
  readonly #writeBudget: ByteBudget
  readonly #keptBudget: KeptBudget
  readonly #listeners: Listener[] = []
  readonly #addresses: PortalAddress[] = []
  #cancelSweep: Cancel | undefined
  #closing = false

  constructor(options: PortalOptions) {
    this.#options = options
    this.#writeBudget = new ByteBudget(options.writeBytes ?? limits.programWriteBytes)
    this.#keptBudget = new KeptBudget(options.keptBytes ?? limits.programKeptBytes)
  }

  /** Sessions that have not ended, discovery sessions included. */
  get sessions(): readonly FrontSession[] {
    return this.#registry.all()
  }

  /** Opens one more portal; resolves with its address, with the real port. */
  async listen(address: string, place: PortalPlace = {}): Promise<string> {
    const { network, policy } = this.#options
    const { advertised, portalGroupTag = policy.portalGroupTag } = place
    let portal: PortalAddress | undefined
    const listener = await network.listen(address, (stream) => {
      assert(portal !== undefined, 'nothing is accepted before the address is known')
      this.#accept(stream, portal)
    })
    portal = {
      listening: listener.address,
      portalGroupTag,
      ...(advertised === undefined ? {} : { advertised }),
    }
    this.#addresses.push(portal)
    this.#listeners.push(listener)
    this.#cancelSweep ??= this.#nextSweep()
    return listener.address
  }

  /**
   * Stops listening and asks the initiators to log out; ends their sessions after `graceMs`.
   * Resolves when no task of theirs is under way any more.
   */
  async close(graceMs: number): Promise<void> {
    this.#closing = true
    await Promise.all(this.#listeners.map((listener) => listener.close()))
    this.#halfOpen.abandonAll()
    await this.dismiss(graceMs)
    this.#cancelSweep?.()
  }

  /** The end of the sessions alone: whoever comes again is heard. */
  async dismiss(graceMs: number): Promise<void> {
    const sessions = this.#registry.all()
    for (const session of sessions) session.requestLogout(graceMs)
    const cancel = this.#options.clock.after(graceMs, () => {
      for (const session of this.#registry.all()) session.dropSession('the program stops')
    })
    await Promise.all(sessions.map(({ ended }) => ended))
    cancel()
  }

  /** Bytes of what was sent and is kept to be sent again. */
  get keptBytes(): number {
    return this.#keptBudget.heldBytes
  }

  #accept(stream: ByteStream, portal: PortalAddress): void {
    if (this.#closing) {
      stream.destroy()
      return
    }
    const { host, clock, log } = this.#options
    new Connection({
      stream,
      policy: this.#policyAt(portal),
      host,
      discover: (initiatorName) => this.#discover(initiatorName, stream, portal),
      registry: this.#registry,
      writeBudget: this.#writeBudget,
      keptBudget: this.#keptBudget,
      clock,
      log,
      logins: this.#halfOpen,
    })
  }

  #policyAt(portal: PortalAddress): LoginPolicy {
    const { policy, host } = this.#options
    const portalIndex = this.#addresses.indexOf(portal)
    return {
      ...policy,
      portalGroupTag: portal.portalGroupTag,
      elsewhere: (login) => {
        const sessions = this.#registry.ofTarget(login.targetName)
        return host.elsewhere?.({ ...login, portalIndex, sessions })
      },
    }
  }

  #discover(
    initiatorName: string,
    stream: ByteStream,
    through: PortalAddress,
  ): readonly SendTargetsRecord[] {
    const here = portalsSeen(this.#addresses, through, stream.localAddress)
    const { host, policy } = this.#options
    const served = host.discover(initiatorName, stream.localAddress)
    const moved = policy.redirects ?? []
    return [...served, ...moved.map(({ targetName }): DiscoveredTarget => ({ targetName }))].map(
      ({ targetName, portals, others = [] }) => {
        const own = portals?.map((address) => ({ address, portalGroupTag: 1 })) ?? here
        return { targetName, addresses: [...own, ...others] }
      },
    )
  }

  #nextSweep(): Cancel {
    return this.#options.clock.after(limits.sweepMs, () => {
      for (const session of this.#registry.all()) session.sweep()
      this.#cancelSweep = this.#nextSweep()
    })
  }
}
