/**
 * The bare target beside tgt (bare-target.ts), and for information a volume striped over three
 * storage servers through a shim in the same run. All of a cluster shares this machine with the
 * load, so its figures say what the road costs, not what a cluster can do.
 *
 * Usage: with-shim.js [options of bare-target.js]
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Cluster } from '../test/support/cluster.ts'
import { qemuIo, writePattern } from '../test/support/qemu-io.ts'

const volumeMib = 512
const bareTarget = fileURLToPath(new URL('./bare-target.js', import.meta.url))

/** In memory where there is room, so that no write-back of its pages disturbs the others. */
async function fastDirectory(): Promise<string> {
  const { bavail, bsize } = await statfs('/dev/shm')
  const roomy = bavail * bsize > 6 * volumeMib * 1024 * 1024
  return await mkdtemp(join(roomy ? '/dev/shm' : tmpdir(), 'palisade-bench-'))
}

const cluster = await Cluster.start(
  [
    ...['--servers', '3', '--capacity', '512MiB'],
    ...['--volume', `bench=${volumeMib}MiB,stripe=3`],
  ],
  await fastDirectory(),
)
try {
  const url = cluster.url('bench')
  // Written once from end to end, like the other contenders' files.
  for (let at = 0; at < volumeMib; at += 64) {
    await qemuIo(url, [writePattern(0xa5, at * 1024 * 1024, 64 * 1024 * 1024)])
  }
  const args = [bareTarget, '--url', `shim=${url}`, ...process.argv.slice(2)]
  const bench = spawn(process.execPath, args, { stdio: 'inherit' })
  const [code] = await once(bench, 'close')
  process.exitCode = typeof code === 'number' ? code : 1
} finally {
  await cluster.stop()
}
