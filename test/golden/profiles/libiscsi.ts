import type { Attach } from './attach.ts'

const operational = [
  'HeaderDigest=None,CRC32C',
  'DataDigest=None',
  'InitialR2T=No',
  'ImmediateData=Yes',
  'MaxBurstLength=262144',
  'FirstBurstLength=262144',
  'DefaultTime2Wait=2',
  'DefaultTime2Retain=0',
  'MaxOutstandingR2T=1',
  'ErrorRecoveryLevel=0',
  'IFMarker=No',
  'OFMarker=No',
  'MaxConnections=1',
  'MaxRecvDataSegmentLength=262144',
  'DataPDUInOrder=Yes',
  'DataSequenceInOrder=Yes',
]

const names = (initiator: string) => [
  `InitiatorName=${initiator}`,
  'TargetName=TARGET',
  'SessionType=Normal',
]

const tool = 'iqn.2007-10.com.github:sahlberg:libiscsi:iscsi-ls'

export const libiscsi: Attach = {
  name: 'libiscsi: iscsi-ls -s',
  profile: 'libiscsi',
  evidence: 'recorded',
  source: 'Debian 12: libiscsi-bin 1.19.0, against target --standalone',
  login: [{ stages: [1, 3], says: [...names(tool), ...operational] }],
  insists: ['TargetPortalGroupTag=1'],
  commands: ['a00000000000000000100000', '000000000000', '120000004000', '25000000000000000000'],
}

/** A user in its URL brings it to the security stage, where it names itself twice. */
export const libiscsiWithUser: Attach = {
  ...libiscsi,
  name: 'libiscsi with a user that nobody asks for',
  source: 'Debian 12: libiscsi-bin 1.19.0, iscsi-inq iscsi://USER%SECRET@…',
  login: [
    { stages: [0, 1], says: [...names(tool), 'AuthMethod=CHAP,None'] },
    { stages: [1, 3], says: [...names(tool), ...operational] },
  ],
  insists: ['AuthMethod=None', 'TargetPortalGroupTag=1'],
  commands: ['000000000000', '120000004000'],
}

export const qemu: Attach = {
  name: 'qemu, with libiscsi within',
  profile: 'qemu',
  evidence: 'recorded',
  source: 'Debian 12: qemu-utils 7.2 and qemu-block-extra, qemu-io, against target --standalone',
  login: [{ stages: [1, 3], says: [...names('iqn.2008-11.org.linux-kvm'), ...operational] }],
  insists: ['TargetPortalGroupTag=1'],
  commands: [
    '000000000000',
    '120000004000',
    '120000006000',
    '1a083f00ff00',
    '9e100000000000000000000000200000',
    '120100004000',
    '120183004000',
    '12018300a000',
    '1201b0004000',
    '1201b2004000',
    '28000000000000000800',
  ],
}
