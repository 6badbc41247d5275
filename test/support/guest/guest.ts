/**
 * A Linux guest under qemu's TCG (no /dev/kvm needed) that runs one shell script with a stock
 * open-iscsi and ends. The caller sees the script's output as it comes, its exit status, and the
 * kernel's console for the reason when something is wrong.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buildInitramfs, guestKernel, type InitramfsOptions } from './initramfs.ts'

export interface GuestOptions extends Omit<InitramfsOptions, 'release'> {
  readonly deadlineMs?: number
  readonly memoryMib?: number
  /** Image of a disk of the guest's own, /dev/vda: what is on it survives a reboot. */
  readonly disk?: string
}

export interface GuestResult {
  /** Exit status of the script; undefined when the guest ended without one. */
  readonly status: number | undefined
  readonly output: string
  readonly console: string
}

const defaultDeadlineMs = 180_000

export class Guest {
  /** Settles when the guest has ended, also at its deadline. */
  readonly ended: Promise<GuestResult>
  readonly #process: ChildProcess
  #output = ''
  #watchers: (() => void)[] = []

  constructor(options: GuestOptions) {
    const kernel = guestKernel()
    const directory = mkdtempSync(join(tmpdir(), 'palisade-guest-'))
    const initrd = join(directory, 'initrd')
    const statusFile = join(directory, 'status')
    const consoleFile = join(directory, 'console')
    const modules = [
      ...(options.modules ?? []),
      ...(options.disk === undefined ? [] : ['virtio_blk']),
    ]
    writeFileSync(initrd, buildInitramfs({ ...options, modules, release: kernel.release }))
    const outputSocket = join(directory, 'output')
    // qemu connects to it; a file would be silent until the end, a pipe needs an open input.
    const listener = createServer((socket) => {
      socket.setEncoding('utf8').on('data', (text: string) => this.#written(text))
    })
    listener.listen(outputSocket)
    const files = { initrd, statusFile, consoleFile, outputSocket, image: kernel.image }
    const { memoryMib = 512, disk } = options
    const args = [...qemuArguments(files, memoryMib), ...diskArguments(disk)]
    this.#process = spawn('qemu-system-x86_64', args, { stdio: ['ignore', 'inherit', 'inherit'] })
    const timer = setTimeout(() => this.kill(), options.deadlineMs ?? defaultDeadlineMs)
    this.ended = this.#end(listener).then(() => {
      clearTimeout(timer)
      const status = /^[0-9]+/.exec(readFileSync(statusFile, 'utf8'))?.[0]
      const console = readFileSync(consoleFile, 'utf8')
      rmSync(directory, { recursive: true })
      return {
        status: status === undefined ? undefined : Number(status),
        output: this.#output,
        console,
      }
    })
  }

  /** Resolves when qemu has ended and all that it wrote has been read. */
  async #end(listener: Server): Promise<void> {
    await once(this.#process, 'close')
    listener.close()
    await once(listener, 'close')
  }

  /** What the script has written so far. */
  get output(): string {
    return this.#output
  }

  /** Resolves when the script has written `mark`; rejects when the guest ends without. */
  async written(mark: string): Promise<void> {
    const seen = new Promise<void>((resolve) => {
      const look = () => {
        if (this.#output.includes(mark)) resolve()
      }
      this.#watchers.push(look)
      look()
    })
    const ended = this.ended.then((result) => {
      if (result.output.includes(mark)) return
      throw new Error(`the guest ended without "${mark}":\n${result.output}\n${result.console}`)
    })
    await Promise.race([seen, ended])
  }

  #written(text: string): void {
    this.#output += text
    for (const watch of this.#watchers) watch()
  }

  kill(): void {
    this.#process.kill('SIGKILL')
  }
}

interface MachineFiles {
  readonly image: string
  readonly initrd: string
  readonly statusFile: string
  readonly consoleFile: string
  /** A unix socket that takes the script's output. */
  readonly outputSocket: string
}

/** A guest that has a disk may boot again; any other ends when it asks for that, or panics. */
function diskArguments(disk: string | undefined): string[] {
  if (disk === undefined) return ['-no-reboot']
  return ['-drive', `file=${disk},format=raw,if=virtio`]
}

function qemuArguments(machine: MachineFiles, memoryMib: number): string[] {
  const append = 'console=ttyS0 mitigations=off nokaslr quiet panic=-1'
  return [
    ...['-machine', 'q35,accel=tcg', '-cpu', 'max', '-m', `${memoryMib}`],
    ...['-nodefaults', '-display', 'none', '-no-user-config'],
    ...['-kernel', machine.image, '-initrd', machine.initrd, '-append', append],
    ...['-serial', `file:${machine.consoleFile}`],
    ...['-netdev', 'user,id=net', '-device', 'virtio-net-pci,netdev=net'],
    ...['-device', 'virtio-serial-pci'],
    ...['-chardev', `socket,id=output,path=${machine.outputSocket}`],
    ...['-device', 'virtserialport,chardev=output,name=output'],
    ...['-chardev', `file,id=status,path=${machine.statusFile}`],
    ...['-device', 'virtserialport,chardev=status,name=status'],
  ]
}
