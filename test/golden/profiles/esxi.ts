import type { Attach } from './attach.ts'

/**
 * The names, the stage and the order of the keys are those of a published capture of ESXi's dynamic
 * discovery; ESXi's initiator comes from open-iscsi, and so the keys of a normal session are put
 * in as that one sends them. The first commands are in a published log of a target; the rest is what
 * VMware documents: a disk is claimed by the NAA designator of VPD page 83h, and hardware
 * acceleration by pages B0h and B2h.
 */
export const esxi: Attach = {
  name: 'VMware ESXi, software iSCSI adapter',
  profile: 'esxi',
  evidence: 'published',
  source: 'elatov.github.io, iSCSI Login in a Packet Capture (2012); spdk/spdk issue 405 (2018)',
  login: [
    {
      stages: [1, 3],
      says: [
        'InitiatorName=iqn.1998-01.com.vmware:host-3c00d9ce',
        'TargetName=TARGET',
        'SessionType=Normal',
        'HeaderDigest=None',
        'DataDigest=None',
        'DefaultTime2Wait=0',
        'DefaultTime2Retain=0',
        'IFMarker=No',
        'OFMarker=No',
        'ErrorRecoveryLevel=0',
        'InitialR2T=No',
        'ImmediateData=Yes',
        'MaxBurstLength=262144',
        'FirstBurstLength=262144',
        'MaxOutstandingR2T=1',
        'MaxConnections=1',
        'DataPDUInOrder=Yes',
        'DataSequenceInOrder=Yes',
        'MaxRecvDataSegmentLength=131072',
      ],
    },
  ],
  insists: ['TargetPortalGroupTag=1', 'ErrorRecoveryLevel=0'],
  commands: [
    '000000000000',
    '120000002400',
    '12010000ff00',
    '12018000ff00',
    '12018300ff00',
    'a00000000000000010000000',
    '25000000000000000000',
    '9e100000000000000000000000200000',
    '1a0008001400',
    '1a003f00ff00',
    '1201b0004000',
    '1201b2004000',
    '28000000000000000100',
  ],
}
