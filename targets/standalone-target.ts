/**
 * A plain iSCSI target: one target name, its LUNs from 0, any initiator, no manager and no
 * generation. For conformance, benchmarks, and people who want just a target.
 */
import { LoginStatus } from '../src/iscsi/pdu/login-status.ts'
import type {
  DiscoveredTarget,
  LoginDecision,
  LoginRequestFacts,
  PortalHost,
  PortalTask,
} from '../src/portal/portal-host.ts'
import type { Clock } from '../src/ports/clock.ts'
import { DeviceServer } from '../src/scsi/device-server.ts'
import type { LogicalUnit } from '../src/scsi/logical-unit.ts'

export const defaultStandaloneIqn = 'iqn.2026-11.io.palisade:standalone'

export class StandaloneTarget implements PortalHost {
  readonly iqn: string
  readonly #device: DeviceServer<PortalTask>

  constructor(iqn: string, units: readonly LogicalUnit<PortalTask>[], clock?: Clock) {
    this.iqn = iqn
    const luns = units.map((_, lun) => lun)
    this.#device = new DeviceServer<PortalTask>(
      { luns: () => luns, unit: (lun) => units[lun] },
      clock,
    )
  }

  /** To be called before the sessions are ended, and awaited before the stores are closed. */
  stop(): Promise<void> {
    return this.#device.stop()
  }

  discover(): readonly DiscoveredTarget[] {
    return [{ targetName: this.iqn }]
  }

  login(facts: LoginRequestFacts): Promise<LoginDecision> {
    const known = facts.targetName.toLowerCase() === this.iqn.toLowerCase()
    return Promise.resolve(
      known
        ? { kind: 'accept', target: this.#device }
        : { kind: 'refuse', status: LoginStatus.NOT_FOUND },
    )
  }
}
