/**
 * A small Linux with the kernel's own iSCSI initiator, made from what Debian packages installed on
 * this machine: the cloud kernel and its modules, busybox, open-iscsi, e2fsprogs. Programs are
 * copied with the libraries that `ldd` names; modules in the order that modules.dep asks for.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs'
import { CpioArchive } from './cpio-archive.ts'
import { guestInit, guestLibrary, iscsidConfiguration } from './guest-scripts.ts'

export interface InitramfsOptions {
  /** The kernel whose modules go in. */
  readonly release: string
  /** Run by /bin/sh after the network and iscsid are up. */
  readonly script: string
  /** Further programs of this machine, by path. */
  readonly programs?: readonly string[]
  /** Further kernel modules, by name. */
  readonly modules?: readonly string[]
  /** Further files: guest path to content. */
  readonly files?: Readonly<Record<string, Buffer | string>>
}

const baseModules = [
  'virtio_pci',
  'virtio_console',
  'virtio_net',
  'sd_mod',
  'sg',
  'crc32c-intel',
  'iscsi_tcp',
]
const basePrograms = [
  '/usr/sbin/iscsid',
  '/usr/sbin/iscsiadm',
  '/usr/sbin/mke2fs',
  '/usr/sbin/e2fsck',
]

/** The newest installed cloud kernel that has its modules here. */
export function guestKernel(): { image: string; release: string } {
  const found = readdirSync('/boot')
    .filter((name) => name.startsWith('vmlinuz-') && name.includes('cloud'))
    .map((name) => ({ image: `/boot/${name}`, release: name.slice('vmlinuz-'.length) }))
    .filter(({ release }) => existsSync(`/lib/modules/${release}/modules.dep`))
  const newest = found.sort((a, b) => a.release.localeCompare(b.release, 'en', { numeric: true }))
  const last = newest.at(-1)
  if (last === undefined) throw new Error('no cloud kernel: install linux-image-cloud-amd64')
  return last
}

export function buildInitramfs(options: InitramfsOptions): Buffer {
  const archive = new CpioArchive()
  archive.file('/bin/busybox', readFileSync('/bin/busybox'))
  archive.link('/bin/sh', 'busybox')
  for (const path of [...basePrograms, ...(options.programs ?? [])]) addProgram(archive, path)
  const modules = addModules(archive, options.release, [...baseModules, ...(options.modules ?? [])])
  archive.file('/init', guestInit(modules))
  archive.file('/lib.sh', guestLibrary)
  archive.file('/script.sh', options.script)
  // iscsid looks up the name of the user that calls it.
  archive.file('/etc/passwd', 'root:x:0:0::/:/bin/sh\n')
  archive.file('/etc/iscsi/iscsid.conf', iscsidConfiguration)
  archive.file('/etc/iscsi/initiatorname.iscsi', 'InitiatorName=iqn.2026-11.org.example:guest\n')
  for (const [path, content] of Object.entries(options.files ?? {})) archive.file(path, content)
  for (const path of [
    '/dev',
    '/proc',
    '/sys',
    '/tmp',
    '/mnt',
    '/var/lib/iscsi',
    '/run/lock/iscsi',
  ]) {
    archive.directory(path)
  }
  return archive.finish()
}

function addProgram(archive: CpioArchive, path: string): void {
  if (!existsSync(path)) throw new Error(`${path} is not installed`)
  archive.file(path, readFileSync(path))
  const libraries = execFileSync('ldd', [path], { encoding: 'utf8' })
  for (const [, library] of libraries.matchAll(/(\/[^ ]+) \(0x/g)) {
    if (library !== undefined && !archive.has(library)) {
      archive.file(library, readFileSync(realpathSync(library)))
    }
  }
}

/** Puts modules and what they need into the archive; their paths, in the order of loading. */
export function addModules(
  archive: CpioArchive,
  release: string,
  names: readonly string[],
): string[] {
  const root = `/lib/modules/${release}`
  const order: string[] = []
  const needs = readNeeds(`${root}/modules.dep`)
  const visit = (path: string) => {
    for (const need of needs.get(path) ?? []) visit(need)
    if (order.includes(path)) return
    order.push(path)
    archive.file(`${root}/${path}`, readFileSync(`${root}/${path}`))
  }
  const builtIn = readFileSync(`${root}/modules.builtin`, 'utf8')
  for (const name of names) {
    const path = [...needs.keys()].find((one) => moduleName(one) === moduleName(name))
    if (path !== undefined) visit(path)
    else if (!builtIn.includes(`/${name}.ko`)) throw new Error(`${release} has no module ${name}`)
  }
  return order.map((path) => `${root}/${path}`)
}

/** Module file to the files that must be loaded before it; modules.dep lists the nearest first. */
function readNeeds(file: string): Map<string, string[]> {
  const needs = new Map<string, string[]>()
  for (const line of readFileSync(file, 'utf8').split('\n')) {
    const [path, rest] = line.split(':')
    if (path !== undefined && rest !== undefined) {
      needs.set(path, rest.split(' ').filter(Boolean).reverse())
    }
  }
  return needs
}

function moduleName(path: string): string {
  return path.replace(/^.*\//, '').replace(/\.ko$/, '').replaceAll('-', '_')
}
