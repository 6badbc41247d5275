import type { Attach } from './attach.ts'

/**
 * The login is from the notes of a target that was made to work with Windows 11, with the offers
 * that it measured: a security stage without a proof, several connections, level 2. Windows waits
 * for ever where the security response has no TargetPortalGroupTag, and takes no answer to what it
 * did not offer. The commands are what is generally known of its port and disk drivers, from no
 * document that was checked: LUNs and identity from REPORT LUNS and VPD pages 80h and 83h, limits and
 * provisioning from B0h to B2h, cache and write protection from the mode pages, persistent
 * reservations for clusters.
 */
export const windows: Attach = {
  name: 'Windows, Microsoft iSCSI Initiator',
  profile: 'windows',
  evidence: 'documented',
  source:
    'offers measured by the makers of an NVMe-oF bridge, in their public source; commands unsourced',
  login: [
    {
      stages: [0, 1],
      says: [
        'InitiatorName=iqn.1991-05.com.microsoft:host',
        'SessionType=Normal',
        'TargetName=TARGET',
        'AuthMethod=None',
      ],
    },
    {
      stages: [1, 3],
      says: [
        'HeaderDigest=None,CRC32C',
        'DataDigest=None,CRC32C',
        'ErrorRecoveryLevel=2',
        'InitialR2T=No',
        'ImmediateData=Yes',
        'MaxRecvDataSegmentLength=65536',
        'MaxBurstLength=262144',
        'FirstBurstLength=65536',
        'MaxConnections=32',
        'DataPDUInOrder=Yes',
        'DataSequenceInOrder=Yes',
        'DefaultTime2Wait=0',
        'DefaultTime2Retain=60',
        'MaxOutstandingR2T=16',
      ],
    },
  ],
  insists: ['AuthMethod=None', 'TargetPortalGroupTag=1', 'FirstBurstLength=65536'],
  commands: [
    'a00000000000000000100000',
    '120000002400',
    '12010000ff00',
    '12018000ff00',
    '12018300ff00',
    '000000000000',
    '25000000000000000000',
    '9e100000000000000000000000200000',
    '1201b0004000',
    '1201b1004000',
    '1201b2004000',
    '1a003f00c000',
    '1a000800c000',
    '5e000000000000000800',
    '28000000000000000100',
  ],
}
