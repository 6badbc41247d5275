/**
 * A tiny builder of wire bytes, independent of the layouts under test: hex with comments, text
 * with NULs. The fixture is the documentation.
 */

/** Bytes of annotated hex: everything after `//` on a line is a comment. */
export function hex(text: string): Buffer {
  const digits = text.replace(/\/\/.*$/gm, '').replace(/\s+/g, '')
  if (!/^([0-9a-f]{2})*$/i.test(digits)) throw new Error(`not hex: ${digits}`)
  return Buffer.from(digits, 'hex')
}

/** A text data segment: each pair ends in NUL. */
export function text(...pairs: string[]): Buffer {
  return Buffer.from(pairs.map((pair) => `${pair}\0`).join(''), 'utf8')
}

/** `data` with zeros up to a multiple of four. */
export function padded(data: Uint8Array): Buffer {
  return Buffer.concat([data, Buffer.alloc(-data.length & 3)])
}

/** A header of 48 bytes with bytes put at offsets. */
export function header(parts: Readonly<Record<number, string>>): Buffer {
  const bytes = Buffer.alloc(48)
  for (const [offset, digits] of Object.entries(parts)) hex(digits).copy(bytes, Number(offset))
  return bytes
}

/** A plain bitwise CRC32C, to check the fast one and to build digests. Little-endian on the wire. */
export function slowCrc32c(data: Uint8Array): Buffer {
  let crc = 0xffffffff
  for (const byte of data) {
    crc ^= byte
    for (let i = 0; i < 8; i++) crc = (crc & 1) === 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
  }
  const digest = Buffer.alloc(4)
  digest.writeUInt32LE(~crc >>> 0)
  return digest
}
