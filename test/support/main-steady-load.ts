/**
 * A healthy initiator as a process of its own: 4 KiB reads and writes in turn at a fixed depth, and
 * every 100 ms a line with the time and how many have been answered since it began. It ends with an
 * error when a command does, so that a test sees more than a figure.
 *
 * Usage: main-steady-load.js PORTAL IQN DEPTH
 */
import { nodeClock } from '../../src/adapters/node-clock.ts'
import { NodeNetwork } from '../../src/adapters/node-network.ts'
import { openLeg } from '../../src/leg/open-leg.ts'
import { describe, Initiator } from './initiator.ts'
import { quietLog } from './quiet-log.ts'
import { read10 } from './raw-initiator.ts'

const blocks = 8
const areaBlocks = 16 * 1024
const slotMs = 100

const [, , address = '', targetName = '', depth = '8'] = process.argv
const opening = await openLeg({
  network: new NodeNetwork(quietLog),
  clock: nodeClock,
  address,
  targetName,
  initiatorName: 'iqn.2026-11.example:steady',
  isid: Buffer.from('400001370002', 'hex'),
})
if (opening.kind !== 'open') throw new Error(`no session: ${opening.cause}`)
const initiator = new Initiator(opening.leg)
let done = 0

async function lane(first: number): Promise<void> {
  for (let turn = first; ; turn++) {
    const lba = (turn * 7919 * blocks) % areaBlocks
    const task =
      turn % 2 === 0
        ? initiator.write(lba, blocks, turn)
        : initiator.leg.submit({ lun: 0, cdb: read10(lba, blocks), dataInBytes: blocks * 512 })
    const how = describe(await task.answer)
    if (how !== 'good') throw new Error(`command ${turn}: ${how}`)
    done++
  }
}

for (let i = 0; i < Number(depth); i++) {
  lane(i * 100_000).catch((error: unknown) => {
    console.error(error)
    process.exit(1)
  })
}
setInterval(() => console.log(JSON.stringify({ atMs: Date.now(), done })), slotMs)
