/** What those who build responses ask of the connection that these go out on: see `Sender`. */
import type { CommandWindow } from '../iscsi/command-window.ts'
import type { Frame } from '../iscsi/framer.ts'

export interface Outgoing {
  readonly window: CommandWindow<Frame>
  /** StatSN for a response; each is used once, in the order in which the responses are sent. */
  takeStatSn(): number
  /** A target transfer tag that is new on this connection. */
  takeTag(): number
  /** Owns `header`, an encoded PDU; borrows `data` until it has left, and then calls `sent`. */
  send(header: Buffer, data?: readonly Uint8Array[], sent?: () => void): void
}
