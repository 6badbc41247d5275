/** `--chap FILE`, `--portal` and `--redirect`: what they mean, and what is not taken. */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { loginPolicy } from '../../../src/cli/chap-file.ts'
import { parsePortalOption } from '../../../src/cli/portal-option.ts'
import { parseRedirectOption } from '../../../src/cli/redirect-option.ts'
import { plainLoginPolicy } from '../../../src/iscsi/login-policy.ts'

const directory = mkdtempSync(join(tmpdir(), 'palisade-chap-file-'))
t.teardown(() => rmSync(directory, { recursive: true }))
const file = join(directory, 'users.toml')

function write(text: string, mode = 0o600): string {
  writeFileSync(file, text)
  chmodSync(file, mode)
  return file
}

const user = '[[user]]\nname = "a"\nsecret = "twelve bytes"\n'

t.test('users, and the target itself', async (t) => {
  t.equal(await loginPolicy(undefined), plainLoginPolicy)
  const other = '[[user]]\nname = "0x41"\nsecret = "ä secret of ä"\ninitiator = "iqn.2026-11.x:y"\n'
  const mutual = '[mutual]\nname = "array"\nsecret = "another twelve bytes"\n'
  const { chap } = await loginPolicy(write(user + other + mutual))
  t.same(chap?.users, [
    { name: 'a', secret: Buffer.from('twelve bytes') },
    { name: '0x41', secret: Buffer.from('ä secret of ä'), initiator: 'iqn.2026-11.x:y' },
  ])
  t.same(chap?.mutual, { name: 'array', secret: Buffer.from('another twelve bytes') })
  t.equal(chap?.discovery, true)
  const open = await loginPolicy(write(`discovery = false\n${user}`))
  t.match(open.chap, { discovery: false, mutual: undefined })
})

t.test('files that are not taken', async (t) => {
  const cases: [why: RegExp, text: string, mode?: number][] = [
    [/chmod 600/, user, 0o640],
    [/chmod 600/, user, 0o604],
    [/no \[\[user\]\]/, 'discovery = true'],
    [/no \[\[user\]\]/, 'user = []'],
    [/user 1 is no table/, 'user = ["a"]'],
    [/user 1: name: a text/, '[[user]]\nname = ""\nsecret = "twelve bytes"'],
    [/user 1: name: a text/, '[[user]]\nname = "a\\u0000"\nsecret = "twelve bytes"'],
    [/user 1: secret: a text/, '[[user]]\nname = "a"'],
    [/user 1: the secret is too short/, '[[user]]\nname = "a"\nsecret = "eleven byte"'],
    [/"a" stands there twice/, user + user],
    [/unknown key "password"/, `${user}password = "x"`],
    [/unknown key "users"/, `users = 1\n${user}`],
    [/discovery: true or false/, `discovery = 1\n${user}`],
    [/also that of user "a"/, `${user}[mutual]\nname = "b"\nsecret = "twelve bytes"`],
    [/line 3/, '[[user]]\nname = "a"\nsecret = twelve bytes'],
    [/larger than 1 MiB/, `# ${'x'.repeat(1024 * 1024)}`],
  ]
  for (const [message, text, mode] of cases) {
    await t.rejects(loginPolicy(write(text, mode)), { code: 'invalid', message })
    const why = await loginPolicy(file).then(String, String)
    t.notMatch(why, /twelve bytes|eleven byte/, 'no secret in the error')
  }
  await t.rejects(loginPolicy(join(directory, 'none')), { code: 'invalid', message: /ENOENT/ })
})

t.test('where a portal listens, and where it is found', async (t) => {
  t.same(parsePortalOption('127.0.0.1:3260'), { listen: '127.0.0.1:3260', place: {} })
  t.same(parsePortalOption('0.0.0.0:3260=10.0.0.1:860,group=7'), {
    listen: '0.0.0.0:3260',
    place: { advertised: '10.0.0.1:860', portalGroupTag: 7 },
  })
  for (const bad of [
    '',
    'a',
    'a:1=',
    'a:1=b:2=c:3',
    'a:1,group=',
    'a:1,group=65536',
    'a:1,x=1',
    'a:1,group=1,group=2',
  ]) {
    t.throws(() => parsePortalOption(bad), { code: 'invalid' }, bad)
  }
})

t.test('where a target is served', async (t) => {
  const targetName = 'iqn.2026-11.x:y=z'
  const address = '[::1]:3260'
  t.same(parseRedirectOption(`${targetName}=${address}`), {
    targetName,
    address,
    permanently: false,
  })
  t.match(parseRedirectOption(`${targetName}=${address},permanent`), { permanently: true })
  for (const bad of ['', '=a:1', 'iqn.x', 'iqn.x=', 'iqn.x=a', 'iqn.x=a:1,forever']) {
    t.throws(() => parseRedirectOption(bad), { code: 'invalid' }, bad)
  }
})
