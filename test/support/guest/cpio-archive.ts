/** An initramfs as the kernel reads it: the `newc` form of cpio, uncompressed. Files, links, nothing else. */

const fileMode = 0o100000
const linkMode = 0o120000
const directoryMode = 0o040000

export class CpioArchive {
  readonly #parts: Buffer[] = []
  readonly #names = new Set<string>()
  #inode = 1

  /** Paths are absolute, as in the guest; directories on the way are made. */
  file(path: string, content: Buffer | string, permissions = 0o755): void {
    this.#add(path, fileMode | permissions, Buffer.from(content))
  }

  link(path: string, target: string): void {
    this.#add(path, linkMode | 0o777, Buffer.from(target))
  }

  directory(path: string): void {
    this.#add(path, directoryMode | 0o755, Buffer.alloc(0))
  }

  has(path: string): boolean {
    return this.#names.has(path)
  }

  finish(): Buffer {
    this.#entry('TRAILER!!!', 0, Buffer.alloc(0))
    return Buffer.concat(this.#parts)
  }

  #add(path: string, mode: number, content: Buffer): void {
    if (this.#names.has(path)) return
    const parent = path.slice(0, path.lastIndexOf('/'))
    if (parent !== '') this.directory(parent)
    this.#names.add(path)
    this.#entry(path.slice(1), mode, content)
  }

  /** magic, inode, mode, uid, gid, links, mtime, size, four device numbers, name size, check. */
  #entry(name: string, mode: number, content: Buffer): void {
    const fields = [this.#inode++, mode, 0, 0, 1, 0, content.length, 0, 0, 0, 0, name.length + 1, 0]
    const header = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`
    this.#parts.push(padded(Buffer.from(`${header}${name}\0`)), padded(content))
  }
}

function padded(bytes: Buffer): Buffer {
  const rest = -bytes.length & 3
  return rest === 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(rest)])
}
