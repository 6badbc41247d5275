/**
 * Who may log in, as libiscsi sees it: CHAP one way and mutual with the users of a file, discovery
 * over two portal groups, a login that is sent elsewhere, and the same users at the front of a
 * cluster.
 */
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { freeAddresses } from '../../src/cli/up/free-address.ts'
import { Capture } from '../support/capture.ts'
import { mainProgram, PalisadeProcess, run } from '../support/palisade-process.ts'

const iqn = 'iqn.2026-11.io.palisade:standalone'
const moved = 'iqn.2026-11.io.palisade:moved'
const users = `
[[user]]
name = "0xabc"
secret = "a secret of 0x"
[[user]]
name = "0bcd"
secret = "a secret of 0b"
[[user]]
name = "host"
secret = "secret of host"
[mutual]
name = "array"
secret = "the array's own"
`
const mutual = (password: string) => `?target_user=array&target_password=${password}`

t.setTimeout(120_000)

async function directoryFor(t: Test): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'palisade-chap-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  return directory
}

async function usersFile(directory: string, mode = 0o600): Promise<string> {
  const file = join(directory, 'users.toml')
  await writeFile(file, users)
  await chmod(file, mode)
  return file
}

async function started(t: Test, args: readonly string[]) {
  const program = new PalisadeProcess([...args, '--json'])
  t.teardown(() => program.stop())
  const [line] = await program.output(/^\{"ready":true.*\}$/m, 60_000)
  return { program, ready: JSON.parse(line) }
}

const inquire = (url: string) => run('iscsi-inq', [url], { timeoutMs: 30_000 })
const palisade = (args: readonly string[]) => run(process.execPath, [mainProgram, ...args])
const refused = /Authentication failure/

t.test('a standalone target', async (t) => {
  const directory = await directoryFor(t)
  const elsewhere = await started(t, [
    ...['target', '--standalone', '--portal', '127.0.0.1:0', '--iqn', moved],
    ...['--lun', `${join(directory, 'other')}=8MiB`],
  ])
  const there = elsewhere.ready.portals[0] as string
  const { program, ready } = await started(t, [
    ...['target', '--standalone', '--portal', '127.0.0.1:0', '--portal', '127.0.0.1:0,group=7'],
    ...['--lun', `${join(directory, 'disk')}=8MiB`, '--chap', await usersFile(directory)],
    ...['--redirect', `${moved}=${there}`],
  ])
  const [one, two] = ready.portals as [string, string]
  const capture = await Capture.start([one, two, there])
  t.teardown(() => capture.discard())

  t.test('the users of the file, and nobody else', async (t) => {
    for (const user of ['0xabc%a secret of 0x', '0bcd%a secret of 0b', 'host%secret of host']) {
      for (const portal of [one, two]) {
        const { code, stdout } = await inquire(`iscsi://${user}@${portal}/${iqn}/0`)
        t.equal(code, 0, user)
        t.match(stdout, /DIRECT_ACCESS/)
      }
    }
    for (const user of [
      'host%secret of Host@',
      '0xABC%a secret of 0x@',
      'nobody%secret of host@',
      '',
    ]) {
      const { code, stdout, stderr } = await inquire(`iscsi://${user}${one}/${iqn}/0`)
      t.not(code, 0, user)
      t.match(stdout + stderr, refused)
    }
  })

  t.test('the target proves itself to who asks for it', async (t) => {
    const url = `iscsi://host%secret of host@${one}/${iqn}/0`
    t.match(await inquire(url + mutual("the array's own")), { code: 0 })
    const { code, stderr } = await inquire(url + mutual("not the array's"))
    t.not(code, 0)
    t.match(stderr, /Invalid CHAP_R response from the target/)
  })

  t.test('discovery, of both portals with their groups', async (t) => {
    const found = await run('iscsi-ls', [`iscsi://host%secret of host@${one}`])
    t.equal(found.code, 0)
    t.match(found.stdout, `Target:${iqn} Portal:${one},1\n`)
    t.match(found.stdout, `Target:${iqn} Portal:${two},7\n`)
    const stranger = await run('iscsi-ls', [`iscsi://${one}`])
    t.not(stranger.code, 0)
    t.match(stranger.stdout + stranger.stderr, refused)
  })

  t.test('a target that is served elsewhere', async (t) => {
    // libiscsi goes there without asking anew; that one wants no user.
    const { code, stdout } = await inquire(`iscsi://host%secret of host@${one}/${moved}/0`)
    t.equal(code, 0)
    t.match(stdout, /DIRECT_ACCESS/)
    await elsewhere.program.stop()
    t.match(elsewhere.program.stderr, new RegExp(`"targetName":"${moved}".*session opened`))
  })

  t.test('as tshark sees it', async (t) => {
    await capture.check(t)
  })

  t.test('no secret is ever said', async (t) => {
    t.match(program.stderr, /an unknown name or a wrong response/)
    t.notMatch(program.stdout + program.stderr, /secret of|array's own/)
  })
})

t.test('a file that others can read', async (t) => {
  const directory = await directoryFor(t)
  const program = new PalisadeProcess([
    ...['target', '--standalone', '--portal', '127.0.0.1:0'],
    ...['--lun', `${join(directory, 'disk')}=8MiB`],
    ...['--chap', await usersFile(directory, 0o640)],
  ])
  t.not(await program.exited, 0)
  t.match(program.stderr, /users.toml: others can read the secrets in it: chmod 600/)
  t.notMatch(program.stderr, /secret of|\n {4}at /)
})

t.test('the front of a cluster', async (t) => {
  const directory = await directoryFor(t)
  const file = await usersFile(directory)
  const cluster = join(directory, 'cluster')
  const second = await freeAddresses([])()
  const { ready } = await started(t, [
    ...['up', '--dir', cluster, '--servers', '1', '--capacity', '256MiB'],
    ...['--volume', 'disk=64MiB', '--chap', file],
    ...['--portal', '127.0.0.1:0', '--portal', second],
  ])
  const [{ url }] = ready.volumes as [{ url: string }]
  const as = (user: string) => url.replace('iscsi://', `iscsi://${user}@`)
  t.match(await inquire(as('host%secret of host')), { code: 0 })
  t.match(await inquire(as('host%secret of host') + mutual("the array's own")), { code: 0 })
  t.test('who is there, in the status', async (t) => {
    const perf = ['-m', '1', '-b', '8', '-r', '-t', '600', as('host%secret of host')]
    const load = new PalisadeProcess(perf, { program: 'iscsi-perf' })
    t.teardown(() => load.kill())
    const deadline = Date.now() + 20_000
    for (;;) {
      const { stdout } = await palisade(['status', '--dir', cluster, '--json'])
      const [initiator] = JSON.parse(stdout).initiators
      if (initiator === undefined && Date.now() < deadline) continue
      t.match(initiator, { volume: 'disk', profile: 'libiscsi', chapUser: 'host' })
      t.match(initiator, { addresses: [/^127.0.0.1:/], headerDigest: false, portalGroupTag: 1 })
      break
    }
    const { stdout } = await palisade(['status', '--dir', cluster])
    t.match(stdout, /iqn\.2010-11\.libiscsi:iscsi-perf +disk +libiscsi +127.* none +host\n/)
  })
  t.test('two portals', async (t) => {
    const found = await run('iscsi-ls', [`iscsi://host%secret of host@${second}`])
    t.match(found.stdout, `Portal:${second},1\n`)
    t.match(found.stdout, `Portal:${ready.portal},1\n`)
    t.match(await inquire(as('host%secret of host').replace(ready.portal, second)), { code: 0 })
  })
  for (const stranger of [url, as('host%secret of Host')]) {
    const { code, stdout, stderr } = await inquire(stranger)
    t.not(code, 0)
    t.match(stdout + stderr, refused)
  }
})
