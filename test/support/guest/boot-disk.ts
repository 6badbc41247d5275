/**
 * A disk that a PC boots from by itself: a partition table with boot code, a FAT partition with
 * syslinux, the installed kernel and a small initramfs, and an ext4 root partition. Made by
 * programs of Debian, in a directory of its own; nothing is mounted.
 *
 *     0        1 MiB                        33 MiB          49 MiB
 *     | MBR    | FAT: loader, kernel        | ext4: root    |
 */
import { execFileSync } from 'node:child_process'
import { copyFileSync, cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { CpioArchive } from './cpio-archive.ts'
import { addModules, guestKernel } from './initramfs.ts'

const MIB = 1024 * 1024
const sectorBytes = 512
const bootMib = 32
const rootMib = 16
const bootCodeBytes = 440
const fatType = 0x0e
const linuxType = 0x83

export const bootDiskMib = 1 + bootMib + rootMib
/** Where the root file system begins. */
export const rootOffsetBytes = (1 + bootMib) * MIB
export const rootBytes = rootMib * MIB

export interface BootDiskOptions {
  /** Run as the init of the root file system; ends with powering the machine off. */
  readonly init: string
  /** Files of the root file system, by path. */
  readonly files: Readonly<Record<string, Buffer>>
}

/** The bytes of the disk; `directory` is for what is made on the way. */
export function makeBootDisk(directory: string, options: BootDiskOptions): Buffer {
  const disk = Buffer.alloc(bootDiskMib * MIB)
  readFileSync('/usr/lib/syslinux/mbr/mbr.bin').copy(disk, 0, 0, bootCodeBytes)
  partitionEntry(disk, 0, { active: true, type: fatType, startMib: 1, mib: bootMib })
  partitionEntry(disk, 1, { active: false, type: linuxType, startMib: 1 + bootMib, mib: rootMib })
  disk.writeUInt16LE(0xaa55, 510)
  readFileSync(makeBootPartition(directory)).copy(disk, MIB)
  readFileSync(makeRoot(directory, options)).copy(disk, rootOffsetBytes)
  return disk
}

interface Partition {
  readonly active: boolean
  readonly type: number
  readonly startMib: number
  readonly mib: number
}

/** Cylinders and heads are given as beyond reach: the boot code then counts in sectors. */
function partitionEntry(disk: Buffer, index: number, partition: Partition): void {
  const at = 446 + index * 16
  const beyond = Buffer.from([0xfe, 0xff, 0xff])
  disk[at] = partition.active ? 0x80 : 0
  beyond.copy(disk, at + 1)
  disk[at + 4] = partition.type
  beyond.copy(disk, at + 5)
  disk.writeUInt32LE((partition.startMib * MIB) / sectorBytes, at + 8)
  disk.writeUInt32LE((partition.mib * MIB) / sectorBytes, at + 12)
}

function makeBootPartition(directory: string): string {
  const file = join(directory, 'boot.fat')
  const kernel = guestKernel()
  const initrd = join(directory, 'initrd')
  writeFileSync(initrd, bootInitramfs(kernel.release))
  const settings = join(directory, 'syslinux.cfg')
  writeFileSync(settings, loaderSettings)
  const hidden = `${MIB / sectorBytes}`
  run('mkfs.vfat', ['-F', '16', '-h', hidden, '-C', file, `${bootMib * 1024}`])
  run('mcopy', ['-i', file, kernel.image, '::vmlinuz'])
  run('mcopy', ['-i', file, initrd, settings, '::'])
  run('syslinux', ['--install', file])
  return file
}

const loaderSettings = `DEFAULT linux
LABEL linux
  KERNEL vmlinuz
  INITRD initrd
  APPEND console=ttyS0 mitigations=off nokaslr quiet panic=-1
`

/** Knows the disk and nothing else: the rest of the system is on the root partition. */
function bootInitramfs(release: string): Buffer {
  const archive = new CpioArchive()
  archive.file('/bin/busybox', readFileSync('/bin/busybox'))
  archive.link('/bin/sh', 'busybox')
  for (const path of ['/dev', '/proc', '/root']) archive.directory(path)
  const modules = addModules(archive, release, ['virtio_pci', 'virtio_blk'])
  archive.file(
    '/init',
    `#!/bin/sh
/bin/busybox mount -t devtmpfs dev /dev
${modules.map((path) => `/bin/busybox insmod ${path}`).join('\n')}
/bin/busybox mount -t ext4 /dev/vda2 /root
exec /bin/busybox switch_root /root /sbin/init
`,
  )
  return archive.finish()
}

function makeRoot(directory: string, { init, files }: BootDiskOptions): string {
  const tree = join(directory, 'root')
  for (const each of ['bin', 'sbin', 'dev', 'proc'])
    mkdirSync(join(tree, each), { recursive: true })
  copyFileSync('/bin/busybox', join(tree, 'bin/busybox'))
  cpSync('/bin/busybox', join(tree, 'bin/sh'))
  writeFileSync(join(tree, 'sbin/init'), init, { mode: 0o755 })
  for (const [path, content] of Object.entries(files)) writeFileSync(join(tree, path), content)
  const image = join(directory, 'root.ext4')
  run('mke2fs', ['-q', '-t', 'ext4', '-d', tree, image, `${rootMib}M`])
  return image
}

function run(program: string, args: readonly string[]): void {
  // Administrators' programs are not on everybody's path.
  const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` }
  execFileSync(program, args, { env, stdio: 'pipe' })
}
