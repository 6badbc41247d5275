/**
 * Reservations of a volume in a whole cluster in memory: two shims, two initiators, one manager that
 * keeps the table. What holds at one front end holds at the other, also for one that has not heard of
 * it; a lost answer is found again; without a manager nothing is guessed.
 */
import t, { type Test } from 'tap'
import { describe, type Initiator } from '../../support/initiator.ts'
import { MemoryCluster } from '../../support/memory-cluster.ts'
import {
  Action,
  inCdb,
  type OutSpec,
  outCdb,
  outList,
  parseKeys,
  parseReservation,
  release6,
  reserve6,
  Type,
} from '../../support/reservation-commands.ts'
import { otherClient } from '../../support/volume-maps.ts'

const mib = 1024 * 1024
const conflict = 'status 18'
const busy = 'status 8'
const registrationsPreempted = 'sense 6/2a/5'
/** For a machine that does much else. */
t.setTimeout(170_000)

async function started(t: Test) {
  const cluster = await MemoryCluster.start({
    servers: 2,
    volumes: [{ name: 'v', sizeBytes: 4 * mib, stripe: 2 }],
  })
  t.teardown(() => cluster.stop())
  const second = await cluster.addShim(otherClient)
  const a = await cluster.attach('v', { name: 'a' })
  const b = await cluster.attach('v', { name: 'b', address: second.portal })
  return new Rig(cluster, a, b)
}

class Rig {
  readonly cluster: MemoryCluster
  readonly a: Initiator
  readonly b: Initiator

  constructor(cluster: MemoryCluster, a: Initiator, b: Initiator) {
    this.cluster = cluster
    this.a = a
    this.b = b
  }

  submitOut(who: Initiator, spec: OutSpec) {
    const list = outList(spec)
    return who.leg.submit({ lun: 0, cdb: outCdb(spec, list.length), dataOut: [list] })
  }

  async out(who: Initiator, spec: OutSpec): Promise<string> {
    return describe(await this.cluster.run(this.submitOut(who, spec).answer))
  }

  async in(who: Initiator, action: number): Promise<Buffer> {
    const submitted = who.leg.submit({ lun: 0, cdb: inCdb(action), dataInBytes: 8192 })
    const answer = await this.cluster.run(submitted.answer)
    if (answer.kind !== 'status' || answer.status !== 0) throw new Error(describe(answer))
    return Buffer.concat(answer.dataIn)
  }

  async keys(who: Initiator): Promise<number[]> {
    return parseKeys(await this.in(who, 0)).keys
  }

  async reservation(who: Initiator) {
    return parseReservation(await this.in(who, 1))
  }

  async write(who: Initiator, stamp: number): Promise<string> {
    return describe(await this.cluster.run(who.write(0, 1024, stamp).answer))
  }

  async command(who: Initiator, cdb: Buffer): Promise<string> {
    return describe(await this.cluster.run(who.command(cdb).answer))
  }

  /** What is on the disk at both ends of the range that `write` writes. */
  async stamps(who: Initiator): Promise<number[]> {
    const first = await this.cluster.run(who.read(0, 1))
    return [...first, ...(await this.cluster.run(who.read(1023, 1)))]
  }

  register(who: Initiator, serviceActionKey: number, key = 0): Promise<string> {
    return this.out(who, { action: Action.REGISTER, key, serviceActionKey })
  }
}

t.test('what is reserved through one shim is reserved at the other', async (t) => {
  const rig = await started(t)
  const { a, b } = rig
  t.equal(await rig.register(a, 1), 'good')
  t.equal(await rig.out(a, { action: Action.RESERVE, type: Type.WE, key: 1 }), 'good')
  t.strictSame(await rig.keys(b), [1])
  t.strictSame(await rig.reservation(b), { key: 1, type: Type.WE })
  t.equal(await rig.write(b, 7), conflict)
  t.equal(await rig.write(a, 8), 'good')
  t.strictSame(await rig.stamps(b), [8, 8], 'reading is not forbidden')
  t.equal(await rig.register(b, 2), 'good')
  t.equal(await rig.register(b, 3, 9), conflict, 'a wrong key')
  const preempt = { action: Action.PREEMPT, type: Type.EA, key: 2, serviceActionKey: 1 }
  t.equal(await rig.out(b, preempt), 'good')
  t.equal(await rig.write(a, 9), conflict)
  t.equal(await rig.command(a, Buffer.alloc(6)), registrationsPreempted)
  t.equal(await rig.command(a, Buffer.alloc(6)), 'good', 'told once')
  t.equal(await rig.write(b, 10), 'good')
  t.strictSame(await rig.keys(a), [2])
  t.equal(await rig.out(b, { action: Action.CLEAR, key: 2 }), 'good')
  t.equal(await rig.write(a, 11), 'good')
})

t.test('a RESERVE ends with the process of its front end, when that starts again', async (t) => {
  const rig = await started(t)
  const { cluster, a, b } = rig
  t.equal(await rig.write(a, 1), 'good')
  t.equal(await rig.command(a, reserve6), 'good')
  t.equal(await rig.write(b, 2), conflict)
  // As if it had been killed: nobody hears of the end of its sessions.
  cluster.rpc.cut('shim-1', true)
  await cluster.run(cluster.shim.stop(0))
  t.equal(await rig.write(b, 2), conflict, 'nobody knows that it is over')
  await cluster.startShim()
  await cluster.until(async () => (await rig.write(b, 2)) === 'good')
  const again = await cluster.attach('v', { name: 'a' })
  t.equal(await rig.write(again, 3), 'good')
  t.equal(await rig.command(again, reserve6), 'good')
  await cluster.pass(2_000)
  t.equal(await rig.write(b, 4), conflict, 'a new one stands')
  t.equal(await rig.command(again, release6), 'good')
  t.equal(await rig.write(b, 4), 'good')
})

t.test('a shim that has not heard of it is fenced by the generation', async (t) => {
  const rig = await started(t)
  const { cluster, a, b } = rig
  t.equal(await rig.write(a, 1), 'good')
  t.equal(await rig.register(b, 2), 'good')
  t.equal(await rig.write(a, 1), 'good', 'a shim that has the newest map')
  cluster.rpc.cut('shim-1', true)
  t.equal(await rig.out(b, { action: Action.RESERVE, type: Type.EA, key: 2 }), 'good')
  const stale = a.write(0, 1024, 66)
  await cluster.pass(2_000)
  t.equal(await rig.write(b, 3), 'good')
  cluster.rpc.cut('shim-1', false)
  t.equal(describe(await cluster.run(stale.answer)), conflict)
  t.strictSame(await rig.stamps(b), [3, 3], 'it never touched the disk')
})

t.test('PREEMPT AND ABORT ends what the preempted has under way elsewhere', async (t) => {
  const rig = await started(t)
  const { cluster, a, b } = rig
  t.equal(await rig.register(a, 1), 'good')
  t.equal(await rig.register(b, 2), 'good')
  t.equal(await rig.out(a, { action: Action.RESERVE, type: Type.WERO, key: 1 }), 'good')
  t.equal(await rig.write(a, 1), 'good')
  cluster.rpc.cut('shim-1', true)
  const abort = { action: Action.PREEMPT_AND_ABORT, type: Type.WERO, key: 2, serviceActionKey: 1 }
  t.equal(await rig.out(b, abort), 'good')
  const stale = a.write(0, 1024, 66)
  let answered = false
  void stale.answer.then(() => {
    answered = true
  })
  await cluster.pass(500)
  cluster.rpc.cut('shim-1', false)
  await cluster.until(async () => (await cluster.status()).volumes[0]!.live === 0)
  t.equal(answered && describe(await stale.answer), false, 'an aborted command has no answer')
  t.equal(await rig.command(a, Buffer.alloc(6)), registrationsPreempted)
  t.equal(await rig.write(a, 67), conflict)
  t.equal(await rig.write(b, 4), 'good')
  t.strictSame(await rig.stamps(b), [4, 4])
})

t.test('without a manager the last table holds, and changes are refused', async (t) => {
  const rig = await started(t)
  const { cluster, a, b } = rig
  t.equal(await rig.register(a, 1), 'good')
  t.equal(await rig.out(a, { action: Action.RESERVE, type: Type.WE, key: 1 }), 'good')
  cluster.rpc.cut('manager', true)
  await cluster.pass(4_000)
  t.strictSame(await rig.keys(b), [1])
  t.equal(await rig.write(b, 5), conflict)
  t.equal(await rig.write(a, 6), 'good')
  t.equal(await rig.register(b, 2), busy)
  t.equal(await rig.out(a, { action: Action.RELEASE, type: Type.WE, key: 1 }), busy)
  cluster.rpc.cut('manager', false)
  await cluster.pass(1_000)
  t.equal(await rig.register(b, 2), 'good')
  t.strictSame(await rig.keys(a), [1, 2])
})

t.test('a lost answer is found again, and an unknown outcome is not guessed', async (t) => {
  const rig = await started(t)
  const { cluster, a, b } = rig
  let lost = 0
  cluster.rpc.plan = () => {
    lost++
    return lost <= 4 ? { requestMs: 0, replyMs: 0, loses: 'reply' } : { requestMs: 0, replyMs: 0 }
  }
  t.equal(await rig.register(a, 1), 'good')
  t.ok(lost > 1, `${lost} calls`)
  t.strictSame(parseKeys(await rig.in(b, 0)), { generation: 1, keys: [1] }, 'made once')
  cluster.rpc.plan = () => ({ requestMs: 0, replyMs: 0, loses: 'request' })
  t.equal(await rig.register(a, 2, 1), 'sense b/2e/2')
  cluster.rpc.plan = () => ({ requestMs: 0, replyMs: 0 })
  await cluster.pass(2_000)
  t.strictSame(await rig.keys(b), [1])
})

t.test('two that preempt one another at once do not both win', async (t) => {
  const rig = await started(t)
  const { cluster, a, b } = rig
  t.equal(await rig.register(a, 1), 'good')
  t.equal(await rig.register(b, 2), 'good')
  const both = [
    rig.submitOut(a, { action: Action.PREEMPT, type: Type.WE, key: 1, serviceActionKey: 2 }),
    rig.submitOut(b, { action: Action.PREEMPT, type: Type.WE, key: 2, serviceActionKey: 1 }),
  ]
  const answers = await cluster.run(Promise.all(both.map(({ answer }) => answer)))
  t.strictSame(answers.map(describe).sort(), ['good', conflict])
  t.equal((await rig.keys(a)).length, 1)
})

t.test('RESERVE (6) holds at both shims until its session ends', async (t) => {
  const rig = await started(t)
  const { cluster, a, b } = rig
  t.equal(await rig.command(a, reserve6), 'good')
  t.equal(await rig.command(b, reserve6), conflict)
  t.equal(await rig.command(b, release6), 'good', 'of another: nothing happens')
  t.equal(await rig.command(b, Buffer.alloc(6)), conflict)
  t.equal(await rig.write(b, 1), conflict)
  t.equal(await rig.write(a, 2), 'good')
  a.leg.close()
  await cluster.run(a.leg.ended)
  await cluster.until(async () => (await rig.command(b, reserve6)) === 'good')
  t.equal(await rig.write(b, 3), 'good')
})

t.test('what ended with a session is over at its front end before the manager knows', async (t) => {
  const rig = await started(t)
  const { cluster, a, b } = rig
  const beside = await cluster.attach('v', { name: 'c', isid: 2 })
  t.equal(await rig.command(a, reserve6), 'good')
  t.equal(await rig.write(beside, 1), conflict)
  cluster.rpc.plan = () => ({ requestMs: 0, replyMs: 0, loses: 'request' })
  a.leg.close()
  await cluster.run(a.leg.ended)
  await cluster.until(async () => (await rig.write(beside, 2)) === 'good', 2_000)
  t.equal(await rig.write(b, 3), conflict, 'elsewhere it still holds')
  const again = beside.command(reserve6)
  await cluster.pass(500)
  cluster.rpc.plan = () => ({ requestMs: 0, replyMs: 0 })
  t.equal(describe(await cluster.run(again.answer)), 'good')
  await cluster.pass(15_000)
  t.equal(await rig.write(b, 4), conflict, 'the new one is not released with the old')
  t.equal(await rig.command(beside, release6), 'good')
  t.equal(await rig.write(b, 5), 'good')
})

t.test('registrations outlive every program, and an operator clears them', async (t) => {
  const rig = await started(t)
  const { cluster, a, b } = rig
  t.equal(await rig.register(a, 1), 'good')
  t.equal(await rig.out(a, { action: Action.RESERVE, type: Type.EA, key: 1 }), 'good')
  a.leg.close()
  await cluster.run(a.leg.ended)
  t.equal(await rig.write(b, 1), conflict)
  const { map } = await cluster.run(cluster.admin.clearReservations({ volume: 'v' }, 5_000))
  t.strictSame(map.shared?.state.reservations.registrations, [])
  t.equal(await rig.write(b, 2), 'good')
  const again = await cluster.run(cluster.admin.clearReservations({ volume: 'v' }, 5_000))
  t.equal(again.map.generation, map.generation, 'nothing to clear is no change')
})

t.test('what cannot close every server takes nothing away', async (t) => {
  const rig = await started(t)
  const { cluster, a, b } = rig
  t.equal(await rig.register(a, 1), 'good')
  t.equal(await rig.write(b, 1), 'good')
  await cluster.run(cluster.servers[1]!.stop())
  t.equal(await rig.out(a, { action: Action.RESERVE, type: Type.WE, key: 1 }), busy)
  t.equal(await rig.reservation(b), undefined)
  t.equal(describe(await cluster.run(b.write(0, 8, 2).answer)), 'good', 'opened again')
  await cluster.run(cluster.servers[1]!.start())
  t.equal(await rig.out(a, { action: Action.RESERVE, type: Type.WE, key: 1 }), 'good')
  t.equal(await rig.write(b, 3), conflict)
})

t.test('modes and the medium are shared as well', async (t) => {
  const rig = await started(t)
  const { cluster, a, b } = rig
  const sense = Buffer.from('1a080a00ff00', 'hex')
  const submitted = a.leg.submit({ lun: 0, cdb: sense, dataInBytes: 255 })
  const answer = await cluster.run(submitted.answer)
  if (answer.kind !== 'status') throw new Error(describe(answer))
  const list = Buffer.concat(answer.dataIn)
  list[0] = 0
  list[2] = 0
  list[4] = list[4]! & 0x3f
  const wasSet = (list[6]! & 0x04) !== 0
  t.equal(wasSet, false, 'fixed format by default')
  list[6] = list[6]! | 0x04
  const cdb = Buffer.from([0x15, 0x10, 0, 0, list.length, 0])
  const selected = a.leg.submit({ lun: 0, cdb, dataOut: [list] })
  t.equal(describe(await cluster.run(selected.answer)), 'good')
  t.equal(await rig.command(b, Buffer.alloc(6)), 'sense 6/2a/1')
  t.equal(await rig.command(a, Buffer.alloc(6)), 'good', 'who did it knows')
  const wrong = await cluster.run(b.command(Buffer.from('ff0000000000', 'hex')).answer)
  t.equal(wrong.kind === 'status' && wrong.sense?.[0], 0x72, 'descriptor format at the other')
})
