/**
 * TransportIDs of iSCSI, by which PERSISTENT RESERVE names initiator ports. SPC-4 7.6.4.6. Format 01b
 * is an initiator port (name, ",i,0x", ISID), format 00b an initiator device, all ports of it.
 */

/** Either a `Nexus.initiatorPort`, or an InitiatorName. */
export type TransportId = { readonly initiatorPort: string } | { readonly initiatorName: string }

const iscsiProtocol = 0x5
const Format = { DEVICE: 0, PORT: 1 } as const
const headerBytes = 4
const leastNameBytes = 20
/** RFC 7143 4.2.7.1: at most 223 bytes; then separator, ISID and the null. */
const mostNameBytes = 244

const devicePattern = /^(iqn|eui|naa)\.[\x21-\x7e\x80-\uffff]+$/
const portPattern = /^(.+),i,0x([0-9a-f]{1,12})$/

export function encodeTransportId(initiatorPort: string): Buffer {
  const name = Buffer.from(initiatorPort, 'utf8')
  const nameBytes = Math.max(leastNameBytes, Math.ceil((name.length + 1) / 4) * 4)
  const encoded = Buffer.alloc(headerBytes + nameBytes)
  encoded[0] = (Format.PORT << 6) | iscsiProtocol
  encoded.writeUInt16BE(nameBytes, 2)
  name.copy(encoded, headerBytes)
  return encoded
}

/** The TransportID at the beginning of `data` and its length; undefined: it is none of iSCSI. */
export function decodeTransportId(
  data: Buffer,
): { readonly id: TransportId; readonly bytes: number } | undefined {
  if (data.length < headerBytes + leastNameBytes) return undefined
  const format = data[0]! >> 6
  const nameBytes = data.readUInt16BE(2)
  const bytes = headerBytes + nameBytes
  const badLength = nameBytes % 4 !== 0 || nameBytes < leastNameBytes || nameBytes > mostNameBytes
  if ((data[0]! & 0x3f) !== iscsiProtocol || data[1] !== 0) return undefined
  if (badLength || data.length < bytes) return undefined
  const name = terminated(data.subarray(headerBytes, bytes))
  const id = name === undefined ? undefined : parse(format, name.toLowerCase())
  return id && { id, bytes }
}

/** The text before the first null, after which there is nothing else. */
function terminated(field: Buffer): string | undefined {
  const end = field.indexOf(0)
  if (end < 0 || field.subarray(end).some((byte) => byte !== 0)) return undefined
  return field.toString('utf8', 0, end)
}

function parse(format: number, name: string): TransportId | undefined {
  if (format === Format.DEVICE) {
    return devicePattern.test(name) ? { initiatorName: name } : undefined
  }
  const [, device = '', isid = ''] = (format === Format.PORT && portPattern.exec(name)) || []
  if (!devicePattern.test(device)) return undefined
  return { initiatorPort: `${device},i,0x${isid.padStart(12, '0')}` }
}

/** The ports that an ID stands for, of those that are known where it names a device. */
export function portsOf(id: TransportId, known: readonly string[]): readonly string[] {
  if ('initiatorPort' in id) return [id.initiatorPort]
  return known.filter((port) => port.startsWith(`${id.initiatorName},i,`))
}
