/**
 * The whole target in this process: portal, device servers, page store, all in memory with a clock
 * that is moved by hand. Beside the one that is fuzzed stands another target with an initiator that
 * works all the time and must notice nothing.
 */
import { nodeChapHashes } from '../../src/adapters/node-chap-hashes.ts'
import { ChapChallenges } from '../../src/iscsi/chap.ts'
import { plainLoginPolicy } from '../../src/iscsi/login-policy.ts'
import { nopIn } from '../../src/iscsi/pdu/nop-in.ts'
import { Opcode, RESERVED_TAG } from '../../src/iscsi/pdu/opcode.ts'
import { Portal } from '../../src/portal/portal.ts'
import type { PortalHost } from '../../src/portal/portal-host.ts'
import type { Log } from '../../src/ports/log.ts'
import { TokenStore } from '../../src/scsi/copy/token-store.ts'
import { MemoryUnitSettings } from '../../src/scsi/memory-unit-settings.ts'
import { PlainUnit } from '../../targets/lun/plain-unit.ts'
import { StandaloneTarget } from '../../targets/standalone-target.ts'
import { PageStore } from '../../targets/store/page-store.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { MemoryBlockFiles } from '../support/memory-block-files.ts'
import { MemoryKeyValue } from '../support/memory-key-value.ts'
import { MemoryNetwork } from '../support/memory-network.ts'
import { RawInitiator, read10, write10 } from '../support/raw-initiator.ts'
import { seededRandom } from '../support/seeded-random.ts'
import { type FuzzCase, fuzzTarget, fuzzUser, guardTarget } from './fuzz-case.ts'
import { guardIdentity } from './guard-naa.ts'
import { Player } from './player.ts'

const fuzzedBlocks = 4096
const largeBlocks = 64
const guardBlocks = 512
const guardBytes = 16 * 1024
/** Longer than every deadline of the portal together. */
const longEnoughSeconds = 100
/** One turn of the loop may cost so much of the processor, whatever a peer says. */
const longestTurnMs = 2_000

export class MemoryTarget {
  readonly #clock = new ManualClock()
  readonly #network: MemoryNetwork
  readonly #stores: PageStore[] = []
  readonly #errors: string[] = []
  readonly #tokens: TokenStore
  readonly #random = seededRandom(1)
  #targets: readonly StandaloneTarget[] = []
  #portal!: Portal
  #address = ''
  #guard!: RawInitiator
  #rounds = 0

  private constructor(chunkBytes: number | undefined) {
    this.#network = new MemoryNetwork(chunkBytes === undefined ? {} : { chunkBytes })
    this.#tokens = new TokenStore({ clock: this.#clock, random: this.#random })
  }

  static async start(played: FuzzCase): Promise<MemoryTarget> {
    const target = new MemoryTarget(played.chunkBytes)
    await target.#start(played.chap === true)
    return target
  }

  async #start(asksForChap: boolean): Promise<void> {
    const fuzzed = [await this.#unit(1, fuzzedBlocks, 512), await this.#unit(2, largeBlocks, 4096)]
    this.#targets = [
      new StandaloneTarget(fuzzTarget, fuzzed),
      new StandaloneTarget(guardTarget, [await this.#unit(3, guardBlocks, 512)]),
    ]
    const host: PortalHost = {
      discover: () => this.#targets.flatMap((target) => target.discover()),
      login: (facts) => {
        const fits = this.#targets.find(({ iqn }) => iqn === facts.targetName)
        return (fits ?? this.#targets[0]!).login(facts)
      },
    }
    const { user: name, secret } = fuzzUser
    const chap = {
      hashes: nodeChapHashes,
      challenges: new ChapChallenges(this.#random),
      users: [{ name, secret: Buffer.from(secret) }],
      discovery: true,
    }
    const options = { network: this.#network, clock: this.#clock, log: this.#log(), host }
    this.#portal = new Portal({ ...options, policy: plainLoginPolicy })
    this.#address = await this.#portal.listen('127.0.0.1:0')
    this.#guard = await RawInitiator.connect(this.#network, this.#address)
    await this.#guard.login({ targetName: guardTarget })
    await this.#work()
    if (!asksForChap) return
    const policy = { ...plainLoginPolicy, chap }
    this.#portals.push(new Portal({ ...options, policy }))
    this.#address = await this.#portals[0]!.listen('127.0.0.2:0')
  }

  readonly #portals: Portal[] = []

  /** Plays a case. Answers what came; rejects with what was broken. */
  async play(played: FuzzCase): Promise<readonly string[]> {
    const player = new Player({
      network: this.#network,
      address: this.#address,
      settle: (each) => this.#settle(each),
    })
    await player.play(played)
    const said = [...player.said]
    await this.#work()
    if (played.patient === true) await this.#passTime()
    else player.cut()
    await this.#work()
    if (played.patient !== true) return said
    const left = this.#portal.sessions.length - 1 + (this.#portals[0]?.sessions.length ?? 0)
    if (left > 0) throw new Error(`${left} sessions outlive an initiator that went silent`)
    if (player.streams > 0) throw new Error('a connection outlives its silence')
    return said
  }

  /** Resolves when all has ended; rejects with what the target itself called an error. */
  async stop(): Promise<void> {
    this.#guard.close()
    for (const portal of [this.#portal, ...this.#portals]) {
      await inTurns(portal.close(0), 'the portal closes')
    }
    for (const target of this.#targets) await inTurns(target.stop(), 'the units stop')
    for (const store of this.#stores) await store.close()
    this.#tokens.close()
    if (this.#errors.length > 0) throw new Error(this.#errors.join('\n'))
  }

  async #unit(id: number, blocks: number, blockBytes: number): Promise<PlainUnit> {
    const store = await PageStore.open({
      files: new MemoryBlockFiles(),
      metadata: new MemoryKeyValue(),
      clock: this.#clock,
      random: this.#random,
      log: this.#log(),
      bootId: 'boot',
      capacityBytes: 2 * blocks * blockBytes,
    })
    this.#stores.push(store)
    await store.createReplica('lun', blocks, blockBytes)
    return new PlainUnit(store.replica('lun')!, {
      identity: guardIdentity.replace(/3$/, String(id)),
      settings: new MemoryUnitSettings(),
      tokens: this.#tokens,
    })
  }

  /** What the target calls an error is one: nothing an initiator sends is. */
  #log(): Log {
    const log: Log = {
      debug: () => undefined,
      info: () => undefined,
      warn: () => undefined,
      error: (event, fields) => {
        const { error } = fields ?? {}
        this.#errors.push(`${event}: ${error instanceof Error ? error.stack : String(error)}`)
      },
      with: () => log,
    }
    return log
  }

  /** The initiator beside it writes, reads back what it wrote last, and finds the rest as it was. */
  async #work(): Promise<void> {
    const stamp = (round: number) => Buffer.alloc(guardBytes, round)
    const blocks = guardBytes / 512
    if (this.#rounds > 0) await this.#expect(read10(0, blocks), stamp(this.#rounds))
    this.#rounds += 1
    const data = stamp(this.#rounds)
    const wrote = await this.#guard.run({
      cdb: write10(0, blocks),
      data,
      immediateBytes: data.length,
    })
    if (wrote.status !== 0) throw new Error('a write beside it fails')
    await this.#expect(read10(guardBlocks - blocks, blocks), stamp(0))
  }

  async #expect(cdb: Buffer, want: Buffer): Promise<void> {
    const { status, data } = await this.#guard.run({ cdb, readBytes: want.length })
    if (status !== 0 || !data.equals(want)) throw new Error('data beside it have changed')
  }

  async #passTime(): Promise<void> {
    for (let second = 0; second < longEnoughSeconds; second++) {
      await this.#clock.advance(1_000)
      for (const frame of this.#guard.received) {
        if (frame.opcode !== Opcode.NOP_IN) continue
        if (nopIn.decode(frame.header).targetTransferTag === RESERVED_TAG) continue
        await this.#guard.answerPing()
        break
      }
    }
  }

  /** Turns of the loop until nothing came for some of them. */
  async #settle(player: Player): Promise<void> {
    let quiet = 0
    for (let turn = 0; quiet < 25; turn++) {
      if (turn > 20_000) throw new Error('it never comes to rest')
      const { length } = player.said
      const before = process.cpuUsage()
      await new Promise<void>((resolve) => setImmediate(resolve))
      const { user, system } = process.cpuUsage(before)
      const tookMs = (user + system) / 1000
      if (tookMs > longestTurnMs) throw new Error(`one turn of the loop took ${tookMs} ms`)
      quiet = player.said.length === length ? quiet + 1 : 0
    }
  }
}

/** Rejects when it has not resolved after many turns of the loop. */
async function inTurns(promise: Promise<void>, what: string): Promise<void> {
  let done = false
  const noted = promise.finally(() => {
    done = true
  })
  for (let turn = 0; !done && turn < 3_000; turn++) {
    await new Promise<void>((resolve) => setImmediate(resolve))
  }
  if (!done) throw new Error(`never: ${what}`)
  await noted
}

/** A target of its own for one case. */
export async function playInMemory(played: FuzzCase): Promise<readonly string[]> {
  const target = await MemoryTarget.start(played)
  try {
    return await target.play(played)
  } finally {
    await target.stop()
  }
}
