/**
 * Schedules against disks that do other than they say. Blocks carry no checksums of ours: what a disk
 * wrote to the wrong place is found by comparing copies, and a copy that is read by nobody meanwhile
 * shows it to nobody.
 */
import type { Cluster } from '../cluster/cluster.ts'
import { Script, scripted, soon } from './script.ts'
import type { Theme } from './theme.ts'

const callMs = 5_000
const lookMs = 50

/** Some of what the second copy was to hold is elsewhere on its disk; later it is the only copy. */
const misdirected: Theme = {
  mirrors: true,
  plan: (chance) => scripted(chance, { copies: 2, regions: 4 }, { clearing: soon }),
  run: async (cluster, chance) => {
    const script = new Script(cluster, chance)
    const [primary, other] = script.copies
    await script.write(chance.some(script.places))
    const { faults } = other!.disk
    faults.misdirected = 1 + chance.below(3)
    while (faults.misdirected > 0) await script.write([chance.pick(script.places)])
    await verify(cluster, script)
    if (script.isInSync(other!)) await script.gone(primary!)
  },
}

async function verify({ admin, violations }: Cluster, script: Script): Promise<void> {
  const request = { name: 'v1', repair: true }
  let reply = await admin.verifyVolume({ ...request, start: true }, callMs)
  const states = (): string[] => reply.segments.map(({ verification }) => verification.state)
  while (states().includes('running')) {
    await script.pass(lookMs)
    reply = await admin.verifyVolume({ ...request, start: false }, callMs)
  }
  const repaired = reply.segments.some(({ verification }) => verification.repairedPages > 0)
  if (!repaired) violations.add('verify', `found nothing to repair: ${states().join(' ')}`)
}

export const diskThemes = { misdirected }
