import fc from 'fast-check'
import t from 'tap'
import { approximateSize, formatSize, parseSize } from '../../../src/cli/size.ts'

const rule = { field: '--size', multipleOfBytes: 512 } as const

t.test('binary, decimal and plain sizes', async (t) => {
  const rows: [string, number][] = [
    ['512', 512],
    ['64KiB', 65_536],
    ['1MiB', 2 ** 20],
    ['10GiB', 10 * 2 ** 30],
    ['1.5 GiB', 1.5 * 2 ** 30],
    ['2TiB', 2 * 2 ** 40],
    ['512kB', 512_000],
    ['16MB', 16_000_000],
    ['1TB', 1e12],
  ]
  for (const [text, bytes] of rows) t.equal(parseSize(text, rule), bytes, text)
})

t.test('errors name the field, the input and what is accepted', async (t) => {
  const rows: [string, RegExp][] = [
    ['', /^--size: "" is not a size.*KiB, MiB, GiB, TiB/],
    ['ten', /is not a size/],
    ['-1', /is not a size/],
    ['1PiB', /is not a size/],
    ['1gib', /is not a size/],
    ['1e3', /is not a size/],
    ['0x200', /is not a size/],
    ['1000', /^--size: "1000" is 1000 bytes, not a multiple of 512; the nearest is 1024$/],
    ['513kB', /not a multiple of 512/],
    ['0', /too small: at least 512/],
    ['100', /too small: at least 512/],
    ['9007199254740993', /below 2\^53/],
    ['9000000TiB', /below 2\^53/],
    ['0.3KiB', /not a whole number/],
  ]
  for (const [text, message] of rows) {
    t.throws(() => parseSize(text, rule), { name: 'StorageError', code: 'invalid', message }, text)
  }
  const least = { ...rule, atLeastBytes: 64 * 2 ** 20 }
  t.throws(() => parseSize('1MiB', least), { message: /at least 64MiB/ })
})

t.test('what formatSize writes, parseSize reads', async (t) => {
  const blocks = fc.integer({ min: 1, max: 2 ** 43 })
  fc.assert(
    fc.property(blocks, (count) => {
      const bytes = count * 512
      return parseSize(formatSize(bytes), rule) === bytes
    }),
  )
  t.equal(formatSize(64 * 1024), '64KiB')
  t.equal(formatSize(1000), '1000')
  t.equal(approximateSize(1536 * 2 ** 30), '1.5 TiB')
  t.equal(approximateSize(999), '999 B')
})
