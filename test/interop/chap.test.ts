/**
 * Who may log in, as libiscsi sees it: CHAP one way and mutual with the users of a file, discovery
 * over two portal groups, a login that is sent elsewhere, and the same users at the front of a
 * cluster.
 */
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { PalisadeProcess, run } from '../support/palisade-process.ts'

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

async function usersFile(directory: string, text = users, mode = 0o600): Promise<string> {
  const file = join(directory, 'users.toml')
  await writeFile(file, text)
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

  t.test('no secret is ever said', async (t) => {
    t.match(program.stderr, /an unknown name or a wrong response/)
    t.notMatch(program.stdout + program.stderr, /secret of|array's own/)
  })
})

t.test('files that are not taken', async (t) => {
  const directory = await directoryFor(t)
  const user = '[[user]]\nname = "a"\nsecret = "twelve bytes"\n'
  const cases: [why: RegExp, text: string, mode?: number][] = [
    [/chmod 600/, users, 0o640],
    [/chmod 600/, users, 0o604],
    [/no \[\[user\]\]/, 'discovery = true'],
    [/too short, at least 12 bytes/, '[[user]]\nname = "a"\nsecret = "eleven byte"'],
    [/stands there twice/, user + user],
    [/unknown key "password"/, `${user}password = "x"`],
    [/unknown key "users"/, `users = 1\n${user}`],
    [/discovery: true or false/, `discovery = 1\n${user}`],
    [/also that of user "a"/, `${user}[mutual]\nname = "b"\nsecret = "twelve bytes"`],
    [/line 3/, '[[user]]\nname = "a"\nsecret = twelve bytes'],
  ]
  const base = ['target', '--standalone', '--portal', '127.0.0.1:0']
  const lun = ['--lun', `${join(directory, 'disk')}=8MiB`]
  for (const [why, text, mode] of cases) {
    const file = await usersFile(directory, text, mode)
    const program = new PalisadeProcess([...base, ...lun, '--chap', file])
    t.not(await program.exited, 0)
    t.match(program.stderr, why)
    t.notMatch(program.stderr, /twelve bytes|eleven byte|secret of|\n {4}at /)
  }
  const gone = new PalisadeProcess([...base, ...lun, '--chap', join(directory, 'none')])
  t.not(await gone.exited, 0)
  t.match(gone.stderr, /ENOENT/)
})

t.test('the front of a cluster', async (t) => {
  const directory = await directoryFor(t)
  const file = await usersFile(directory)
  const { ready } = await started(t, [
    ...['up', '--dir', join(directory, 'cluster'), '--servers', '1', '--capacity', '256MiB'],
    ...['--volume', 'disk=64MiB', '--chap', file],
  ])
  const [{ url }] = ready.volumes as [{ url: string }]
  const as = (user: string) => url.replace('iscsi://', `iscsi://${user}@`)
  t.match(await inquire(as('host%secret of host')), { code: 0 })
  t.match(await inquire(as('host%secret of host') + mutual("the array's own")), { code: 0 })
  for (const stranger of [url, as('host%secret of Host')]) {
    const { code, stdout, stderr } = await inquire(stranger)
    t.not(code, 0)
    t.match(stdout + stderr, refused)
  }
})
