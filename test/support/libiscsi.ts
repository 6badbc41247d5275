/** The small programs of libiscsi-bin against a target: discovery, INQUIRY, capacity. */
import { run } from './palisade-process.ts'

export async function iscsiLs(portal: string): Promise<string> {
  return expectSuccess(await run('iscsi-ls', ['-s', `iscsi://${portal}`]), 'iscsi-ls')
}

export async function iscsiInq(url: string, page?: number): Promise<string> {
  const args = page === undefined ? [url] : ['-e', '1', '-c', String(page), url]
  return expectSuccess(await run('iscsi-inq', args), 'iscsi-inq')
}

export async function iscsiReadCapacity16(url: string): Promise<string> {
  return expectSuccess(await run('iscsi-readcapacity16', [url]), 'iscsi-readcapacity16')
}

function expectSuccess(
  result: { code: number; stdout: string; stderr: string },
  who: string,
): string {
  if (result.code === 0) return result.stdout
  throw new Error(`${who} ended with ${result.code}: ${result.stdout}${result.stderr}`)
}
