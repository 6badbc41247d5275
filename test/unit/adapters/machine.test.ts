/** The adapters without a suite of their own: clock, random, boot identity, lock, log. */

import { openSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { readBootId } from '../../../src/adapters/boot-id.ts'
import { lockDirectory } from '../../../src/adapters/instance-lock.ts'
import { nodeClock } from '../../../src/adapters/node-clock.ts'
import { nodeRandom } from '../../../src/adapters/node-random.ts'
import { pinoLog } from '../../../src/adapters/pino-log.ts'

const directory = await mkdtemp(join(tmpdir(), 'palisade-machine-'))
t.teardown(() => rm(directory, { recursive: true }))

t.test('clock', async (t) => {
  const uptimeMs = Number((await readFile('/proc/uptime', 'ascii')).split(' ')[0]) * 1000
  const bootMs = nodeClock.bootMs()
  t.ok(bootMs >= uptimeMs && bootMs < uptimeMs + 5_000, 'time since boot')
  const startedMs = nodeClock.nowMs()
  const cancel = nodeClock.after(1, () => t.fail('cancelled'))
  cancel()
  await new Promise<void>((resolve) => {
    const late = nodeClock.after(5, () => {
      late()
      resolve()
    })
  })
  t.ok(nodeClock.nowMs() - startedMs >= 4)
  t.ok(Math.abs(nodeClock.wallMs() - Date.now()) < 1_000)
  t.throws(() => nodeClock.after(2 ** 31, () => undefined), /a timer of/, 'Node would make it 1 ms')
})

t.test('random and boot identity', (t) => {
  t.equal(nodeRandom.bytes(16).length, 16)
  t.notSame(nodeRandom.bytes(16), nodeRandom.bytes(16))
  t.match(
    nodeRandom.uuid(),
    /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
  )
  const drawn = new Set(Array.from({ length: 200 }, () => nodeRandom.below(3)))
  t.same([...drawn].sort(), [0, 1, 2])
  t.ok(nodeRandom.below(2 ** 32) < 2 ** 32)
  t.equal(readBootId(), readBootId())
  t.match(readBootId(), /^[0-9a-f-]{36}$/)
  t.end()
})

t.test('one program per directory, and only in its own', async (t) => {
  const path = join(directory, 'deep/target')
  const format = { program: 'target', version: 1 }
  const lock = await lockDirectory(path, format)
  await t.rejects(lockDirectory(join(path, '../target'), format), {
    code: 'in-use',
    message: /target is in use by a running palisade: stop that one first/,
  })
  await lock.release()
  t.equal(await readFile(join(path, 'VERSION'), 'utf8'), 'palisade target 1\n')
  await writeFile(join(path, 'data'), 'x')
  const again = await lockDirectory(path, format)
  await again.release()
  for (const other of [
    { program: 'manager', version: 1 },
    { program: 'target', version: 2 },
  ]) {
    await t.rejects(lockDirectory(path, other), {
      code: 'wrong-version',
      message: /holds "palisade target 1", this program needs "palisade/,
    })
  }
  const third = await lockDirectory(path, format)
  await third.release()
  const foreign = join(directory, 'foreign')
  await mkdir(foreign)
  await writeFile(join(foreign, 'letter.txt'), 'dear')
  await t.rejects(lockDirectory(foreign, format), {
    code: 'not-a-store',
    message: /is not empty and has no VERSION file/,
  })
  t.equal(await readFile(join(foreign, 'letter.txt'), 'utf8'), 'dear')
  await writeFile(join(directory, 'file'), '')
  await t.rejects(lockDirectory(join(directory, 'file'), format), /file/)
})

t.test('log', async (t) => {
  const path = join(directory, 'log')
  const log = pinoLog({
    level: 'info',
    fields: { program: 'p' },
    fileDescriptor: openSync(path, 'w'),
  })
  log.debug('not shown')
  log.with({ volume: 'v' }).warn('event', { count: 2, error: new Error('why') })
  log.error('bare')
  const lines = (await readFile(path, 'utf8'))
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  t.match(lines, [
    { level: 'warn', program: 'p', volume: 'v', count: 2, msg: 'event', error: { message: 'why' } },
    { level: 'error', msg: 'bare' },
  ])
  t.equal(lines.length, 2)
})
