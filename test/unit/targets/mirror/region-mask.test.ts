/** The set of regions, against a Set of numbers. */
import fc from 'fast-check'
import t from 'tap'
import { RegionMask } from '../../../../targets/mirror/region-mask.ts'

t.test('bits, counts and bytes are those of a set of numbers', async (t) => {
  const step = fc.record({
    what: fc.constantFrom('set', 'clear', 'range', 'union', 'resize', 'bytes'),
    at: fc.nat(99),
    more: fc.nat(40),
  })
  const check = (start: number, steps: { what: string; at: number; more: number }[]): void => {
    const mask = new RegionMask(start)
    let model = new Set<number>()
    let regions = start
    const inside = (region: number): boolean => region < regions
    for (const { what, at, more } of steps) {
      const range = Array.from({ length: more }, (_, index) => at + index).filter(inside)
      if (what === 'set' && inside(at)) {
        mask.set(at)
        model.add(at)
      } else if (what === 'clear') {
        mask.clear(at)
        model.delete(at)
      } else if (what === 'range') {
        mask.setRange(at, Math.max(at, Math.min(at + more, regions)))
        for (const region of range) model.add(region)
      } else if (what === 'union') {
        // A longer buffer than the mask: the rest of it is not there.
        mask.union(maskOf(range, 160).toBuffer())
        for (const region of range) model.add(region)
      } else if (what === 'resize') {
        regions = at
        mask.resize(regions)
        model = new Set([...model].filter(inside))
      } else if (what === 'bytes') {
        const firstByte = Math.floor(at / 8)
        mask.replaceBytes(firstByte, Buffer.from([more]))
        for (let bit = 0; bit < 8; bit++) {
          const region = firstByte * 8 + bit
          if (inside(region) && more & (1 << bit)) model.add(region)
          else model.delete(region)
        }
      }
    }
    const sorted = [...model].sort((left, right) => left - right)
    if (JSON.stringify([...mask]) !== JSON.stringify(sorted)) throw new Error('other regions')
    if (mask.count !== model.size) throw new Error(`count ${mask.count}, not ${model.size}`)
    const copy = [...RegionMask.fromBuffer(mask.toBuffer(), regions)]
    if (JSON.stringify(copy) !== JSON.stringify(sorted)) throw new Error('another copy')
    for (let first = 0; first < regions; first += 7) {
      const end = Math.min(regions, first + 9)
      const all = sorted.filter((region) => region >= first && region < end).length === end - first
      if (mask.hasAll(first, end) !== all) throw new Error(`hasAll ${first} to ${end}`)
    }
  }
  fc.assert(fc.property(fc.nat(99), fc.array(step, { maxLength: 30 }), check), { numRuns: 500 })
  t.pass()
})

t.test('region 0 is bit 0 of byte 0', async (t) => {
  const mask = maskOf([0, 9, 15], 20)
  t.equal(mask.toBuffer().toString('hex'), '018200')
  t.equal(mask.bytes(1, 4).toString('hex'), '82000000', 'past the end there are no bits')
  t.throws(() => mask.set(20), /region 20 of 20/)
  t.notOk(mask.has(20))
  t.notOk(mask.has(1000))
})

function maskOf(set: readonly number[], regions: number): RegionMask {
  const mask = new RegionMask(regions)
  for (const region of set) mask.set(region)
  return mask
}
