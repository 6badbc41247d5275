/**
 * Every number that somebody chose, in one place, with the relations that must hold between them.
 * What a standard fixed lives with the protocol that it belongs to.
 */
import { assert } from './assert.ts'

export const KIB = 1024
export const MIB = 1024 * KIB

/** Logical blocks of a disk: the smallest is also what a disk gets that asked for nothing else. */
export const blockSizes = [512, 4096] as const
export const smallestBlockBytes = 512
/** Physical block of every disk. */
export const physicalBlockBytes = 4096

/** Unit of allocation inside a storage server. */
export const pageBytes = 64 * KIB

/** The most that WRITE ATOMIC takes: pages are written anew for it, and read where it has only a part. */
export const atomicBytes = 1 * MIB

/** Largest single READ, WRITE or VERIFY; MAXIMUM TRANSFER LENGTH in VPD page B0h. */
export const largestCommandBytes = 8 * MIB

/** Sessions between our own programs (legs). */
export const leg = {
  windowCommands: 128,
  firstBurstBytes: 64 * KIB,
  maxBurstBytes: 8 * MIB,
  maxRecvDataSegmentBytes: 256 * KIB,
  loginDeadlineMs: 2_000,
  nopIntervalMs: 500,
  /** How exactly the time of a ping, and of its answer, is kept. */
  pulseTickMs: 125,
  nopDeadlineMs: 1_000,
  commandDeadlineMs: 5_000,
  /** Pings of a target that are answered while it does not read what it was sent. */
  pingsWhileFull: 64,
  /** How much longer an answer of the management path waits for one of a direct portal. */
  directGraceMs: 20,
} as const

/** Byte streams between hosts. */
export const network = {
  /** More than this queued in a stream asks its writer to wait. */
  highWaterBytes: 1 * MIB,
  /** How long a closed stream may take to send its rest and see the peer's end. */
  lingerMs: 2_000,
} as const

/** The target role's driver (src/portal): sessions of initiators with one of our programs. */
export const portal = {
  loginDeadlineMs: 15_000,
  /** Connections that have not logged in yet; one more takes the place of another. */
  halfOpenLogins: 256,
  /** Connections of one session of a stock initiator. */
  sessionConnections: 8,
  /** What is said of a session that lost its connections. RFC 7143 13.15, 13.16. */
  time2WaitSeconds: 2,
  time2RetainSeconds: 20,
  sessions: 1024,
  /** Data of writes held for one session and for all; at least one command always fits. */
  sessionWriteBytes: 32 * MIB,
  programWriteBytes: 256 * MIB,
  /** When all hold too much, a session that holds more than this unasked for is not read. */
  unaskedFloorBytes: 256 * KIB,
  /** Read data of one session under way from the unit or not yet taken by the peer. */
  sessionReadBytes: 32 * MIB,
  /** The same of all sessions, divided among them; one of many still has the floor. */
  programReadBytes: 512 * MIB,
  readShareFloorBytes: 1 * MIB,
  /** Immediate commands (task management, NOP, text) of one session not yet answered. */
  immediateCommands: 16,
  /** A command whose data have not all come by then is ended. */
  dataDeadlineMs: 30_000,
  /** Lost data are asked for again after so long a silence (ErrorRecoveryLevel 1 and up). */
  sequenceDeadlineMs: 5_000,
  /** Data of one session's requests that came before their turn. */
  earlyBytes: 8 * MIB,
  /** How long an answer to task management waits for the session's other connections. */
  othersHeardMs: 2_000,
  /** Responses of one connection kept until they are acknowledged. */
  keptResponses: 1_024,
  /** The same of all connections, in bytes. */
  programKeptBytes: 256 * MIB,
  /** A command that has not ended by then is stopped: far beyond what the units take. */
  taskDeadlineMs: 600_000,
  /** A task management function is answered by then, with "rejected" if need be. */
  taskManagementDeadlineMs: 10_000,
  /** A silent peer is pinged after the first and given up after the second. */
  idleBeforePingMs: 15_000,
  pingDeadlineMs: 15_000,
  /** A ping waits so long for data that were asked for, which prove as much. */
  pingPutOffMs: 500,
  /** How often the two above are looked at. */
  sweepMs: 1_000,
  /** Text of one SendTargets answer, over as many responses as it takes. */
  textAnswerBytes: 1 * MIB,
} as const

/** The client's side: the front ends (initiator-shim). */
export const shim = {
  /** A command is forwarded only while what was sent no longer ago than this was answered. */
  proofMs: 2_000,
  /** An older proof is renewed in the background. */
  proofRenewMs: 1_000,
  /** An older session of an initiator that logs in again has this long to show that it lives. */
  olderSessionDeadlineMs: 2_000,
  /** A held command is answered BUSY after the first, NOT READY after the second. */
  holdStretchMs: 20_000,
  holdMs: 60_000,
  /** Longer than initiators go without a flush: one that lost something is told of it by then. */
  lossElsewhereMs: 120_000,
  /** GET LBA STATUS looks at no more of a volume at once. */
  mappingBlocks: 2 * 1024 * 1024,
  /** How often held commands are looked at. */
  holdTickMs: 100,
  /** After a refusal that only time cures: the first delay, doubling to the longest. */
  retryFirstMs: 5,
  retryLongestMs: 100,
  probeDeadlineMs: 1_000,
  reconnectFirstMs: 20,
  reconnectLongestMs: 500,
  /** Direct I/O is taken up again after so many good probes in a row. */
  returnProbes: 3,
  returnProbeIntervalMs: 500,
  /** What is in flight may finish for so long before a working session is replaced. */
  switchDrainMs: 250,
  /** And so long after another server took the lead. */
  deposedAnswerMs: 250,
  /** The manager sends something every second. */
  watchSilenceMs: 3_000,
  watchRetryFirstMs: 50,
  watchRetryLongestMs: 250,
  getMapDeadlineMs: 5_000,
  reportDeadlineMs: 2_000,
  /** A change of what initiators set: one call, and all of them until its outcome is unknown. */
  sharedStateAttemptMs: 8_000,
  sharedStateRetryMs: 200,
  /** What ends with a session ends everywhere: tried again after the first, waited for at a stop. */
  revertRetryMs: 1_000,
  revertSettleMs: 2_000,
  /** A sanitize operation of which nothing was heard for so long is taken over from its front end. */
  sanitizeTakeOverMs: 60_000,
  sanitizeResumeRetryMs: 5_000,
  sharedStateDeadlineMs: 12_000,
} as const

/** Several front ends for one initiator, one of them active. */
export const frontEnds = {
  /** A front end tells the manager that it lives, and whom it serves, this often. */
  attendMs: 500,
  /** So soon after its sessions have changed. */
  attendSoonMs: 10,
  attendDeadlineMs: 1_000,
  /** Nobody is taken from one that was heard of no longer ago than this. */
  presentMs: 800,
  /** One that was not heard of for so long, or does not serve the initiator any more, is lost. */
  lostMs: 3_000,
  /** One call for an active front end; a closing change may take its time. */
  activateDeadlineMs: 10_000,
  /** Initiators whose active front end one volume names. */
  namedInitiators: 1_024,
  /** Those that the manager remembers. */
  frontEnds: 1_000,
  /** A stopping gateway sends its initiators elsewhere for no longer than this. */
  leaveMs: 3_000,
  /** How often it looks whether all of them have arrived there. */
  leaveTickMs: 50,
  /** An initiator is sent to a gateway that has fewer sessions by more than this. */
  spreadMargin: 2,
  /** What is known of other gateways moves nobody when it is older. */
  spreadKnownMs: 2_000,
  /** A login that was let in, or sent on, counts there until it is heard of as a session. */
  spreadPendingMs: 1_000,
  /** A gateway sends an initiator of a volume on once in this time. */
  spreadOnceMs: 10_000,
  /** Logins remembered for that; where there are more nobody is sent on. */
  spreadLogins: 1_024,
  /** Initiators with their volumes that a gateway tells others of. */
  attachments: 1_024,
} as const

/** Small operations on files: on the event loop while they are quick, in the pool after slow ones. */
export const fileIo = {
  largestLoopBytes: 64 * KIB,
  /** Cached reads take 1 to 10 us; an access to a fast disk takes 60 us or more. */
  slowReadMs: 0.06,
  /** Longer than a write into the page cache takes, unless this thread was preempted. */
  slowWriteMs: 1,
  poolFirstMs: 10,
  poolLongestMs: 1_000,
  quickToForget: 1_000,
} as const

/** Digests of contents from this size on are made in the thread pool. */
export const digestInPoolBytes = 16 * KIB

/** The page store. */
export const store = {
  /** Read buffers of one plain file that wait to be used again. */
  readPoolBytes: 32 * MIB,
  flushIntervalMs: 5_000,
  /** A log longer than this is folded at once. */
  foldAfterLogBytes: 16 * MIB,
  /** The log gets room in such steps, as zeros that are written ahead: a record finds it there. */
  logRoomBytes: 64 * KIB,
  /** Of that room: only for what needs none of its own, freed pages and flushes. */
  logReserveBytes: 32 * KIB,
  /** Pages that one `free` record covers at most, so that no turn is long. */
  largestFreeRun: 16_384,
  /** Zeros written in one go where a raw file is unmapped. */
  zeroingPieceBytes: 1 * MIB,
} as const

/** Calls between our own programs. */
export const rpc = {
  reconnectFirstMs: 100,
  reconnectLongestMs: 500,
  keepaliveMs: 2_000,
  keepaliveDeadlineMs: 2_000,
  largestMessageBytes: 64 * MIB,
  /** How long calls under way may take when their server stops. */
  shutDownMs: 1_000,
} as const

/** The manager. */
export const manager = {
  /** One close, activate, reopen or describe, before it is tried again. */
  orderDeadlineMs: 1_000,
  retryMs: 100,
  /** A change that fences nobody gives up after this; a fence then tells its caller. */
  closeGivesUpMs: 5_000,
  fenceRetryMs: 500,
  /** Watching clients hear of a change that not every server has confirmed after this. */
  publishLatestMs: 250,
  /** Each adopted server is asked for its state this often. */
  describeIntervalMs: 2_000,
  /** One that did not answer, or would not take up its map, is asked again after this. */
  askAgainMs: 500,
  /** A server that its partners or clients cannot use has so long to answer the manager. */
  probeDeadlineMs: 250,
  /** After its start a manager changes no map before it heard its servers, or for so long. */
  rollCallMs: 1_000,
  /** The word of a client that it cannot use a server counts so long. */
  accusationMs: 60_000,
  /** By then a client that lost its path to a server has found another one, if there is any. */
  accusationStandsMs: 250,
  /** A partner that says the same of a primary that calls it silent is kept so long for clients to speak. */
  disputeMs: 1_200,
  /** A server that says that it has no store is taken for one that starts, no longer than this. */
  startTakesMs: 2_000,
  /** How often volumes that lack a copy are looked at. */
  recoveryLookMs: 1_000,
  recoveryLongestPauseMs: 60_000,
  /** One answer of a server when a lost store is rebuilt. */
  rebuildDeadlineMs: 10_000,
  /** Clients that are remembered as accusing one server. */
  accusers: 64,
  /** A change of replicas that came to nothing is tried again after the first, doubling. */
  replicaRetryMs: 500,
  replicaRetryLongestMs: 10_000,
  /** How long GetMap waits for a newer map. */
  getMapWaitMs: 5_000,
  keepAliveMs: 1_000,
  /** Known servers, adopted or not. */
  servers: 10_000,
  /** Newest reports of clients kept, one a client and portal. */
  reports: 1_000,
  firstPduDeadlineMs: 5_000,
  relayDialMs: 2_000,
  relayDialApartMs: 200,
  relayConnections: 1_000,
  /** Part of each server that only recovery may fill, once anything is mirrored. */
  reservedShare: 0.1,
  /** Defaults of a volume. */
  holdMs: 60_000,
  leaseMs: 2_000,
} as const

/** Default width of one column's run of blocks in a striped volume. */
export const stripeUnitBytes = 64 * KIB

/** What one SCSI command may ask of a logical unit; all but the last two are in VPD page B0h. */
export const scsi = {
  maxUnmapBlocks: 1024 * 1024,
  maxUnmapDescriptors: 256,
  /** WRITE SAME is written out, so it is kept to what a disk does within a command's deadline. */
  maxWriteSameBlocks: 32 * 1024,
  maxCompareAndWriteBlocks: 1,
  /** PRE-FETCH reads at most so much. */
  prefetchBytes: 8 * MIB,
  /** Runs that one GET LBA STATUS reports at most. */
  allocationRuns: 1024,
  /** WRITE SAME and VERIFY go to the unit in pieces of this size. */
  pieceBytes: MIB,
  /** The pattern of WRITE SAME is laid out once in a buffer of this size. */
  patternBytes: 64 * KIB,
} as const

/** Third-party copies, as VPD page 8Fh and RECEIVE COPY OPERATING PARAMETERS tell. */
export const copy = {
  cscds: 8,
  segments: 64,
  /** CSCD and segment descriptors together. */
  descriptorListBytes: 4 * KIB,
  /** The longest parameter list of all copy commands: a header and descriptors. */
  parameterListBytes: 4 * KIB + 16,
  /** One segment, so that one command copies 1 GiB at most. */
  segmentBytes: 16 * MIB,
  /** Read and written at once. */
  pieceBytes: MIB,
  /** Copies that one unit makes at the same time; more are answered BUSY. */
  concurrentCopies: 16,
  /** Copies of one session whose results are kept. */
  records: 64,
  /** Ranges in one POPULATE TOKEN or WRITE USING TOKEN. */
  rangeDescriptors: 64,
  /** The data of tokens are held in memory: of one, of one initiator, of all. */
  tokenBytes: 8 * MIB,
  initiatorTokenBytes: 32 * MIB,
  allTokensBytes: 64 * MIB,
  tokenInactivitySeconds: 30,
  tokenInactivityMostSeconds: 300,
  /** Tokens that are no more, of which it is known why. */
  endedTokens: 1024,
} as const

/** What initiators set on a logical unit. */
export const unitState = {
  /** Initiator ports that are remembered because they lost something with their session. */
  rememberedNexusLosses: 1024,
  /** The soft threshold is at this part of a thin unit's size. */
  softThresholdShare: 10,
  /** A sanitize operation tries again so long after its unit could not serve. */
  sanitizeRetryMs: 500,
  /** How often it is recorded how far a sanitize operation came. */
  sanitizeRecordMs: 10_000,
  /** A sanitize operation leaves the rest of the disk's speed to others. */
  sanitizeBytesPerSecond: 128 * MIB,
  /** REPORT SUPPORTED OPERATION CODES: what a command usually takes, and when to give it up. */
  nominalCommandSeconds: 1,
  recommendedTimeoutSeconds: 60,
} as const

/** Data of writes on their way in. */
export const dataOut = {
  /** Lost data of one command are asked for so often at most. */
  recoveries: 16,
  /** Pieces up to the first are copied where they hold more than the second times their size. */
  copiedBytes: 16 * KIB,
  copiedFrom: 4,
} as const

/** Reservations of one logical unit. */
export const reservations = {
  registrations: 1024,
  /** Changes that a front end may miss and still tell its initiators exactly what they were. */
  notices: 8,
  /** TransportIDs of some hundred initiator ports. */
  parameterListBytes: 64 * KIB,
} as const

/** Names of the newest changes of what initiators set on a volume, kept in its map. */
export const sharedStateChanges = 16

/** Key=value text in login and text exchanges (RFC 7143 6.1 fixes the first three). */
export const textLimits = {
  keyBytes: 63,
  valueBytes: 255,
  longValueBytes: 8192,
  /** Pairs in one exchange of one side; the standard knows about thirty keys. */
  pairs: 128,
  exchangeBytes: 16 * KIB,
  /** PDUs over which one side may spread an exchange with the C bit. */
  pieces: 64,
} as const

/** CHAP. RFC 7143 9.2.1, 12.1.3 fix the first two. */
export const chap = {
  /** Without IPsec a secret has at least 96 bits. */
  secretBytesMin: 12,
  challengeBytesMax: 1024,
  /** Own challenges that are known again when a peer sends them back. */
  rememberedChallenges: 4096,
} as const

/** Rounds of a login, continuations not counted. */
export const loginRounds = 16

/** AHS of one PDU: our own headers need 12 and 32 bytes, an extended CDB at most 248. */
export const maxAhsBytes = 512

/** A storage server towards its manager, and what it remembers. */
export const storageServer = {
  /** A volume that waits for a manager's word asks this often. */
  askIntervalMs: 1_000,
  /** A sender with a newer generation makes the server ask at most this often for a volume. */
  newerAskIntervalMs: 100,
  registerIntervalMs: 1_000,
  /** A closed server takes what other primaries have begun until none came for so long. */
  lingerQuietMs: 20,
  lingerMs: 300,
  managerDeadlineMs: 2_000,
  /** Initiator ports whose login numbers are kept, for each target. */
  loginNumbers: 8_192,
  /** A store that could not be opened again is tried again after this. */
  reopenIntervalMs: 1_000,
} as const

/** Copies of a segment on several storage servers. */
export const mirror = {
  mostCopies: 4,
  /** Flat LUNs, of which 0 stands for no single replica. */
  replicasOnServer: 16_383,
  /** One bit of a mask stands for so much of a replica. */
  regionBytes: 4 * MIB,
  heartbeatMs: 400,
  /** While a segment waits for its lease, a partner is asked no more often than this. */
  hurriedHeartbeatMs: 10,
  /** A partner that answered nothing for so long cannot be used. */
  suspectedMs: 1_200,
  /** Nor can a primary that was not heard for so long: sooner, so that it says so before its primary does. */
  primarySuspectedMs: 1_000,
  /** A server looks so often whether there is something to tell of its partners. */
  conditionLookMs: 100,
  /** And tells how far it is no more often than this. */
  progressMs: 500,
  conditionRetryMs: 300,
  /** A disk that returned an error counts as failed for so long, while its store stays open. */
  diskFailedMs: 30_000,
  /** Regions that one piece of an UNMAP marks at most. */
  unmappedRegions: 64,
  /** A partner that refuses, or could not do it, is asked again after this. */
  partnerRetryMs: 50,
  /** A partner that owes an answer for so long cannot be used, whatever else it answers. */
  partnerCallMs: 3_000,
  /** The confirmer of a lease counts so much longer than the one who holds it. */
  leaseMargin: 1.1,
  /** The clock that counts suspended time and the other one part by more: leases are void. */
  clocksPartMs: 50,
  clearIntervalMs: 5_000,
  /** A region that was not written for so long is cleared with the next flush. */
  clearIdleMs: 3_000,
  /** Set bits of one in-sync mask: what can be compared in 30 s. */
  markedRegions: 1_024,
  /** From the first on marks are cleared at once, those written longest ago, down to the second. */
  markedRegionsHigh: 896,
  markedRegionsLow: 512,
  /** Then everything is flushed no more often than this. */
  clearHurryMs: 50,
  /** Requests that must not run twice: effects remembered of one client, clients of one segment. */
  outcomesOfClient: 1_024,
  outcomeClients: 64,
  /** Regions outside the masks that are compared when a replica returns. */
  sampledRegions: 16,
  /** A session on which nothing was heard for so long gives way to one through another portal. */
  sessionSilenceMs: 800,
  reconnectFirstMs: 20,
  reconnectLongestMs: 500,
  probeDeadlineMs: 1_000,
  /** Replicas in one answer to a heartbeat; further ones are asked for. */
  heartbeatEntries: 4_096,
  /** Regions that one command clears: its data are immediate. */
  clearedRegions: 4_096,
  /** Replicas of a map of which it is recorded what they lack. */
  lackingReplicas: 8,
  /** Data of replicated writes held for all partners, beside those of clients. */
  writeBytes: 128 * MIB,
  /** Read at once to be digested: so much of the event loop's time is taken in one go at most. */
  digestPieceBytes: 256 * KIB,
  /** Compared and copied under one lock, which clients that want the same blocks wait for. */
  copyPieceBytes: 1 * MIB,
  /** Of the limit of recovery, content that is only compared takes this part. */
  comparedPerCopied: 4,
  /** Regions that one replica is brought up by at the same time. */
  bringUpRegions: 2,
  /** Marked regions that are compared at the same time. */
  comparedRegions: 4,
  /** What failed for a reason that only time cures is tried again: the first delay, the longest. */
  retryFirstMs: 50,
  retryLongestMs: 1_000,
  /** Rates told to people are of the last so many milliseconds. */
  rateWindowMs: 5_000,
  /** Defaults: what one server copies for recovery in a second, and how long a replica may be away. */
  recoveryBytesPerSecond: 64 * MIB,
  recoveryGraceMs: 10 * 60_000,
  /** A verification that gets no further is tried so often, a second apart. */
  verifyTries: 10,
  /** Differences that a verification names; it counts all. */
  namedDifferences: 16,
} as const

assert(pageBytes % physicalBlockBytes === 0, 'a page holds whole physical blocks')
assert(mirror.regionBytes % pageBytes === 0, 'a region holds whole pages')
assert(mirror.sessionSilenceMs < mirror.suspectedMs, 'another portal is tried before suspicion')
assert(
  mirror.primarySuspectedMs + mirror.conditionLookMs <= mirror.suspectedMs,
  'a partner speaks before the primary that it does not hear',
)
assert(
  mirror.primarySuspectedMs - mirror.heartbeatMs + manager.disputeMs >=
    leg.nopIntervalMs + leg.nopDeadlineMs + 2 * leg.pulseTickMs,
  'a client notices that its path is dead before the partner of its primary is dropped',
)
assert(mirror.markedRegionsHigh < mirror.markedRegions, 'room is made before it is missing')
assert(mirror.markedRegionsLow < mirror.markedRegionsHigh, 'a flush makes room for many')
assert(mirror.clearedRegions * 8 <= leg.firstBurstBytes, 'a clearing is immediate data')
assert(mirror.copyPieceBytes % pageBytes === 0, 'a piece holds whole pages')
assert(mirror.regionBytes % mirror.copyPieceBytes === 0, 'a region holds whole pieces')
assert(mirror.digestPieceBytes % pageBytes === 0, 'a piece holds whole pages')
assert(mirror.copyPieceBytes <= largestCommandBytes, 'a piece is no larger than a command')
assert(stripeUnitBytes % pageBytes === 0, 'a stripe unit holds whole pages')
assert(leg.maxBurstBytes >= largestCommandBytes, 'the largest command fits one burst')
assert(leg.nopDeadlineMs >= leg.nopIntervalMs, 'a ping is not overtaken by the next')
assert(fileIo.poolFirstMs <= fileIo.poolLongestMs, 'the time in the pool can grow')
assert(scsi.pieceBytes <= largestCommandBytes, 'a piece is no larger than a command')
assert(scsi.pieceBytes % scsi.patternBytes === 0, 'a piece is whole patterns')
assert(scsi.patternBytes % physicalBlockBytes === 0, 'a pattern is whole blocks of any size')
assert(
  blockSizes.every((bytes) => physicalBlockBytes % bytes === 0),
  'a physical block is whole logical ones',
)
assert(copy.pieceBytes <= largestCommandBytes, 'a piece is no larger than a command')
assert(copy.segments * copy.segmentBytes < 2 ** 32, 'a count of copied bytes has 32 bits')
assert(copy.tokenBytes <= copy.initiatorTokenBytes, 'an initiator may have one token')
assert(portal.sessionWriteBytes <= portal.programWriteBytes, 'one session does not hold it all')
assert(portal.sessionWriteBytes >= largestCommandBytes, 'the largest write can be held')
assert(portal.sessionReadBytes >= largestCommandBytes, 'the largest read can be held')
assert(shim.proofRenewMs < shim.proofMs, 'a proof is renewed before it is too old')
assert(shim.retryFirstMs <= shim.retryLongestMs, 'the delay can grow')
assert(leg.commandDeadlineMs < shim.holdStretchMs, 'a command in doubt is known before BUSY')
