/**
 * Looks over the shoulder of a test: captures the loopback traffic of some iSCSI portals from now
 * on and has tshark dissect all of it afterwards. A PDU that tshark calls malformed, bytes that it
 * cannot take for a PDU, a digest that is wrong or a packet that the capture lost are failures of
 * the test; so is a capture without any PDU. Where a run carries more than fits, the capture is of
 * the first part, which is said in the result.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { type Dissection, type DissectionFault, dissect } from './capture/dissection.ts'
import { type Dump, Dumpcap } from './capture/dumpcap.ts'
import { fileHeaderBytes } from './capture/pcap.ts'
import { rewriteStreams, type Streams } from './capture/streams.ts'

export interface CaptureOptions {
  /** What is kept of each call of `add`; what goes beyond is not looked at. */
  readonly limitMib?: number
}

export interface Captured extends Dissection {
  readonly packets: number
  readonly lostPackets: number
  /** True when the limit was reached: only the first part of the run was dissected. */
  readonly bounded: boolean
  /** Data-Out PDUs of legs that were dissected without their generation header. */
  readonly relievedDataOuts: number
}

export interface Expectations {
  /** The test itself sends PDUs that are wrong: only those of the targets have to be right. */
  readonly wrongRequests?: boolean
}

const defaultLimitMib = 48

export class Capture {
  readonly #limitMib: number
  readonly #ports: number[] = []
  readonly #dumpcaps: Dumpcap[] = []

  private constructor(limitMib: number) {
    this.#limitMib = limitMib
  }

  /** Resolves when the capture has begun; what was sent before is not in it. */
  static async start(portals: readonly string[], options: CaptureOptions = {}): Promise<Capture> {
    const capture = new Capture(options.limitMib ?? defaultLimitMib)
    if (portals.length > 0) await capture.add(portals)
    return capture
  }

  /** Captures these too from now on. */
  async add(portals: readonly string[]): Promise<void> {
    const ports = portals.map((portal) => Number(portal.slice(portal.lastIndexOf(':') + 1)))
    this.#dumpcaps.push(await Dumpcap.start(ports, this.#limitMib))
    this.#ports.push(...ports)
  }

  /** Ends the capture and dissects it; `asCaptured`: as the segments were, every header in place. */
  async finish(options: { readonly asCaptured?: boolean } = {}): Promise<Captured> {
    const directory = await mkdtemp(join(tmpdir(), 'palisade-dissection-'))
    try {
      const dumps = await Promise.all(this.#dumpcaps.map((dumpcap) => dumpcap.finish()))
      const { asCaptured = false } = options
      const isPortal = (port: number): boolean => this.#ports.includes(port)
      const streams = rewriteStreams(joined(dumps), { isPortal, asCaptured })
      const path = join(directory, 'packets')
      await writeFile(path, streams.file)
      const seen = await dissect(path, this.#ports)
      const { found, pdus, goodDigests, cutByAllocation } = seen
      const bounded = dumps.some((dump) => dump.bounded)
      // At the limit of a bounded capture, streams end where they happen to be.
      const wrong = [...streams.faults, ...(bounded ? [] : streams.holes)]
      const more = wrong.map((what) => ({ frame: 0, sender: 'initiator' as const, what }))
      const missed = asCaptured ? [] : missedPdus(streams, seen)
      return {
        ...{ found, pdus, goodDigests, cutByAllocation, bounded },
        faults: [...seen.faults, ...more, ...missed],
        packets: dumps.reduce((sum, dump) => sum + dump.packets, 0),
        lostPackets: dumps.reduce((sum, dump) => sum + dump.lostPackets, 0),
        relievedDataOuts: streams.relieved,
      }
    } finally {
      await this.discard()
      await rm(directory, { recursive: true, force: true })
    }
  }

  /** Ends the capture, and asserts that every PDU in it was dissected and found right. */
  async check(t: Test, expected: Expectations = {}): Promise<Captured> {
    const found = await this.finish()
    const { pdus, faults, bounded, packets, lostPackets } = found
    const wrong = faults.filter((fault) => !expected.wrongRequests || fault.sender === 'target')
    const count = [...pdus.values()].reduce((sum, each) => sum + each, 0)
    const kinds = [...pdus].map(([name, each]) => `${each} ${name}`).join(', ')
    const part = bounded ? ', the first part of the run' : ''
    t.comment(`${count} PDUs in ${packets} packets${part}: ${kinds}`)
    t.ok(count > 0, 'tshark finds PDUs')
    t.equal(lostPackets, 0, 'the capture lost no packet')
    t.same(wrong.slice(0, 10), [], 'tshark finds no malformed PDU')
    return found
  }

  /** Ends the capture without a look at it. */
  async discard(): Promise<void> {
    await Promise.all(this.#dumpcaps.map((dumpcap) => dumpcap.discard()))
  }
}

/** One file of them all; their connections have nothing to do with one another. */
function joined(dumps: readonly Dump[]): Buffer {
  const [first, ...others] = dumps.map(({ file }) => file)
  if (first === undefined) throw new Error('nothing was captured')
  return Buffer.concat([first, ...others.map((file) => file.subarray(fileHeaderBytes))])
}

/** A PDU that was handed over and not found is one too many. */
function missedPdus(streams: Streams, { found }: Dissection): DissectionFault[] {
  return (['initiator', 'target'] as const).flatMap((sender) => {
    const [written, seen] = [streams.pdus[sender], found[sender]]
    return written === seen ? [] : [{ frame: 0, sender, what: `${seen} of ${written} PDUs found` }]
  })
}
