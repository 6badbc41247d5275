/** Bad input, answered with what is wrong, where, and what to do. Each case is the real program. */
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { mainProgram, PalisadeProcess, run } from '../support/palisade-process.ts'

t.setTimeout(120_000)

interface Case {
  readonly args: readonly string[]
  readonly exit: number
  readonly says: RegExp
}

/** An own environment: no manager named outside the test. */
const { PALISADE_MANAGER: _, ...env } = process.env

async function palisade(args: readonly string[]): Promise<{ code: number; stderr: string }> {
  return await run(process.execPath, [mainProgram, ...args], { env, timeoutMs: 30_000 })
}

async function checkCases(t: Test, cases: readonly Case[]): Promise<void> {
  for (const { args, exit, says } of cases) {
    const { code, stderr } = await palisade(args)
    const name = args.join(' ')
    t.equal(code, exit, `${name}: exit status`)
    t.match(stderr, says, `${name}: message`)
    t.notMatch(stderr, /\n +at /, `${name}: no stack`)
  }
}

async function temporary(t: Test): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'palisade-cli-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  return directory
}

/** A listener on a port of the kernel's choice, until the test ends. */
async function busyPort(t: Test): Promise<string> {
  const server: Server = createServer((socket) => socket.destroy())
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no address')
  return `127.0.0.1:${address.port}`
}

const gateway = ['gateway', '--dir', 'nowhere', '--manager', '127.0.0.1:1'] as const

t.test('usage', async (t) => {
  await checkCases(t, [
    { args: ['frobnicate'], exit: 2, says: /error: / },
    { args: ['volume', 'frobnicate'], exit: 2, says: /unknown command 'frobnicate'/ },
    { args: ['up', '--frobnicate'], exit: 2, says: /unknown option '--frobnicate'/ },
    { args: ['volume', 'show'], exit: 2, says: /missing required argument/ },
    { args: ['volume', 'list'], exit: 2, says: /no manager: give --manager HOST:PORT, --dir DIR/ },
  ])
  const { code, stderr } = await palisade(['volume', 'create', 'v', '--size', '3', '--json'])
  t.equal(code, 2)
  const { error } = JSON.parse(stderr) as { error: { code: string; message: string } }
  t.equal(error.code, 'invalid', 'with --json the error is JSON too')
  t.match(error.message, /--size/)
})

t.test('sizes, names and numbers', async (t) => {
  const directory = join(await temporary(t), 'never-made')
  const up = ['up', '--dir', directory]
  const create = ['volume', 'create', 'v', '--manager', '127.0.0.1:1']
  const reserve = ['--portal', '127.0.0.1:0', '--reserve', '95']
  await checkCases(t, [
    { args: [...up, '--volume', 'v=1000'], exit: 2, says: /not a multiple of 512; .*1024/ },
    { args: [...up, '--volume', 'v=1PiB'], exit: 2, says: /"1PiB" is not a size: .*KiB.*kB/ },
    { args: [...up, '--volume', 'V_1=1MiB'], exit: 2, says: /name "V_1": 1 to 63 of a-z, 0-9/ },
    { args: [...up, '--volume', 'v=1MiB,stripe=1'], exit: 2, says: /stripe: "1" .* 2 to 64/ },
    { args: [...up, '--servers', '0'], exit: 2, says: /--servers: "0" .* 1 to 64/ },
    { args: [...up, '--portal', 'localhost'], exit: 2, says: /--portal: .* HOST:PORT/ },
    { args: [...up, '--capacity', '1MiB'], exit: 2, says: /--capacity: .* at least 64MiB/ },
    { args: [...create], exit: 2, says: /--size is missing/ },
    { args: [...create, '--size', '1.5'], exit: 2, says: /--size: "1.5"/ },
    { args: [...create, '--size', '1MiB', '--stripe', 'x'], exit: 2, says: /--stripe: "x"/ },
    { args: [...create, '--partition', 'a'], exit: 2, says: /"a" is not SERVER\[\+SERVER…\]=SIZE/ },
    { args: [...create, '--partition', 'a+=1MiB'], exit: 2, says: /"a\+=1MiB" is not SERVER/ },
    { args: [...create, '--size', '1MiB', '--mirror', '5'], exit: 2, says: /"5" .* 1 to 4/ },
    { args: [...up, '--volume', 'v=1MiB,mirror=0'], exit: 2, says: /mirror: "0" .* 1 to 4/ },
    {
      args: [...gateway, '--portal', '0.0.0.0:3260'],
      exit: 2,
      says: /tell where initiators reach it: 0.0.0.0:3260=ADDRESS:PORT/,
    },
    {
      args: [...gateway, '--portal', '127.0.0.1:0,group=4'],
      exit: 2,
      says: /a gateway is one portal group, see --group/,
    },
    {
      args: [...gateway, '--portal', '127.0.0.1:0', '--group', '1'],
      exit: 2,
      says: /--group: "1"/,
    },
    { args: ['recovery', '--limit', '5'], exit: 2, says: /--limit: "5" is too small: at least/ },
    { args: ['recovery', '--grace', '10m'], exit: 2, says: /"10m" .* with s, min, h or d/ },
    {
      args: ['manager', '--dir', directory, '--control', '127.0.0.1:0', ...reserve],
      exit: 2,
      says: /--reserve: "95" .* 0 to 90/,
    },
    { args: [...create, '--size', '1MiB', '--stale', 'x'], exit: 2, says: /--stale .* reject/ },
    { args: [...create, '--size', '1MiB', '--hold', '-1'], exit: 2, says: /--hold/ },
  ])
  await t.rejects(readdir(directory), { code: 'ENOENT' }, 'nothing was made')
})

t.test('a manager that is not there', async (t) => {
  const directory = await temporary(t)
  await checkCases(t, [
    {
      args: ['status', '--manager', '127.0.0.1:1'],
      exit: 3,
      says: /no answer from a manager at 127.0.0.1:1: is it running/,
    },
    { args: ['status', '--manager', 'nowhere'], exit: 2, says: /--manager: "nowhere" is not HOST/ },
    { args: ['status', '--dir', directory], exit: 4, says: /holds no cluster: start one/ },
  ])
})

t.test('ports in use', async (t) => {
  const directory = await temporary(t)
  const busy = await busyPort(t)
  const named = new RegExp(busy.replaceAll('.', '\\.'))
  await writeFile(join(directory, 'disk'), Buffer.alloc(1024 * 1024))
  const standalone = ['target', '--standalone', '--lun', join(directory, 'disk')]
  const manager = ['manager', '--dir', join(directory, 'manager'), '--portal', '127.0.0.1:0']
  const up = ['up', '--dir', join(directory, 'up')]
  await checkCases(t, [
    { args: [...up, '--portal', busy], exit: 5, says: named },
    { args: [...standalone, '--portal', busy], exit: 5, says: named },
    { args: [...manager, '--control', busy], exit: 5, says: named },
  ])
})

t.test('directories and files that are not ours', async (t) => {
  const directory = await temporary(t)
  const foreign = join(directory, 'foreign')
  const newer = join(directory, 'newer')
  const other = join(directory, 'other')
  for (const each of [foreign, newer, other]) await mkdir(each)
  await writeFile(join(foreign, 'letter.txt'), 'dear all')
  await writeFile(join(newer, 'VERSION'), 'palisade up 99\n')
  await writeFile(join(other, 'VERSION'), 'palisade manager 1\n')
  const file = join(foreign, 'letter.txt')
  const standalone = ['target', '--standalone', '--portal', '127.0.0.1:0']
  await checkCases(t, [
    { args: ['up', '--dir', foreign], exit: 1, says: /foreign is not empty and has no VERSION/ },
    {
      args: ['up', '--dir', newer],
      exit: 1,
      says: /holds "palisade up 99", .* needs "palisade up/,
    },
    { args: ['up', '--dir', other], exit: 1, says: /holds "palisade manager 1"/ },
    { args: [...standalone, '--lun', `${file},thin`], exit: 1, says: /is no page store/ },
    {
      args: [...standalone, '--lun', `${foreign}=1MiB,thin`],
      exit: 1,
      says: /foreign is not empty/,
    },
    { args: [...standalone, '--lun', join(directory, 'none')], exit: 4, says: /does not exist/ },
    { args: [...standalone, '--lun', `${file}=1000`], exit: 2, says: /not a multiple of 512/ },
  ])
  t.same(await readdir(foreign), ['letter.txt'], 'the foreign directory is untouched')
})

t.test('a page store that was damaged, and one that is in use', async (t) => {
  const lun = join(await temporary(t), 'lun')
  const args = ['target', '--standalone', '--portal', '127.0.0.1:0', '--json', '--lun']
  const target = new PalisadeProcess([...args, `${lun}=16MiB,thin`], { env })
  t.teardown(() => target.stop())
  await target.output(/"ready":true/)
  const second = await palisade([...args, `${lun},thin`])
  t.equal(second.code, 5)
  t.match(second.stderr, /is in use by a running palisade/)
  t.equal(await target.stop(), 0)
  await writeFile(join(lun, 'superblock'), 'not a superblock')
  const third = await palisade([...args, `${lun},thin`])
  t.equal(third.code, 1)
  t.match(third.stderr, /superblock|page store/)
})

t.test('configuration files', async (t) => {
  const directory = await temporary(t)
  const file = join(directory, 'palisade.toml')
  await writeFile(file, 'nmae = "a"\n')
  const missing = join(directory, 'missing.toml')
  await checkCases(t, [
    { args: ['target', '--config', file], exit: 2, says: /unknown key "nmae"; known: .*name/ },
    { args: ['manager', '--config', missing], exit: 2, says: /--config .*missing.toml/ },
    { args: ['manager'], exit: 2, says: /--dir DIR is missing/ },
  ])
})
