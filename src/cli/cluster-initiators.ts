/**
 * The initiators of a `palisade up` on this machine: its shim knows them, not the manager. Found by
 * the directory, as the manager is; the status of a manager elsewhere says nothing of initiators.
 */
import { StorageError } from '../base/errors.ts'
import { initiatorsOf, type VolumeInitiator } from './initiator-table.ts'
import { clusterDirectory, type ManagerOptions } from './manager-connection.ts'
import { askShim } from './shim-status.ts'
import { readCluster } from './up/cluster-file.ts'

/** Undefined where there is no such shim, or none that answers. */
export async function clusterInitiators(
  options: ManagerOptions,
): Promise<readonly VolumeInitiator[] | undefined> {
  const directory = clusterDirectory(options)
  const cluster = directory === undefined ? undefined : await readCluster(directory)
  if (cluster === undefined) return undefined
  try {
    return initiatorsOf(await askShim(cluster.shim.status))
  } catch (thrown) {
    if (thrown instanceof StorageError) return undefined
    throw thrown
  }
}
