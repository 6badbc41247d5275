import { PortalRig, type RigOptions } from '../../support/portal-rig.ts'

/** A rig that lives as long as the test. */
export async function rigFor(
  t: { teardown(run: () => Promise<void>): unknown },
  options: RigOptions = {},
): Promise<PortalRig> {
  const rig = await PortalRig.start(options)
  t.teardown(() => rig.stop())
  return rig
}
