/**
 * A standalone target whose file system is really full: a tmpfs of a few MiB in a mount namespace of
 * its own, smaller than the thin disk on it. What has its place goes on, what needs one is refused
 * alone, and after a kill everything that was acknowledged is there.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { NodeNetwork } from '../../src/adapters/node-network.ts'
import { decodeSense } from '../../src/scsi/sense-format.ts'
import { mainProgram, PalisadeProcess } from '../support/palisade-process.ts'
import { quietLog } from '../support/quiet-log.ts'
import { RawInitiator, read10, write10 } from '../support/raw-initiator.ts'

const mib = 5
const pageBlocks = 128
const pages = 400
const blocks = 8

t.setTimeout(60_000)

const network = new NodeNetwork(quietLog)

function stamped(stamp: number): Buffer {
  const pattern = Buffer.alloc(8)
  pattern.writeUInt32BE(stamp)
  return Buffer.alloc(blocks * 512, pattern)
}

/** The namespace, and what is in it, lives as long as this process. */
async function mountedAt(directory: string): Promise<PalisadeProcess> {
  const size = `size=${mib}m`
  const script = `mount -t tmpfs -o ${size} none "$0" && mkdir "$0/disk" && echo mounted`
  const args = ['--map-root-user', '--mount', 'sh', '-c', `${script} && exec sleep infinity`]
  const holder = new PalisadeProcess([...args, directory], { program: 'unshare' })
  await holder.output(/^mounted$/m)
  return holder
}

interface Target {
  readonly process: PalisadeProcess
  readonly initiator: RawInitiator
}

async function startIn(holder: PalisadeProcess, directory: string): Promise<Target> {
  const enter = ['--target', String(holder.pid), '--user', '--mount', '--preserve-credentials']
  const lun = `${join(directory, 'disk')}=${(pages * pageBlocks) / 2048}MiB,thin`
  const target = ['target', '--standalone', '--json', '--portal', '127.0.0.1:0', '--lun', lun]
  const process_ = new PalisadeProcess([...enter, process.execPath, mainProgram, ...target], {
    program: 'nsenter',
  })
  const [line] = await process_.output(/^\{"ready":true.*\}$/m)
  const ready = JSON.parse(line) as { iqn: string; portals: string[] }
  const initiator = await RawInitiator.connect(network, ready.portals[0]!)
  const { status } = await initiator.login({ targetName: ready.iqn })
  if (status !== 0) throw new Error(`login status ${status}`)
  // The unit attention of a new session.
  await initiator.run({ cdb: Buffer.alloc(6) })
  return { process: process_, initiator }
}

/** `GOOD`, or key, code and qualifier. */
async function run(
  { initiator }: Target,
  command: Parameters<RawInitiator['run']>[0],
): Promise<string> {
  const { status, sense } = await initiator.run(command)
  if (status === 0) return 'GOOD'
  const { key, asc, ascq } = decodeSense(sense) ?? { key: 0, asc: 0, ascq: 0 }
  return [key, asc, ascq].map((code) => code.toString(16)).join('/')
}

function write(target: Target, page: number, stamp: number): Promise<string> {
  const data = stamped(stamp)
  const cdb = write10(page * pageBlocks, blocks)
  return run(target, { cdb, data, immediateBytes: data.length })
}

async function stampAt({ initiator }: Target, page: number): Promise<number> {
  const cdb = read10(page * pageBlocks, blocks)
  const { status, data } = await initiator.run({ cdb, readBytes: blocks * 512 })
  const stamp = data.readUInt32BE(0)
  return status === 0 && data.equals(stamped(stamp)) ? stamp : -1
}

function unmap(target: Target, page: number): Promise<string> {
  const list = Buffer.alloc(24)
  list.writeUInt16BE(22, 0)
  list.writeUInt16BE(16, 2)
  list.writeBigUInt64BE(BigInt(page * pageBlocks), 8)
  list.writeUInt32BE(pageBlocks, 16)
  const cdb = Buffer.from([0x42, 0, 0, 0, 0, 0, 0, 0, list.length, 0])
  return run(target, { cdb, data: list, immediateBytes: list.length })
}

const flush = (target: Target): Promise<string> => {
  return run(target, { cdb: Buffer.from([0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0]) })
}

t.test('a thin disk on a full file system', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'palisade-full-'))
  const holder = await mountedAt(directory)
  const targets: Target[] = []
  t.teardown(async () => {
    for (const { process, initiator } of targets) {
      initiator.close()
      process.kill()
      await process.exited
    }
    holder.kill()
    await holder.exited
    await rm(directory, { recursive: true, force: true })
  })
  const start = async (): Promise<Target> => {
    const target = await startIn(holder, directory)
    targets.push(target)
    return target
  }
  const noRoom = '7/27/7'
  const first = await start()
  const expected = new Map<number, number>()
  let full = 0
  for (; full < pages; full++) {
    const said = await write(first, full, full + 1)
    if (said !== 'GOOD') {
      t.equal(said, noRoom, `page ${full} finds no room`)
      break
    }
    expected.set(full, full + 1)
  }
  t.ok(full > 40 && full < 80, `${full} pages on ${mib} MiB`)
  t.equal(await stampAt(first, full), 0, 'of what was refused nothing is there')
  t.equal(await write(first, 3, 1_003), 'GOOD', 'a page that has its place')
  t.equal(await flush(first), 'GOOD')
  for (const page of [5, 6]) t.equal(await unmap(first, page), 'GOOD')
  t.equal(await flush(first), 'GOOD')
  for (const page of [200, 201]) t.equal(await write(first, page, page), 'GOOD', 'in its place')
  t.equal(await write(first, 202, 202), noRoom)
  t.equal(await write(first, 7, 1_007), 'GOOD', 'not flushed')
  for (const [page, stamp] of [
    [3, 1_003],
    [5, 0],
    [6, 0],
    [200, 200],
    [201, 201],
    [202, 0],
    [7, 1_007],
  ]) {
    expected.set(page!, stamp!)
  }
  const read = async (target: Target): Promise<string[]> => {
    const wrong: string[] = []
    for (const [page, stamp] of expected) {
      const found = await stampAt(target, page)
      if (found !== stamp) wrong.push(`page ${page} is ${found}, not ${stamp}`)
    }
    return wrong
  }
  t.same(await read(first), [])
  first.process.kill()
  await first.process.exited
  const second = await start()
  t.same(await read(second), [], 'after a kill')
  t.equal(await write(second, 300, 300), noRoom)
  t.equal(await unmap(second, 7), 'GOOD')
  t.equal(await flush(second), 'GOOD')
  t.equal(await write(second, 300, 300), 'GOOD')
  expected.set(7, 0).set(300, 300)
  t.equal(await second.process.stop(), 0, 'it ends in order')
  const third = await start()
  t.same(await read(third), [], 'after its end')
  for (const { process } of targets) t.notMatch(process.stderr, /page store stopped/)
})

/** Its own process, because an unhandled rejection must end it. */
const commits = (lmdb: string, directory: string): string => `
  import { appendFileSync, unlinkSync } from 'node:fs'
  const { openLmdb } = await import(${JSON.stringify(lmdb)})
  const store = await openLmdb(${JSON.stringify(join(directory, 'store.lmdb'))})
  const put = (count, byte) => store.transact({
    put: Array.from({ length: count }, (_, i) => ({ key: 'k' + i, value: Buffer.alloc(4096, byte) }))
  })
  await put(1, 1)
  const filler = ${JSON.stringify(join(directory, 'filler'))}
  try { for (;;) appendFileSync(filler, Buffer.alloc(4096)) } catch {}
  const refused = await put(200, 2).catch((error) => error.code)
  await new Promise((resolve) => setTimeout(resolve, 50))
  const kept = (await store.range('k')).map(({ value }) => value[0])
  unlinkSync(filler)
  await put(200, 3)
  const grown = (await store.range('k')).length
  console.log(JSON.stringify({ refused, kept, grown }))
  await store.close()
`

t.test('a commit without room is refused, and the program goes on', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'palisade-full-'))
  const holder = await mountedAt(directory)
  const lmdb = fileURLToPath(new URL('../../src/adapters/lmdb-key-value.js', import.meta.url))
  const enter = ['--target', String(holder.pid), '--user', '--mount', '--preserve-credentials']
  const program = ['--input-type=module', '-e', commits(lmdb, directory)]
  const process_ = new PalisadeProcess([...enter, process.execPath, ...program], {
    program: 'nsenter',
  })
  t.teardown(async () => {
    process_.kill()
    holder.kill()
    await Promise.all([process_.exited, holder.exited])
    await rm(directory, { recursive: true, force: true })
  })
  const [line] = await process_.output(/^\{.*\}$/m)
  t.same(JSON.parse(line), { refused: 'no-space', kept: [1], grown: 200 })
  t.equal(await process_.exited, 0)
})
