/**
 * What stock initiators must find at a disk of ours, whatever serves it: discovery, identity,
 * capacity, pattern writes across its inner boundaries, and some suites of iscsi-test-cu (all of them
 * are run by the conformance test). The same for a standalone target and for a volume through the
 * shim. It overwrites the disk.
 */
import type { Test } from 'tap'
import { listSuites, runSuite } from './iscsi-test-cu.ts'
import { iscsiInq, iscsiLs, iscsiReadCapacity16 } from './libiscsi.ts'
import { qemuIo, readPattern, writePattern } from './qemu-io.ts'

export interface SuiteDisk {
  readonly name: string
  readonly url: string
  readonly bytes: number
  readonly thin: boolean
  /** Ascending byte offsets at which other servers, pages or replicas begin. */
  readonly boundaries: readonly number[]
}

const KIB = 1024
const MIB = 1024 * KIB

const suites = [
  'Inquiry',
  'ReadCapacity10',
  'ReadCapacity16',
  'Read10',
  'Read16',
  'Write10',
  'Write16',
  'TestUnitReady',
  'iSCSIcmdsn',
  'iSCSIdatasn',
  'iSCSIResiduals',
] as const

async function discoverySuite(t: Test, disk: SuiteDisk): Promise<void> {
  const [, portal = '', iqn = '', lun = ''] = /^iscsi:\/\/([^/]+)\/([^/]+)\/(\d+)$/.exec(disk.url)!
  const listed = await iscsiLs(portal)
  const [, own = ''] = listed.split(`Target:${iqn} `)
  t.match(own, `Portal:${portal},1`, 'its target and portal')
  t.match(own, new RegExp(`^Lun:${lun} .*DIRECT_ACCESS`, 'm'), 'its LUN')
  t.match(await iscsiInq(disk.url), /Vendor:PALISADE/)
  t.match(await iscsiInq(disk.url, 0x83), /Designator/i)
  t.match(await iscsiReadCapacity16(disk.url), `Total size:${disk.bytes}`)
}

interface Range {
  readonly pattern: number
  readonly from: number
  readonly to: number
}

/**
 * One write over all boundaries that is aligned to nothing, then one across each, long enough to be
 * aligned to nothing either and too short to meet its neighbours. A second process reads them and
 * what was left between them.
 */
async function patternSuite(_t: Test, { url, bytes, boundaries }: SuiteDisk): Promise<void> {
  const last = boundaries.at(-1)!
  const whole: Range = {
    pattern: 0xfe,
    from: Math.max(0, boundaries[0]! - 12_345),
    to: Math.min(bytes, last + 54_321),
  }
  const crossing = boundaries.map((at, i): Range => {
    const [before, after] = [
      [700, 900],
      [512, 512],
      [1, 4_097],
      [8_192, 100],
    ][i % 4]!
    return { pattern: 1 + (i % 0xf0), from: at - before!, to: at + after! }
  })
  const ends: Range[] = [
    { pattern: 0xf1, from: 0, to: 512 },
    { pattern: 0xf2, from: bytes - 512, to: bytes },
  ]
  const writes = [whole, ...crossing, ...ends]
  await qemuIo(url, [...writes.map((range) => command(writePattern, range)), 'flush'])
  const gaps = crossing.slice(1).map((range, i): Range => {
    return { pattern: whole.pattern, from: crossing[i]!.to, to: range.from }
  })
  const after: Range = { pattern: whole.pattern, from: crossing.at(-1)!.to, to: whole.to - 512 }
  const expected = [...crossing, ...gaps, ...ends, ...(after.from < after.to ? [after] : [])]
  await qemuIo(
    url,
    expected.map((range) => command(readPattern, range)),
  )
}

function command(make: typeof writePattern, { pattern, from, to }: Range): string {
  return make(pattern, from, to - from)
}

/** Large requests, and what a second process reads where nobody wrote. For a fresh disk. */
async function largeSuite(_t: Test, { url, bytes }: SuiteDisk): Promise<void> {
  const middle = Math.floor(bytes / 2)
  const length = Math.min(9 * MIB, middle - MIB) - 1_536
  const from = MIB + 512
  await qemuIo(url, [readPattern(0, 0, bytes)])
  await qemuIo(url, [writePattern(0x5c, from, length), readPattern(0x5c, from, length)])
  await qemuIo(url, [
    readPattern(0x5c, from, length),
    readPattern(0, from + length, bytes - from - length),
  ])
}

async function conformanceSuite(t: Test, { url, thin }: SuiteDisk): Promise<void> {
  const catalogue = await listSuites()
  for (const suite of suites) {
    for (const test of await runSuite(suite, catalogue.get(suite) ?? [], [url])) {
      // What the tool wants to see of thin provisioning is not there on a plain file.
      const nothingToSee = !thin && /fully provisioned/.test(test.reason)
      const wanted = nothingToSee ? 'skipped' : 'passed'
      t.equal(test.outcome, wanted, test.name, { reason: test.reason, text: test.text })
    }
  }
}

/** The whole of it, in subtests named after the disk. */
export async function initiatorSuite(t: Test, disk: SuiteDisk): Promise<void> {
  const { name } = disk
  await t.test(`${name}: discovery, identity, capacity`, (t) => discoverySuite(t, disk))
  await t.test(`${name}: large requests on a fresh disk`, (t) => largeSuite(t, disk))
  await t.test(`${name}: patterns across boundaries`, (t) => patternSuite(t, disk))
  await t.test(`${name}: iscsi-test-cu`, (t) => conformanceSuite(t, disk))
}
