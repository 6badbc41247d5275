/**
 * The conformance suite of libiscsi in full, over two portals: against a standalone target and
 * against a striped volume through the shim of a real cluster nothing fails and nothing is skipped.
 * What is said of the tool's own faults is shown to be true. The runs with CHAP, with SANITIZE (which
 * takes minutes) and against tgt belong to `make conformance`.
 */
import t, { type Test } from 'tap'
import { nodeClock } from '../../src/adapters/node-clock.ts'
import { NodeNetwork } from '../../src/adapters/node-network.ts'
import { openLeg } from '../../src/leg/open-leg.ts'
import { conduct } from '../conformance/conductor.ts'
import type { Disks, Subject } from '../conformance/disk.ts'
import { shimSubject, standaloneSubject } from '../conformance/palisade-subjects.ts'
import { runs } from '../conformance/runs.ts'
import { isToolFault } from '../conformance/tool-faults.ts'
import { Capture } from '../support/capture.ts'
import { accountFor, listSuites, parseSuite } from '../support/iscsi-test-cu.ts'
import { run as runProgram } from '../support/palisade-process.ts'
import { quietLog } from '../support/quiet-log.ts'
import { read10 } from '../support/raw-initiator.ts'

t.setTimeout(400_000)

const lanes = 2
/** Tests of the tool in all suites but those that need a disk of another kind or `-S`. */
const leastTests = 210
/** Suites that carry many megabytes of the same few commands: too much for a dissector. */
const bulk = /^(Read|Write|Verify|WriteVerify|WriteSame|Prefetch)(6|10|12|16)$/

const runOf = (name: string) => runs.find((run) => run.name === name)!

interface Part {
  readonly run: string
  /** Only the suites that carry much, or only the others; all without. */
  readonly bulk?: boolean
}

async function conductPart(t: Test, subject: Subject, part: Part): Promise<number> {
  const run = runOf(part.run)
  const all = [...(await listSuites()).keys()]
  const suites = all.filter((suite) => (part.bulk ?? bulk.test(suite)) === bulk.test(suite))
  const capture = part.bulk === false ? await Capture.start([]) : undefined
  t.teardown(() => capture?.discard())
  const { tests } = await conduct(subject, run, {
    lanes,
    suites: new Set(suites),
    listening: async (portals) => capture?.add(portals),
  })
  for (const test of tests) {
    if (test.outcome === 'passed' || isToolFault(test)) continue
    t.fail(`${run.name}: ${test.name} ${test.outcome}: ${test.reason}`, { text: test.text })
  }
  // The suite sends what no initiator should; what it is answered must be right.
  if (capture !== undefined) {
    await t.test('as tshark sees it', async (t) => {
      await capture.check(t, { wrongRequests: true })
    })
  }
  return tests.filter(({ outcome }) => outcome === 'passed').length
}

async function nothingFails(t: Test, subject: Subject): Promise<void> {
  const bulky = await conductPart(t, subject, { run: 'normal', bulk: true })
  const others = await conductPart(t, subject, { run: 'normal', bulk: false })
  t.ok(bulky + others >= leastTests, `normal LUN: ${bulky + others} tests passed`)
  for (const run of ['read-only', '4k']) {
    const passed = await conductPart(t, subject, { run })
    t.ok(passed > 0, `${runOf(run).title}: ${passed} tests passed`)
  }
}

t.test('a standalone target', (t) => nothingFails(t, standaloneSubject))

t.test('a striped volume through the shim', (t) => nothingFails(t, shimSubject))

t.test('faults of the tool', async (t) => {
  const disks = await standaloneSubject.start(runOf('normal'), 1)
  t.teardown(() => disks.stop())
  await t.test('UnmapUntilEnd sends FFh, and a target must keep it', (t) => unmapUntilEnd(t, disks))
  await t.test('LUNResetSimpleAsync passes the second time only', async (t) => {
    const told = await tell(
      disks,
      'ALL.iSCSITMF.LUNResetSimpleAsync,iSCSI.iSCSITMF.LUNResetSimpleAsync',
    )
    t.same(
      told.map(({ outcome }) => outcome),
      ['failed', 'passed'],
    )
    t.match(told[0]!.reason, /lu_reset_simple\.c:157 .*reconnect_succeeded/)
  })
})

async function tell(disks: Disks, selection: string) {
  const args = ['-d', '-V', '-t', selection, ...disks.paths[0]!]
  return parseSuite((await runProgram('iscsi-test-cu', args)).stdout)
}

async function unmapUntilEnd(t: Test, disks: Disks): Promise<void> {
  const [test] = await tell(disks, 'ALL.WriteSame10.UnmapUntilEnd')
  t.ok(test !== undefined && isToolFault(test), test?.reason ?? 'no verdict')
  const [, portal = '', iqn = ''] = /^iscsi:\/\/([^/]+)\/([^/]+)/.exec(disks.paths[0]![0]) ?? []
  const opening = await openLeg({
    network: new NodeNetwork(quietLog),
    clock: nodeClock,
    address: portal,
    targetName: iqn,
    initiatorName: 'iqn.2026-11.example:witness',
    isid: Buffer.from('400001370003', 'hex'),
  })
  if (opening.kind !== 'open') throw new Error(`no session: ${opening.cause}`)
  const { leg } = opening
  t.teardown(() => leg.close())
  const submit = async (cdb: Buffer, parts: { dataOut?: Buffer[]; dataInBytes?: number }) => {
    const answer = await leg.submit({ lun: 0, cdb, ...parts }).answer
    if (answer.kind !== 'status' || answer.status !== 0) throw new Error(JSON.stringify(answer))
    return Buffer.concat(answer.dataIn)
  }
  const end = 64 * 2048
  const block = await submit(read10(end - 1, 1), { dataInBytes: 512 })
  t.ok(
    block.every((byte) => byte === 0xff),
    'what it sent with UNMAP=1 was FFh: an unmapped block would read as zeros',
  )
  // WRITE SAME (10), UNMAP=1, zeros to the end: the same command as it should have been sent.
  const last = end - 128
  const writeSame = Buffer.from([0x41, 0x08, 0, 0, 0, 0, 0, 0, 0, 0])
  writeSame.writeUInt32BE(last, 2)
  await submit(writeSame, { dataOut: [Buffer.alloc(512)] })
  const getLbaStatus = Buffer.alloc(16)
  getLbaStatus.set([0x9e, 0x12])
  getLbaStatus.writeBigUInt64BE(BigInt(last), 2)
  getLbaStatus.writeUInt32BE(24, 10)
  const status = await submit(getLbaStatus, { dataInBytes: 24 })
  t.equal(status.readUInt32BE(16), 128, 'all 128 blocks')
  t.equal(status[20]! & 0xf, 1, 'are deallocated')
}

const said = `
Suite: Read10
  Test: Simple ...
    Send READ10
    [OK] READ10 returned SUCCESS
passed
  Test: Async ...passed
  Test: Flags ...
    [SKIPPED] READ10 is not implemented.
passed
  Test: BeyondEol ...
    [FAILED] wrong
FAILED
    1. test_read10.c:71  - CU_ASSERT_EQUAL(ret,0)    Send PRIN/READ_KEYS
    [SKIPPED] PERSISTENT RESERVE IN is not implemented.
`

t.test('what the tool says is read as it is', async (t) => {
  const tests = parseSuite(`${said}\nSuite: Write10\n  Test: Simple ...\n    Send WRITE10\n`)
  t.same(
    tests.map(({ name, outcome, reason }) => [name, outcome, reason]),
    [
      ['Read10.Simple', 'passed', ''],
      ['Read10.Async', 'passed', ''],
      ['Read10.Flags', 'skipped', 'READ10 is not implemented.'],
      ['Read10.BeyondEol', 'failed', 'test_read10.c:71 - CU_ASSERT_EQUAL(ret,0)'],
      ['Write10.Simple', 'failed', 'the tool ended before it came to a verdict'],
    ],
  )
  const skippedAfterwards = parseSuite(`
Suite: A
  Test: B ...
passed    Send PRIN
    [SKIPPED] PERSISTENT RESERVE IN is not implemented.
`)
  t.equal(skippedAfterwards[0]?.outcome, 'passed', 'what follows the verdict is not of the test')
  const missing = accountFor(['Read10.Simple', 'Read10.NeverRan'], tests, 'exit 139')
  t.same(
    missing.map(({ outcome }) => outcome),
    ['passed', 'failed'],
    'a test without a verdict has failed',
  )
  const suites = await listSuites()
  t.ok([...suites.values()].flat().length > 200, 'the tool lists its tests')
})
