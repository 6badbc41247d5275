/** What a login agreed on: the effective values for one session with one connection. */

export interface SessionParameters {
  readonly sessionType: 'Normal' | 'Discovery'
  readonly initiatorName: string
  readonly initiatorAlias?: string
  /** Absent in a discovery session that names none. */
  readonly targetName?: string
  /** 6 bytes; with the InitiatorName it is the SCSI initiator port. RFC 7143 4.4.2. */
  readonly isid: Buffer
  readonly cid: number
  readonly headerDigest: boolean
  readonly dataDigest: boolean
  /** What we may send in one data segment, and what may be sent to us. */
  readonly initiatorMaxRecvDataSegmentBytes: number
  readonly targetMaxRecvDataSegmentBytes: number
  readonly maxBurstBytes: number
  /** Never more than maxBurstBytes. */
  readonly firstBurstBytes: number
  readonly initialR2T: boolean
  readonly immediateData: boolean
  readonly maxOutstandingR2T: number
  /** How many connections the session may have. RFC 7143 13.2. */
  readonly maxConnections: number
  /** Seconds. */
  readonly defaultTime2Wait: number
  readonly defaultTime2Retain: number
  readonly errorRecoveryLevel: number
  /** 0: the generation header is not spoken in this session. */
  readonly generationVersion: 0 | 1
  /** X-io.palisade.Login, where it was declared. */
  readonly loginNumber?: number
}

/** Who talks to whom. */
export interface SessionNames {
  readonly initiatorName: string
  /** `iqn...,i,0x400001370000`: the name of the SCSI initiator port. RFC 7143 4.4.2. */
  readonly initiatorPort: string
  /** Empty in a discovery session that names none. */
  readonly targetName: string
}

/** iSCSI names differ by more than case, or they are one name. RFC 7143 4.2.7.1. */
export function sessionNames(
  parameters: Pick<SessionParameters, 'initiatorName' | 'isid' | 'targetName'>,
): SessionNames {
  const initiatorName = parameters.initiatorName.toLowerCase()
  return {
    initiatorName,
    initiatorPort: `${initiatorName},i,0x${parameters.isid.toString('hex')}`,
    targetName: parameters.targetName?.toLowerCase() ?? '',
  }
}
