/**
 * Files of blocks. A write that resolved is in the file for every later read of this process and
 * survives the death of the process; only `flush` makes it survive the death of the machine.
 * All failures reject with StorageError `io-error` or `no-space`.
 */
export interface BlockFile {
  readonly sizeBytes: number
  /** Fills the whole buffer from `offsetBytes`; a short read is an error. */
  read(buffer: Buffer, offsetBytes: number): Promise<void>
  /** Writes the buffers one after the other from `offsetBytes`; they are borrowed until it settles. */
  write(buffers: readonly Uint8Array[], offsetBytes: number): Promise<void>
  /** Resolves when all writes that had resolved before this call are durable (fdatasync). */
  flush(): Promise<void>
  /** Grows (reading as zeros) or cuts the file. Durable after the next flush. */
  resize(sizeBytes: number): Promise<void>
  close(): Promise<void>
}

/** The files of one directory of a program. Names may contain `/`; directories are made on the way. */
export interface BlockFiles {
  /** Opens for reading and writing; `create` makes an empty file where there is none. */
  open(name: string, options?: { create?: boolean }): Promise<BlockFile>
  exists(name: string): Promise<boolean>
  /** Removes the file, durably; no error where there is none. */
  remove(name: string): Promise<void>
}
