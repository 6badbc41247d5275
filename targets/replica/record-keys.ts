/** Keys of a storage server's own records (`volumes.lmdb`). The only place that builds them. */
export const recordKeys = {
  /** Before every VolumeRecord. */
  volumes: 'volume/',
  volume: (volumeId: string): string => `volume/${volumeId}`,
} as const
