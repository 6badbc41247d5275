/**
 * A machine boots from a volume and nothing else: qemu's BIOS loads the boot sector over iSCSI, its
 * loader the kernel, which finds its root file system, leaves a file there and turns the machine
 * off. The file is read back from the volume afterwards.
 */
import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { Capture } from '../support/capture.ts'
import { Cluster } from '../support/cluster.ts'
import {
  bootDiskMib,
  makeBootDisk,
  rootBytes,
  rootOffsetBytes,
} from '../support/guest/boot-disk.ts'
import { run } from '../support/palisade-process.ts'
import { qemuImg } from '../support/qemu-io.ts'

t.setTimeout(500_000)

const init = `#!/bin/sh
busybox=/bin/busybox
$busybox mount -t proc proc /proc
$busybox mount -o remount,rw /dev/vda2 /
# What was read from the disk, and what was written to it, in one line.
$busybox sha256sum < /question > /answer
$busybox uname -sr >> /answer
$busybox sync
$busybox mount -o remount,ro /dev/vda2 /
$busybox poweroff -f
`

t.test('qemu boots a Linux from a volume', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'palisade-boot-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  const cluster = await Cluster.start([
    ...['--servers', '3', '--capacity', '256MiB'],
    ...['--volume', `system=${bootDiskMib}MiB,stripe=3`],
  ])
  t.teardown(() => cluster.stop())

  const question = randomBytes(1024 * 1024)
  const disk = join(directory, 'disk')
  await writeFile(disk, makeBootDisk(directory, { init, files: { question } }))
  const url = cluster.url('system')
  await qemuImg(['convert', '-n', '-f', 'raw', '-O', 'raw', disk, url])
  const capture = await Capture.start([cluster.ready.portal])
  t.teardown(() => capture.discard())

  const console = join(directory, 'console')
  const machineParts = [
    ...['-machine', 'q35,accel=tcg', '-cpu', 'max', '-m', '256', '-nodefaults', '-no-user-config'],
    ...['-display', 'none', '-no-reboot', '-serial', `file:${console}`],
    ...['-drive', `file=${url},format=raw,if=virtio,cache=none`],
  ]
  const machine = await run('qemu-system-x86_64', machineParts, { timeoutMs: 400_000 })
  const said = await readFile(console, 'utf8')
  t.equal(machine.code, 0, 'the machine turns itself off')

  const root = join(directory, 'after')
  await qemuImg(['convert', '-f', 'raw', '-O', 'raw', url, join(directory, 'read')])
  const after = await readFile(join(directory, 'read'))
  await writeFile(root, after.subarray(rootOffsetBytes, rootOffsetBytes + rootBytes))
  const answer = (await run('/usr/sbin/debugfs', ['-R', 'cat /answer', root])).stdout
  const sum = createHash('sha256').update(question).digest('hex')
  t.match(answer, new RegExp(`^${sum} +-\\nLinux \\d`), 'the file that it wrote is there')
  const check = await run('/usr/sbin/e2fsck', ['-fn', root])
  t.equal(check.code, 0, 'its file system is clean')
  if (!t.passing()) t.comment(`${said}\n${check.stdout}\n${machine.stderr.slice(-2_000)}`)

  await capture.check(t)
  t.equal(await cluster.stop(), 0, 'the cluster stops in order')
})
