/**
 * The management path: an iSCSI portal through which I/O goes when the direct path is broken. It
 * answers discovery itself; of a normal login it reads the target's name, dials the storage server
 * that holds it, and from then on passes bytes. One owner of the session, one fence from end to
 * end, no client's secret here. It owns the connections until both their sides have ended.
 */
import { background } from '../../base/background.ts'
import { manager as limits } from '../../base/limits.ts'
import { plainLoginPolicy } from '../../iscsi/login-policy.ts'
import type { LoginRequest } from '../../iscsi/pdu/login-request.ts'
import { LoginStatus } from '../../iscsi/pdu/login-status.ts'
import { Portal } from '../../portal/portal.ts'
import type { DiscoveredTarget } from '../../portal/portal-host.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Log } from '../../ports/log.ts'
import type { ByteStream, Listener, Network } from '../../ports/network.ts'
import { dialFirst } from './dial-first.ts'
import { type FirstLogin, FirstLoginReader, refuseLogin } from './first-login.ts'
import { PeekedStream } from './peeked-stream.ts'
import { relay } from './relay.ts'

export interface ManagementPathOptions {
  readonly network: Network
  readonly clock: Clock
  readonly log: Log
  /** All targets of all servers. */
  readonly targetNames: () => readonly string[]
  /** Where the storage server of this target is dialled; undefined: there is no such target. */
  readonly addressesOf: (targetName: string) => readonly string[] | undefined
}

export class ManagementPath {
  readonly #options: ManagementPathOptions
  readonly #portal: Portal
  readonly #streams = new Set<ByteStream>()
  readonly #addresses: string[] = []
  #relayed = 0
  #relayedTotal = 0

  constructor(options: ManagementPathOptions) {
    this.#options = options
    const { network, clock, log } = options
    this.#portal = new Portal({
      // The portal gets the connections that ask for discovery, and no others.
      network: {
        dial: (address, timeoutMs) => network.dial(address, timeoutMs),
        listen: (address, accept) => this.#listen(address, accept),
      },
      clock,
      log,
      policy: plainLoginPolicy,
      host: {
        discover: (_initiator, portalAddress) => this.#discover(portalAddress),
        login: async () => ({ kind: 'refuse', status: LoginStatus.NOT_FOUND }),
      },
    })
  }

  /** Resolves with the address, with the real port. */
  async listen(address: string): Promise<string> {
    const real = await this.#portal.listen(address)
    this.#addresses.push(real)
    return real
  }

  get addresses(): readonly string[] {
    return this.#addresses
  }

  get relayed(): { readonly now: number; readonly total: number } {
    return { now: this.#relayed, total: this.#relayedTotal }
  }

  async close(): Promise<void> {
    await this.#portal.close(0)
    for (const stream of [...this.#streams]) stream.destroy()
  }

  #listen(address: string, discovery: (stream: ByteStream) => void): Promise<Listener> {
    return this.#options.network.listen(address, (stream) => {
      if (this.#streams.size >= limits.relayConnections) stream.destroy()
      else this.#accept(stream, discovery)
    })
  }

  /** Waits, not for long, for the first PDU; then the connection belongs to somebody. */
  #accept(inner: ByteStream, discovery: (stream: ByteStream) => void): void {
    const reader = new FirstLoginReader()
    const leave = (): void => {
      cancel()
      this.#streams.delete(inner)
    }
    const cancel = this.#options.clock.after(limits.firstPduDeadlineMs, () => {
      leave()
      inner.destroy()
    })
    const stream = new PeekedStream(inner, (chunk) => route(reader.push(chunk)), leave)
    this.#streams.add(inner)
    const route = (login: FirstLogin): void => {
      if (login.kind === 'more') return
      cancel()
      stream.handOver()
      if (login.kind === 'normal') {
        this.#relay(stream, login, leave)
        return
      }
      leave()
      if (login.kind === 'discovery') discovery(stream)
      else stream.destroy()
    }
  }

  #relay(near: PeekedStream, login: FirstLogin & { kind: 'normal' }, leave: () => void): void {
    const { addressesOf, log } = this.#options
    const { targetName, request } = login
    const addresses = addressesOf(targetName)
    if (addresses === undefined) {
      leave()
      refuse(near, request, LoginStatus.NOT_FOUND)
      return
    }
    const dialled = dialFirst(this.#options, addresses).then((far) => {
      log.info('relaying', { target: targetName, from: near.remoteAddress, to: far.remoteAddress })
      this.#relayed += 1
      this.#relayedTotal += 1
      this.#streams.add(far)
      relay(near, far, () => {
        this.#relayed -= 1
        this.#streams.delete(far)
        leave()
      })
    })
    background(dialled, (error) => {
      log.warn('not relayed', { target: targetName, error: error.message })
      leave()
      refuse(near, request, LoginStatus.SERVICE_UNAVAILABLE)
    })
  }

  #discover(portalAddress: string): DiscoveredTarget[] {
    const portals = [portalAddress]
    return this.#options.targetNames().map((targetName) => ({ targetName, portals }))
  }
}

function refuse(stream: ByteStream, request: LoginRequest, status: LoginStatus): void {
  stream.write(refuseLogin(request, status))
  stream.close()
}
