/**
 * Stock clients against a standalone target, on a raw file and on a page store: discovery,
 * inquiry, capacity, pattern writes, and the conformance families of iscsi-test-cu.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { Capture } from '../support/capture.ts'
import { initiatorSuite } from '../support/initiator-suite.ts'
import { PalisadeProcess } from '../support/palisade-process.ts'
import { qemuIo, readPattern, writePattern } from '../support/qemu-io.ts'

const MIB = 1024 * 1024
const lunBytes = 64 * MIB
const iqn = 'iqn.2026-11.io.palisade:standalone'

interface Started {
  readonly target: PalisadeProcess
  readonly portal: string
}

async function start(args: readonly string[]): Promise<Started> {
  const target = new PalisadeProcess(['target', '--standalone', '--json', ...args])
  const line = await target.output(/^\{"ready":true.*\}$/m)
  const ready = JSON.parse(line[0]) as { portals: string[] }
  return { target, portal: ready.portals[0]! }
}

t.setTimeout(180_000)

t.test('a standalone target', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'palisade-standalone-'))
  const luns = [
    '--lun',
    `${join(directory, 'raw.img')}=64MiB`,
    '--lun',
    `${join(directory, 'thin')}=64MiB,thin`,
  ]
  const first = await start(['--portal', '127.0.0.1:0', ...luns])
  t.teardown(async () => {
    first.target.kill()
    await rm(directory, { recursive: true, force: true })
  })
  const url = (lun: number): string => `iscsi://${first.portal}/${iqn}/${lun}`
  const capture = await Capture.start([first.portal])
  t.teardown(() => capture.discard())

  const boundaries = Array.from({ length: 64 }, (_, i) => (i + 1) * 64 * 1024)
  for (const [lun, kind] of ['raw', 'thin'].entries()) {
    await initiatorSuite(t, {
      name: kind,
      thin: kind === 'thin',
      url: url(lun),
      bytes: lunBytes,
      boundaries,
    })
  }

  // The suite has tests that send what no initiator should.
  t.test('as tshark sees it', async (t) => {
    await capture.check(t, { wrongRequests: true })
  })

  t.test('a restart keeps the data', async (t) => {
    await qemuIo(url(0), [writePattern(0x5a, 7 * MIB, 4096)])
    await qemuIo(url(1), [writePattern(0x5b, 7 * MIB, 4096)])
    t.equal(await first.target.stop(), 0, 'SIGTERM ends it well')
    const again = await start(['--portal', '127.0.0.1:0', ...luns])
    t.teardown(() => again.target.kill())
    await qemuIo(`iscsi://${again.portal}/${iqn}/0`, [readPattern(0x5a, 7 * MIB, 4096)])
    await qemuIo(`iscsi://${again.portal}/${iqn}/1`, [readPattern(0x5b, 7 * MIB, 4096)])
    t.equal(await again.target.stop(), 0)
  })
})

t.test('clear errors', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'palisade-standalone-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  const raw = `${join(directory, 'raw.img')}=1MiB`
  const busy = await start(['--portal', '127.0.0.1:0', '--lun', raw])
  t.teardown(() => busy.target.kill())
  const cases: readonly (readonly [why: string, args: readonly string[], message: RegExp])[] = [
    ['no LUN', ['--portal', '127.0.0.1:0'], /--lun FILE is required/],
    ['no portal', ['--lun', raw], /--portal HOST:PORT is required/],
    ['a port in use', ['--portal', busy.portal, '--lun', raw], /in use/],
    ['no such file', ['--portal', '127.0.0.1:0', '--lun', join(directory, 'no')], /does not exist/],
    ['a bad size', ['--portal', '127.0.0.1:0', '--lun', `${directory}/x=1000`], /multiple of 512/],
    ['no iSCSI name', ['--portal', '127.0.0.1:0', '--lun', raw, '--iqn', 'disk'], /--iqn/],
    [
      'a file that is no page store',
      ['--portal', '127.0.0.1:0', '--lun', `${join(directory, 'raw.img')},thin`],
      /no page store/,
    ],
  ]
  for (const [why, args, message] of cases) {
    const program = new PalisadeProcess(['target', '--standalone', ...args])
    t.not(await program.exited, 0, `${why}: fails`)
    t.match(program.stderr, message, why)
    t.notMatch(program.stderr, /\n {4}at /, `${why}: no stack`)
  }
})
