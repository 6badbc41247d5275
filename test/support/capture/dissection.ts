/**
 * What tshark says of captured iSCSI connections: how many PDUs of which kind it found, and every
 * PDU, digest, text key or SCSI data that it calls wrong, with who sent it.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'

export interface DissectionFault {
  readonly frame: number
  readonly sender: 'target' | 'initiator'
  readonly what: string
}

export interface Dissection {
  /** Name of the PDU as tshark has it, to how many there were. */
  readonly pdus: ReadonlyMap<string, number>
  readonly found: { readonly initiator: number; readonly target: number }
  readonly goodDigests: number
  readonly faults: readonly DissectionFault[]
  /** SCSI data that end where the initiator's own allocation length cut them. */
  readonly cutByAllocation: number
}

/** The bogosity filter takes PDUs of more than 256 KiB, and some legal ones, for data. */
const preferences = [
  ...['-o', 'iscsi.bogus_pdu_filter:FALSE', '-o', 'iscsi.bogus_pdu_max_data_len:16777215'],
  ...['-o', 'tcp.no_subdissector_on_error:FALSE', '-o', 'ip.check_checksum:FALSE'],
]

/** Payload that is neither a PDU nor a piece of one: the dissector lost, or refused, the stream. */
const undissected =
  'tcp.len > 0 && !iscsi && !tcp.segment_data && !tcp.reassembled_in && !tcp.analysis.retransmission'

export async function dissect(file: string, ports: readonly number[]): Promise<Dissection> {
  const decode = ports.flatMap((port) => ['-d', `tcp.port==${port},iscsi`])
  const reader = new TextReader(ports)
  const base = ['-n', '-r', file, ...preferences, ...decode]
  const fields = ['-T', 'fields', '-e', 'frame.number', '-e', 'tcp.srcport', '-e', 'tcp.payload']
  const ours = `tcp.port in {${ports.join(', ')}}`
  await Promise.all([
    tshark([...base, '-O', 'iscsi,scsi', '-Y', 'iscsi'], (line) => reader.line(line)),
    tshark([...base, '-Y', `${undissected} && ${ours}`, ...fields], (line) => {
      const [frame = '', port = '', payload = ''] = line.split('\t')
      reader.fault(Number(frame), Number(port), `no PDU: ${payload.slice(0, 96)}`)
    }),
  ])
  return reader
}

async function tshark(args: readonly string[], take: (line: string) => void): Promise<void> {
  const child = spawn('tshark', args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let complaints = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaints += text
  })
  const closed = once(child, 'close')
  for await (const line of createInterface({ input: child.stdout })) take(line)
  const [code] = await closed
  if (code !== 0) throw new Error(`tshark ended with ${code}: ${complaints}`)
}

/** Reads `tshark -O iscsi,scsi`: one block of lines for each frame, one section for each PDU. */
class TextReader implements Dissection {
  readonly pdus = new Map<string, number>()
  readonly found = { initiator: 0, target: 0 }
  goodDigests = 0
  readonly faults: DissectionFault[] = []
  cutByAllocation = 0
  readonly #ports: ReadonlySet<number>
  #frame = 0
  #source = 0
  #connection = ''
  #pdu = ''
  #tag = ''
  #dataBytes = 0
  #offset = 0
  /** Connection and task tag to what the initiator wants to read. */
  readonly #wanted = new Map<string, number>()

  constructor(ports: readonly number[]) {
    this.#ports = new Set(ports)
  }

  line(line: string): void {
    if (line.startsWith('    ')) this.#field(line.slice(4))
    else if (line.startsWith('Frame ')) this.#frame = Number.parseInt(line.slice(6), 10)
    else if (line.startsWith('Transmission')) this.#segment(line)
    else if (line.startsWith('iSCSI (')) this.#begin(line.slice(7, -1))
    else if (line.startsWith('[Malformed') || line.includes('[Dissector bug')) {
      this.#malformed(line)
    }
  }

  fault(frame: number, source: number, what: string): void {
    this.faults.push({ frame, sender: this.#sender(source), what })
  }

  #sender(source: number): 'target' | 'initiator' {
    return this.#ports.has(source) ? 'target' : 'initiator'
  }

  #segment(line: string): void {
    const [, source = '', destination = ''] = /Src Port: (\d+), Dst Port: (\d+)/.exec(line) ?? []
    this.#source = Number(source)
    const fromTarget = this.#ports.has(this.#source)
    this.#connection = fromTarget ? `${destination}-${source}` : `${source}-${destination}`
    this.#pdu = ''
  }

  #begin(name: string): void {
    this.#pdu = name
    this.#tag = ''
    this.#offset = 0
    this.found[this.#sender(this.#source)]++
    this.pdus.set(name, (this.pdus.get(name) ?? 0) + 1)
  }

  #field(text: string): void {
    const colon = text.indexOf(': ')
    const name = colon < 0 ? text : text.slice(0, colon)
    const value = colon < 0 ? '' : text.slice(colon + 2)
    if (name === 'InitiatorTaskTag') this.#tag = value
    else if (name === 'DataSegmentLength') this.#dataBytes = Number.parseInt(value, 10)
    else if (name === 'BufferOffset') this.#offset = Number.parseInt(value, 10)
    else if (name === 'ExpectedDataTransferLength') {
      this.#wanted.set(`${this.#connection} ${this.#tag}`, Number.parseInt(value, 10))
    } else if (name === 'HeaderDigest' || name === 'DataDigest') this.#digest(name, value)
    else if (/Invalid (key\/value pair|opcode)/.test(text)) this.#fault(text.trim())
  }

  #digest(name: string, value: string): void {
    if (value.includes('Good')) this.goodDigests++
    else this.#fault(`${name} ${value}`)
  }

  /**
   * The initiator may ask for less than there is (SPC-4 4.2.5.6), and libiscsi does so to learn the
   * length; the SCSI dissector follows the length in the data and reads beyond what it was given.
   */
  #malformed(line: string): void {
    const wanted = this.#wanted.get(`${this.#connection} ${this.#tag}`)
    const filled = this.#offset + this.#dataBytes === wanted
    if (this.#pdu === 'Reject' && line.includes(': iSCSI]')) {
      // Its data are the header that was rejected (RFC 7143 11.17), dissected once more.
      this.faults.push({ frame: this.#frame, sender: 'initiator', what: `rejected: ${line}` })
    } else if (this.#pdu === 'SCSI Data In' && line.includes(': SCSI]') && filled)
      this.cutByAllocation++
    else this.#fault(line)
  }

  #fault(what: string): void {
    this.fault(this.#frame, this.#source, `${this.#pdu}: ${what}`)
  }
}
