/** `--lun FILE[=SIZE][,thin][,read-only][,removable][,block=…]`. */
import { resolve } from 'node:path'
import t from 'tap'
import { parseLun } from '../../../src/cli/lun-option.ts'

const plain = {
  path: resolve('disk.img'),
  sizeBytes: undefined,
  thin: false,
  readOnly: false,
  removable: false,
  blockBytes: 512,
}

t.test('what an option says', async (t) => {
  const rows = [
    ['disk.img', plain],
    ['disk.img=1GiB', { ...plain, sizeBytes: 2 ** 30 }],
    ['disk.img=1GiB,thin', { ...plain, sizeBytes: 2 ** 30, thin: true }],
    ['disk.img,read-only', { ...plain, readOnly: true }],
    ['disk.img,removable,thin', { ...plain, removable: true, thin: true }],
    ['disk.img=64MiB,block=4096', { ...plain, sizeBytes: 2 ** 26, blockBytes: 4096 }],
    ['disk.img,block=512', plain],
    [
      '/a,b=c.img=4KiB,block=4096',
      { ...plain, path: '/a,b=c.img', sizeBytes: 4096, blockBytes: 4096 },
    ],
    ['/with,comma', { ...plain, path: '/with,comma' }],
  ] as const
  for (const [text, wanted] of rows) t.strictSame(parseLun(text), wanted, text)
})

t.test('what makes no sense, by name', async (t) => {
  const rows = [
    ['', /"" is not FILE/],
    ['=1GiB', /is not FILE\[=SIZE\]/],
    [',thin', /",thin" is not FILE/],
    ['disk.img=5000,block=4096', /--lun disk.img.*not a multiple of 4096/s],
    ['disk.img,block=1024', /--lun disk.img: ",block=1024" is not ,block=512 or ,block=4096/],
    ['disk.img,block=512,block=4096', /",block=4096"/],
    ['disk.img=much', /--lun disk.img: "much" is not a size/],
  ] as const
  for (const [text, wanted] of rows) t.throws(() => parseLun(text), { message: wanted }, text)
})
