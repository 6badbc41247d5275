/** What the state of a volume asks of the server's page store: replicas by segment, as a whole. */
export interface SegmentStore {
  /** New whenever acknowledged data may have been lost; undefined while the store is not open. */
  readonly incarnation: string | undefined
  /** Length of a replica; undefined where there is none. Throws while the store is not open. */
  replicaBlocks(segmentId: string): number | undefined
  /** An empty replica. */
  createReplica(segmentId: string, blocks: number, blockBytes: number): Promise<void>
  /** What is added reads as zeros; what is cut off is given back. */
  resizeReplica(segmentId: string, blocks: number): Promise<void>
  /** Gives all of its pages back. */
  dropReplica(segmentId: string): Promise<void>
}
