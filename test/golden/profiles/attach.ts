/** What an initiator sends from its login to its first read, as data with its source. */

export interface LoginRound {
  /** CSG and NSG of the request; T is set. */
  readonly stages: readonly [current: number, next: number]
  readonly says: readonly string[]
}

export interface Attach {
  readonly name: string
  /** As the detector should call it. */
  readonly profile: string
  /**
   * `recorded`: taken from the wire of a portal of ours. `published`: from a capture or a log that
   * others published. `documented`: put together from what documents say; nobody ran it here.
   */
  readonly evidence: 'recorded' | 'published' | 'documented'
  readonly source: string
  readonly login: readonly LoginRound[]
  /** Must be in a response, beside an answer to each key. */
  readonly insists: readonly string[]
  /** CDBs in hexadecimal, in order. */
  readonly commands: readonly string[]
}
