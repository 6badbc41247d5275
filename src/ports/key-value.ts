/**
 * An ordered map from short keys to bytes, changed by conditional transactions only: the shape
 * that LMDB and etcd have in common. One writer process at a time is assumed for LMDB; the
 * conditions make it safe for several writers where the store serves several.
 */
export interface KeyValue {
  /** The value, or undefined. Reads see every transaction that has resolved. */
  get(key: string): Promise<Buffer | undefined>
  /** All entries whose key begins with `prefix`, in key order. */
  range(prefix: string): Promise<KeyValueEntry[]>
  /**
   * Applies all changes or none. Resolves true when committed *and durable*; false when a
   * condition did not hold, in which case nothing changed. Transactions take effect in the order of
   * the calls; those made in one turn may share one sync.
   */
  transact(transaction: Transaction): Promise<boolean>
  close(): Promise<void>
}

export interface KeyValueEntry {
  readonly key: string
  readonly value: Buffer
}

export interface Transaction {
  /** Each key must hold exactly this value; undefined: must be absent. */
  readonly require?: readonly { readonly key: string; readonly value: Uint8Array | undefined }[]
  readonly put?: readonly { readonly key: string; readonly value: Uint8Array }[]
  readonly remove?: readonly string[]
}
