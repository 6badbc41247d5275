/** Proofs of an initiator's life: what counts, from which moment, and when a NOP-In is not sent. */
import t from 'tap'
import { portal } from '../../../src/base/limits.ts'
import { Pinger } from '../../../src/portal/pinger.ts'
import { ManualClock } from '../../support/manual-clock.ts'

function rig() {
  const clock = new ManualClock()
  const sent: number[] = []
  const state = { soliciting: false }
  const pinger = new Pinger({
    clock,
    send: (tag) => sent.push(tag),
    soliciting: () => state.soliciting,
  })
  return { clock, sent, state, pinger }
}

t.test('an acknowledged response proves life at the PDU before it', async (t) => {
  const { clock, pinger } = rig()
  await clock.advance(100)
  pinger.received(7, 7)
  await clock.advance(100)
  pinger.received(8, 8)
  t.equal(pinger.provenAtMs, Number.NEGATIVE_INFINITY, 'StatSN 7 was shown before as well')
  pinger.received(9, 9)
  t.equal(pinger.provenAtMs, 100)
  await clock.advance(100)
  pinger.received(9, 9)
  t.equal(pinger.provenAtMs, 100, 'it repeats what it has said')
  pinger.received(11, 11)
  t.equal(pinger.provenAtMs, 200)
})

t.test('the numbers wrap around', async (t) => {
  const { clock, pinger } = rig()
  pinger.received(0xffff_ffff, 0xffff_ffff)
  await clock.advance(5)
  pinger.received(1, 1)
  t.equal(pinger.provenAtMs, 0)
})

t.test('data for an R2T prove life when it was sent', async (t) => {
  const { clock, pinger } = rig()
  await clock.advance(10)
  pinger.requested(5)
  await clock.advance(10)
  pinger.requested(6)
  pinger.delivered(0xffff_ffff)
  pinger.delivered(6)
  t.equal(pinger.provenAtMs, Number.NEGATIVE_INFINITY, 'one is watched at a time')
  pinger.delivered(5)
  t.equal(pinger.provenAtMs, 10)
  pinger.requested(7)
  await clock.advance(portal.pingPutOffMs)
  pinger.requested(8)
  pinger.delivered(8)
  t.equal(pinger.provenAtMs, 20 + portal.pingPutOffMs, '7 was aborted and is watched no more')
})

t.test('a ping is put off while data are to come, and answered by them', async (t) => {
  const { clock, sent, state, pinger } = rig()
  await clock.advance(10)
  state.soliciting = true
  pinger.requested(1)
  const ping = pinger.ping()
  pinger.delivered(1)
  t.equal(pinger.provenAtMs, 10)
  await clock.advance(10)
  pinger.requested(2)
  pinger.delivered(2)
  t.equal(await ping, true, 'the R2T was sent after the ping was asked for, unlike the one before')
  await clock.advance(portal.pingPutOffMs)
  t.same(sent, [], 'no NOP-In was sent')

  const other = pinger.ping()
  await clock.advance(portal.pingPutOffMs)
  t.equal(sent.length, 1, 'but not for ever')
  t.equal(pinger.answered(sent[0]!), true)
  t.equal(await other, true)
  t.equal(pinger.answered(sent[0]!), false)
  const last = pinger.ping()
  pinger.end()
  t.equal(await last, false)
  await clock.advance(portal.pingPutOffMs)
  t.equal(sent.length, 1, 'nothing is sent after the end')
})

t.test('after distrust only what is sent from then on can prove anything', async (t) => {
  const { clock, sent, pinger } = rig()
  pinger.received(7, 7)
  pinger.requested(5)
  const before = pinger.ping()
  await clock.advance(10)
  pinger.distrust()
  pinger.received(9, 9)
  pinger.delivered(5)
  pinger.answered(sent[0]!)
  t.equal(await before, true, 'who asked is answered')
  t.equal(pinger.provenAtMs, Number.NEGATIVE_INFINITY)
  const after = pinger.ping()
  pinger.answered(sent[1]!)
  t.equal(await after, true)
  t.equal(pinger.provenAtMs, 10, 'in the same turn of the clock')
})
