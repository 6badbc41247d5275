/** Copies of a volume on the command line: made, shown, compared, repaired, away and back. */
import { mkdtemp, open, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { Cluster } from '../support/cluster.ts'
import { mainProgram, run } from '../support/palisade-process.ts'
import { qemuIo, readPattern, writePattern } from '../support/qemu-io.ts'

const mib = 1024 * 1024
const pageBytes = 64 * 1024
t.setTimeout(180_000)

interface Copy {
  readonly server: string
  readonly primary: boolean
  readonly state: string
  readonly behindBytes: number
}
interface Shown {
  readonly copies: number
  readonly segments: readonly unknown[]
  readonly replicas: readonly Copy[]
}
interface Verified {
  readonly equal: boolean
  readonly segments: readonly {
    readonly state: string
    readonly comparedBytes: number
    readonly differingPages: number
    readonly repairedPages: number
    readonly named: readonly { readonly server: string }[]
  }[]
}

await t.test('copies of a volume', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'palisade-copies-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  const args = ['--servers', '3', '--capacity', '256MiB', '--volume', 'db=16MiB,mirror=2']
  const cluster = await Cluster.start(args, directory)
  t.teardown(() => cluster.stop({ keep: true }))

  const verb = (args: readonly string[]) =>
    run(process.execPath, [mainProgram, ...args, '--manager', cluster.ready.manager, '--json'])
  const show = async () => (await cluster.verb(['volume', 'show', 'db'])) as Shown
  const verify = async (...more: string[]) => {
    const { code, stdout } = await verb(['volume', 'verify', 'db', ...more])
    return { code, ...(JSON.parse(stdout) as Verified) }
  }
  const untilCopies = async (hold: (copies: readonly Copy[]) => boolean, what: string) => {
    const deadline = performance.now() + 60_000
    for (;;) {
      const { replicas } = await show()
      if (hold(replicas)) return replicas
      if (performance.now() > deadline) throw new Error(`${what}: ${JSON.stringify(replicas)}`)
    }
  }

  const shown = await show()
  t.equal(shown.copies, 2)
  t.match(shown.replicas, [
    { primary: true, state: 'in-sync' },
    { primary: false, state: 'in-sync' },
  ])
  const secondary = shown.replicas[1]!.server
  await qemuIo(cluster.url('db'), [writePattern(0xa1, 0, 4 * mib), 'flush'])

  await t.test('are equal, and a difference is found and repaired', async (t) => {
    const clean = await verify()
    t.match(clean, { code: 0, equal: true, segments: [{ state: 'done', differingPages: 0 }] })
    t.equal(clean.segments[0]?.comparedBytes, 16 * mib, 'holes included')
    await damage(join(directory, secondary, 'pages'), 0xa1)
    const found = await verify()
    t.match(found, { code: 1, equal: false, segments: [{ differingPages: 1, repairedPages: 0 }] })
    t.strictSame(
      found.segments[0]?.named.map(({ server }) => server),
      [secondary],
    )
    const repaired = await verify('--repair')
    t.match(repaired, { code: 0, equal: true, segments: [{ repairedPages: 1 }] })
    t.match(await verify(), { code: 0, segments: [{ differingPages: 0 }] })
  })

  await t.test('one that is away is told of, and comes back by itself', async (t) => {
    const { pid } = cluster.member('server', secondary)
    process.kill(pid, 'SIGSTOP')
    t.teardown(() => process.kill(pid, 'SIGCONT'))
    await qemuIo(cluster.url('db'), [writePattern(0xb2, mib, mib), 'flush'])
    await untilCopies(
      (copies) => copies.some(({ state, behindBytes }) => state === 'gone' && behindBytes > 0),
      'it is not told of',
    )
    const status = await verb(['status'])
    t.equal(status.code, 1, 'somebody should look')
    t.match(status.stdout, /the copy on server-\d is gone/)
    process.kill(pid, 'SIGCONT')
    await untilCopies((copies) => copies.every(({ state }) => state === 'in-sync'), 'not back')
    t.equal((await verify()).code, 0, 'with all that it missed')
    await qemuIo(cluster.url('db'), [readPattern(0xb2, mib, mib), readPattern(0xa1, 0, mib)])
  })

  await t.test('grow, and how they are brought up is set', async (t) => {
    const grown = (await cluster.verb(['volume', 'grow', 'db', '--size', '32MiB'])) as Shown
    t.equal(grown.segments.length, 2)
    t.equal((await show()).replicas.length, 4)
    const there = [writePattern(0xc3, 20 * mib, mib), 'flush', readPattern(0xc3, 20 * mib, mib)]
    await qemuIo(cluster.url('db'), there)
    const { code, segments } = await verify()
    t.equal(code, 0)
    t.strictSame(
      segments.map(({ comparedBytes }) => comparedBytes),
      [16 * mib, 16 * mib],
    )
    const set = await cluster.verb(['recovery', '--limit', '10MiB/s', '--grace', '1h'])
    t.match(set, { limitBytesPerSecond: 10 * mib, graceSeconds: 3_600 })
    const lifted = await cluster.verb(['recovery', '--limit', 'none'])
    t.strictSame(lifted, { limitBytesPerSecond: null, graceSeconds: 3_600, replicas: [] })
  })

  await t.test('need domains', async (t) => {
    await cluster.verb(['server', 'set-domain', 'server-1', 'rack-1'])
    await cluster.verb(['server', 'set-domain', 'server-2', 'rack-1'])
    const create = ['volume', 'create', 'v', '--size', '1MiB', '--mirror']
    const three = await verb([...create, '3'])
    t.equal(three.code, 1)
    t.match(three.stderr, /3 copies need 3 failure domains, there are 2: .*rack-1 \(server-\d, /)
    const two = (await cluster.verb([...create, '2'])) as Shown & { warnings: string[] }
    t.equal(two.copies, 2)
    t.match(two.warnings.join(), /no automatic failover of v is certain/)
  })
})

/** Turns over a byte of one page that is all of this pattern. */
async function damage(file: string, pattern: number): Promise<void> {
  const contents = await readFile(file)
  const page = Buffer.alloc(pageBytes, pattern)
  for (let offset = 0; offset < contents.length; offset += pageBytes) {
    if (!contents.subarray(offset, offset + pageBytes).equals(page)) continue
    const handle = await open(file, 'r+')
    await handle.write(Buffer.from([pattern ^ 0xff]), 0, 1, offset + 4711)
    await handle.close()
    return
  }
  throw new Error(`no page of ${file} holds only the pattern`)
}
