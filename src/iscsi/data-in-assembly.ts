/**
 * The data of one read, initiator role: Data-In PDUs in order, never more than was asked for,
 * whatever the target says. RFC 7143 11.7. Views on what was received; nothing is copied.
 */
import { type DataFault, dataFault } from './data-rules.ts'

/**
 * No honest target cuts a read into more pieces than one a block, and some; each costs an object.
 */
const pieceBytes = 512
const sparePieces = 64

/** The fields of a Data-In PDU that matter here. */
export interface DataInFields {
  readonly acknowledge: boolean
  readonly dataSn: number
  readonly bufferOffset: number
}

export class DataInAssembly {
  readonly #expectedBytes: number
  readonly #data: Buffer[] = []
  #receivedBytes = 0
  #dataSn = 0

  /** `expectedBytes` is the ExpectedDataTransferLength of the command. */
  constructor(expectedBytes: number) {
    this.#expectedBytes = expectedBytes
  }

  get data(): readonly Buffer[] {
    return this.#data
  }

  get dataBytes(): number {
    return this.#receivedBytes
  }

  /** Data-In PDUs so far; a SCSI Response must show the same as ExpDataSN. */
  get dataSn(): number {
    return this.#dataSn
  }

  receive(pdu: DataInFields, data: readonly Buffer[], dataBytes: number): DataFault | undefined {
    if (pdu.acknowledge) return dataFault('A bit while ErrorRecoveryLevel is 0')
    if (pdu.dataSn !== this.#dataSn) return dataFault('DataSN out of order')
    if (pdu.bufferOffset !== this.#receivedBytes) return dataFault('data out of order')
    if (this.#receivedBytes + dataBytes > this.#expectedBytes) {
      return dataFault('more data than the command asked for')
    }
    if (this.#dataSn > sparePieces + this.#expectedBytes / pieceBytes) {
      return dataFault('data in crumbs')
    }
    this.#dataSn++
    this.#receivedBytes += dataBytes
    for (const buffer of data) this.#data.push(buffer)
    return undefined
  }
}
