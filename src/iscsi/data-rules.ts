/** What data transfers of a session must keep to; part of SessionParameters. RFC 7143 13. */
export interface DataRules {
  readonly initialR2T: boolean
  readonly immediateData: boolean
  readonly firstBurstBytes: number
  readonly maxBurstBytes: number
  readonly maxOutstandingR2T: number
}

/** The peer broke a rule of its data transfer: the task cannot go on. */
export interface DataFault {
  readonly kind: 'data-fault'
  readonly why: string
}

export const dataFault = (why: string): DataFault => ({ kind: 'data-fault', why })
