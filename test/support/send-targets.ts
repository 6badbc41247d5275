/** SendTargets=All over a discovery session of its own: what a portal tells. RFC 7143 Appendix C. */
import { Opcode, RESERVED_TAG } from '../../src/iscsi/pdu/opcode.ts'
import { textRequest } from '../../src/iscsi/pdu/text-request.ts'
import type { Network } from '../../src/ports/network.ts'
import { RawInitiator } from './raw-initiator.ts'

/** Answers the addresses of the first target, `HOST:PORT,TAG`. */
export async function sendTargets(network: Network, portal: string): Promise<string[]> {
  const raw = await RawInitiator.connect(network, portal)
  try {
    await raw.login()
    const header = textRequest.build({
      final: true,
      continues: false,
      lun: Buffer.alloc(8),
      initiatorTaskTag: 1,
      targetTransferTag: RESERVED_TAG,
      cmdSn: raw.cmdSn,
      expStatSn: raw.expStatSn,
    })
    raw.send(header, { immediate: true, data: [Buffer.from('SendTargets=All\0')] })
    const { data } = await raw.next(Opcode.TEXT_RESPONSE)
    const lines = Buffer.concat(data).toString('utf8').split('\0')
    const second = lines.findIndex((line, i) => i > 0 && line.startsWith('TargetName='))
    const first = second < 0 ? lines : lines.slice(0, second)
    const key = 'TargetAddress='
    return first.flatMap((line) => (line.startsWith(key) ? [line.slice(key.length)] : []))
  } finally {
    raw.close()
  }
}
