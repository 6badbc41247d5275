/**
 * Who has registered, who holds the unit: a value, without rules (reservation-rules.ts). SPC-4 5.12,
 * SPC-2 5.6. An I_T nexus is named by its initiator port alone, because all portals of a target are
 * one portal group, and so one target port.
 */

export interface Registration {
  /** `Nexus.initiatorPort`. */
  readonly initiatorPort: string
  /** RESERVATION KEY as 16 hexadecimal digits; never zero. */
  readonly key: string
}

export interface ReservationTable {
  /** PRGENERATION, modulo 2^32. SPC-4 5.12.8. */
  readonly generation: number
  readonly registrations: readonly Registration[]
  /** Holder of a persistent reservation. With the types for all registrants it names nobody. */
  readonly persistent: { readonly type: number; readonly holder: string | undefined } | undefined
  /** Initiator port that holds a RESERVE (6) or (10). */
  readonly reserved: string | undefined
  /** APTPL: the registrations survive a loss of power. */
  readonly persistThroughPowerLoss: boolean
}

export const noReservations: ReservationTable = {
  generation: 0,
  registrations: [],
  persistent: undefined,
  reserved: undefined,
  persistThroughPowerLoss: false,
}
