/** What a front end says of itself, from the counters of its parts. Read only. */
import type {
  FrontVolumeStatus,
  InitiatorStatus,
  PathStatus,
  ShimStatusReply,
} from '../src/control/messages/shim.ts'
import type { FrontSession } from '../src/portal/portal-host.ts'
import type { FrontVolume } from './device/front-volume.ts'
import type { ServerPath } from './paths/server-path.ts'

export interface ShimFacts {
  readonly client: string
  readonly managerConnected: boolean
  readonly managementPath: readonly string[]
  readonly volumes: readonly FrontVolume[]
  readonly sessions: readonly FrontSession[]
  readonly sentElsewhere: number
}

export function shimStatus({ volumes, sessions, ...facts }: ShimFacts): ShimStatusReply {
  return {
    ...facts,
    volumes: volumes.map((volume) => {
      const own = sessions.filter(({ nexus }) => nexus.targetName === volume.state.map.iqn)
      return { ...volumeStatus(volume), initiators: own.map(initiatorStatus) }
    }),
  }
}

function initiatorStatus(session: FrontSession): InitiatorStatus {
  const { initiatorName, initiatorAlias = '', chapUser = '', ...rest } = session.describe()
  return { ...rest, name: initiatorName, alias: initiatorAlias, chapUser }
}

function volumeStatus({
  state,
  router,
  paths,
  sessions,
}: FrontVolume): Omit<FrontVolumeStatus, 'initiators'> {
  const { counters } = router
  return {
    volumeId: state.map.volumeId,
    name: state.map.name,
    generation: state.map.generation,
    sessions,
    fenced: state.admission.fenced,
    live: router.liveCount,
    held: router.heldCount,
    commands: counters.commands,
    heldTotal: counters.held,
    longestStallMs: counters.longestStallMs,
    resent: counters.resentAfterLoss,
    repeats: [...counters.repeated].map(([reason, count]) => ({ reason, count })),
    busy: counters.busy,
    conflicts: counters.conflicts,
    dropped: counters.dropped,
    alarms: counters.alarms,
    outcomeUnknown: counters.outcomeUnknown,
    paths: paths.list().map(pathStatus),
  }
}

function pathStatus({ target, way, counters }: ServerPath): PathStatus {
  return {
    serverId: target.serverId,
    server: target.server,
    route: way?.route ?? 'none',
    portal: way?.portal ?? '',
    direct: { ...counters.direct },
    management: { ...counters.management },
    breaks: counters.breaks,
    returns: counters.returns,
  }
}
