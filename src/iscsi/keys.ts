/**
 * Every text key of RFC 7143 section 13 and our two own, one row each, for both roles. Values we
 * chose are not here but in the policies that drivers pass in.
 */
import { textLimits } from '../base/limits.ts'
import type { BooleanKey, KeyRow, ListKey, NumberKey, ObsoleteKey, TextKey } from './key.ts'

const largestSegment = 2 ** 24 - 1
const largestSafe = Number.MAX_SAFE_INTEGER

type Row<K extends KeyRow> = Omit<K, 'type' | 'result' | 'name'>

/** Shorthand for the keys that set the operational parameters of a normal session. */
const operational = {
  scope: 'session',
  when: 'leading',
  stage: 'operational',
  sender: 'both',
  discovery: false,
} as const

/** Shorthand for names: they may come in either stage. */
const declaration = {
  scope: 'session',
  when: 'always',
  stage: 'both',
  discovery: true,
  maxBytes: textLimits.valueBytes,
} as const

const number = (
  name: string,
  result: NumberKey['result'],
  row: Row<NumberKey> & Pick<NumberKey, 'min' | 'max' | 'default'>,
): NumberKey => ({ ...row, name, result, type: 'number' })

const boolean = (
  name: string,
  result: BooleanKey['result'],
  row: Row<BooleanKey> & Pick<BooleanKey, 'default'>,
): BooleanKey => ({ ...row, name, result, type: 'boolean' })

const list = (name: string, row: Row<ListKey>): ListKey => ({
  ...row,
  name,
  result: 'first-common',
  type: 'list',
})

const text = (name: string, row: Row<TextKey>): TextKey => ({
  ...row,
  name,
  result: 'declare',
  type: 'text',
})

const obsolete = (name: string, answer: ObsoleteKey['answer']): ObsoleteKey => ({
  ...operational,
  name,
  type: 'obsolete',
  answer,
  section: '13.25',
})

const digest = { ...operational, scope: 'connection', when: 'login', discovery: true } as const

/** Our keys are offered only with the leading login, by initiators that know them. */
const vendor = { ...operational, sender: 'initiator', section: 'design 3' } as const

export const keys = {
  AuthMethod: list('AuthMethod', {
    ...digest,
    stage: 'security',
    default: 'None',
    section: '12.1',
  }),
  HeaderDigest: list('HeaderDigest', { ...digest, default: 'None', section: '13.1' }),
  DataDigest: list('DataDigest', { ...digest, default: 'None', section: '13.1' }),
  MaxConnections: number('MaxConnections', 'min', {
    ...operational,
    min: 1,
    max: 65535,
    default: 1,
    section: '13.2',
  }),
  SendTargets: text('SendTargets', {
    ...declaration,
    when: 'full-feature',
    sender: 'initiator',
    section: '13.3',
  }),
  TargetName: text('TargetName', {
    ...declaration,
    when: 'login',
    sender: 'both',
    section: '13.4',
  }),
  InitiatorName: text('InitiatorName', {
    ...declaration,
    when: 'login',
    sender: 'initiator',
    section: '13.5',
  }),
  TargetAlias: text('TargetAlias', { ...declaration, sender: 'target', section: '13.6' }),
  InitiatorAlias: text('InitiatorAlias', { ...declaration, sender: 'initiator', section: '13.7' }),
  TargetAddress: text('TargetAddress', { ...declaration, sender: 'target', section: '13.8' }),
  TargetPortalGroupTag: number('TargetPortalGroupTag', 'declare', {
    ...operational,
    when: 'login',
    stage: 'both',
    sender: 'target',
    discovery: true,
    min: 0,
    max: 65535,
    default: 0,
    section: '13.9',
  }),
  InitialR2T: boolean('InitialR2T', 'or', { ...operational, default: true, section: '13.10' }),
  ImmediateData: boolean('ImmediateData', 'and', {
    ...operational,
    default: true,
    section: '13.11',
  }),
  MaxRecvDataSegmentLength: number('MaxRecvDataSegmentLength', 'declare', {
    ...operational,
    scope: 'connection',
    when: 'always',
    discovery: true,
    min: 512,
    max: largestSegment,
    default: 8192,
    section: '13.12',
  }),
  MaxBurstLength: number('MaxBurstLength', 'min', {
    ...operational,
    min: 512,
    max: largestSegment,
    default: 262144,
    section: '13.13',
  }),
  FirstBurstLength: number('FirstBurstLength', 'min', {
    ...operational,
    min: 512,
    max: largestSegment,
    default: 65536,
    section: '13.14',
  }),
  DefaultTime2Wait: number('DefaultTime2Wait', 'max', {
    ...operational,
    discovery: true,
    min: 0,
    max: 3600,
    default: 2,
    section: '13.15',
  }),
  DefaultTime2Retain: number('DefaultTime2Retain', 'min', {
    ...operational,
    discovery: true,
    min: 0,
    max: 3600,
    default: 20,
    section: '13.16',
  }),
  MaxOutstandingR2T: number('MaxOutstandingR2T', 'min', {
    ...operational,
    min: 1,
    max: 65535,
    default: 1,
    section: '13.17',
  }),
  DataPDUInOrder: boolean('DataPDUInOrder', 'or', {
    ...operational,
    default: true,
    section: '13.18',
  }),
  DataSequenceInOrder: boolean('DataSequenceInOrder', 'or', {
    ...operational,
    default: true,
    section: '13.19',
  }),
  ErrorRecoveryLevel: number('ErrorRecoveryLevel', 'min', {
    ...operational,
    discovery: true,
    min: 0,
    max: 2,
    default: 0,
    section: '13.20',
  }),
  SessionType: text('SessionType', {
    ...declaration,
    when: 'leading',
    sender: 'initiator',
    values: ['Normal', 'Discovery'],
    section: '13.21',
  }),
  TaskReporting: list('TaskReporting', { ...operational, default: 'RFC3720', section: '13.23' }),
  iSCSIProtocolLevel: number('iSCSIProtocolLevel', 'min', {
    ...operational,
    min: 0,
    max: 31,
    default: 1,
    section: '13.24',
  }),
  IFMarker: obsolete('IFMarker', 'No'),
  OFMarker: obsolete('OFMarker', 'No'),
  IFMarkInt: obsolete('IFMarkInt', 'Reject'),
  OFMarkInt: obsolete('OFMarkInt', 'Reject'),
  NodeArchitecture: text('X#NodeArchitecture', {
    ...declaration,
    when: 'leading',
    sender: 'both',
    section: '13.26',
  }),
  /** The highest version of the generation header that the initiator speaks; 0: none. */
  Generation: number('X-io.palisade.Generation', 'min', {
    ...vendor,
    min: 0,
    max: 65535,
    default: 0,
  }),
  /** Grows with each login of an initiator port; a server refuses a smaller one. */
  Login: number('X-io.palisade.Login', 'declare', {
    ...vendor,
    min: 0,
    max: largestSafe,
    default: 0,
  }),
} as const satisfies Readonly<Record<string, KeyRow>>

const byName: ReadonlyMap<string, KeyRow> = new Map(
  Object.values(keys).map((row): [string, KeyRow] => [row.name, row]),
)

export function findKey(name: string): KeyRow | undefined {
  return byName.get(name)
}
