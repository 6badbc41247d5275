import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import {
  clusterAddresses,
  clusterFileName,
  frontEnds,
  readCluster,
  writeCluster,
} from '../../../src/cli/up/cluster-file.ts'
import { freeAddresses, whyNotFree } from '../../../src/cli/up/free-address.ts'
import { planCluster } from '../../../src/cli/up/plan-cluster.ts'
import { parseVolumeOption, parseVolumeOptions } from '../../../src/cli/up/volume-option.ts'

function drawing(): () => Promise<string> {
  let port = 20_000
  return async () => `127.0.0.1:${port++}`
}

t.test('a first start draws an address for everything, each once', async (t) => {
  const cluster = await planCluster(undefined, { capacityBytes: 1 }, drawing())
  t.same(
    cluster.servers.map((server) => server.name),
    ['server-1', 'server-2', 'server-3'],
  )
  t.ok(cluster.servers.every((server) => server.portals.length === 2))
  const addresses = clusterAddresses(cluster).map(({ address }) => address)
  t.equal(new Set(addresses).size, addresses.length)
  t.equal(addresses.length, 2 + 3 * 3 + 2)
})

t.test('a later start keeps what is there, adds servers, refuses the rest', async (t) => {
  const asked = { portal: '127.0.0.1:3260', servers: 2, capacityBytes: 1 }
  const first = await planCluster(undefined, asked, drawing())
  t.equal(first.shim.portal, '127.0.0.1:3260')
  t.same(await planCluster(first, { capacityBytes: 9 }, drawing()), first, 'nothing asked')
  t.same(await planCluster(first, asked, drawing()), first, 'the same asked')
  const more = await planCluster(first, { servers: 4, capacityBytes: 9 }, drawing())
  t.same(more.servers.slice(0, 2), first.servers)
  t.same(
    more.servers.slice(2).map(({ name, capacityBytes }) => [name, capacityBytes]),
    [
      ['server-3', 9],
      ['server-4', 9],
    ],
  )
  await t.rejects(planCluster(first, { servers: 1, capacityBytes: 1 }, drawing()), {
    code: 'conflict',
    message: /--servers 1: this directory has 2 servers/,
  })
  await t.rejects(planCluster(first, { portal: '127.0.0.1:1', capacityBytes: 1 }, drawing()), {
    code: 'conflict',
    message: /--portal 127.0.0.1:1: .* 127.0.0.1:3260/,
  })
})

t.test('gateways in place of the shim: the first is where the shim was', async (t) => {
  const capacityBytes = 1
  const draw = drawing()
  const plain = await planCluster(undefined, { capacityBytes }, draw)
  t.same(
    frontEnds(plain).map(({ role, name, group }) => [role, name, group]),
    [['shim', 'shim', undefined]],
  )
  const two = await planCluster(plain, { gateways: 2, capacityBytes }, draw)
  const fronts = frontEnds(two)
  t.same(
    fronts.map(({ role, name, group }) => [role, name, group]),
    [
      ['gateway', 'gateway-1', 2],
      ['gateway', 'gateway-2', 3],
    ],
  )
  t.same(fronts[0]?.portals, [plain.shim.portal])
  const addresses = clusterAddresses(two).map(({ address }) => address)
  t.equal(new Set(addresses).size, addresses.length)
  t.same(await planCluster(two, { capacityBytes }, draw), two, 'nothing asked')
  const three = await planCluster(two, { gateways: 3, capacityBytes }, draw)
  t.same(frontEnds(three).slice(0, 2), fronts, 'more are added')
  await t.rejects(planCluster(two, { gateways: 1, capacityBytes }, draw), {
    code: 'conflict',
    message: /--gateways 1: this directory has 2/,
  })
  const directory = mkdtempSync(join(tmpdir(), 'palisade-gateways-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  await writeCluster(directory, two)
  t.same(await readCluster(directory), two)
})

t.test('a second portal and the users may come later, and stay', async (t) => {
  const capacityBytes = 1
  const first = await planCluster(undefined, { capacityBytes }, drawing())
  t.same(Object.keys(first.shim), ['portal', 'status'])
  const secondPortal = '127.0.0.1:3261'
  const asked = { portal: first.shim.portal, secondPortal, chap: '/users', capacityBytes }
  const more = await planCluster(first, asked, drawing())
  t.same(more.shim, { ...first.shim, secondPortal, chap: '/users' })
  t.same(await planCluster(undefined, { secondPortal, chap: '/users', capacityBytes }, drawing()), {
    ...first,
    shim: more.shim,
  })
  t.same(clusterAddresses(more).at(-2), { owner: 'shim', address: secondPortal })
  t.same(await planCluster(more, { capacityBytes }, drawing()), more, 'nothing asked')
  const everybody = await planCluster(more, { chap: null, capacityBytes }, drawing())
  t.same(everybody.shim, { ...first.shim, secondPortal })
  const other = { portal: first.shim.portal, secondPortal: '127.0.0.1:1', capacityBytes }
  await t.rejects(planCluster(more, other, drawing()), { code: 'conflict', message: /:3261/ })
})

t.test('the file of a cluster', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'palisade-cluster-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  t.equal(await readCluster(directory), undefined)
  const cluster = await planCluster(undefined, { capacityBytes: 65536 }, drawing())
  await writeCluster(directory, cluster)
  t.same(await readCluster(directory), cluster)
  for (const damaged of ['', '{', '{}', 'null', '{"manager":{},"servers":[],"shim":{}}']) {
    writeFileSync(join(directory, clusterFileName), damaged)
    await t.rejects(readCluster(directory), { code: 'not-a-store', message: /is damaged/ }, damaged)
  }
})

t.test('volumes on the command line', async (t) => {
  const plain = { blockBytes: 512, removable: false, readOnly: false }
  t.same(parseVolumeOption('v1=1GiB'), { name: 'v1', sizeBytes: 2 ** 30, ...plain })
  const sizeBytes = 4 * 2 ** 20
  t.same(parseVolumeOption('a-b=4MiB,stripe=3'), { name: 'a-b', sizeBytes, stripe: 3, ...plain })
  const other = { blockBytes: 4096, removable: true, readOnly: true }
  t.same(parseVolumeOption('v=4MiB,read-only,block=4096,stripe=2,removable'), {
    ...{ name: 'v', sizeBytes, stripe: 2 },
    ...other,
  })
  t.match(parseVolumeOption('v=4MiB,stripe=2,unit=128KiB'), { stripeUnitBytes: 131_072 })
  t.match(parseVolumeOption('v=4MiB,stripe=2,mirror=3'), { stripe: 2, mirror: 3 })
  const rows: [string, RegExp][] = [
    ['v1=4MiB,unit=128KiB', /--volume v1: unit: the volume has no stripes/],
    ['v1=4MiB,stripe=2,unit=100KiB', /--volume v1: unit: "100KiB" is 102400 bytes, not a multiple/],
    ['v1', /"v1" is not NAME=SIZE\[,stripe=N\[,unit=SIZE\]\]\[,mirror=N\]/],
    ['v1=1GiB,mirror', /is not NAME=SIZE/],
    ['v1=1GiB,mirror=5', /--volume v1: mirror: "5" is not a whole number, 1 to 4/],
    ['v1=1GiB,removable=1', /is not NAME=SIZE/],
    ['v1=1GiB,stripe', /is not NAME=SIZE/],
    ['v1=1GiB,', /is not NAME=SIZE/],
    ['v1=1GiB,stripe=2,stripe=2', /"stripe" twice/],
    ['v1=1GiB,block=1024', /--volume v1: block "1024" is not 512 or 4096/],
    ['v1=512,block=4096', /--volume v1: size: "512" is too small/],
    ['v1=4608,block=4096', /not a multiple of 4096/],
    ['V1=1GiB', /name "V1": 1 to 63 of a-z/],
    ['=1GiB', /name ""/],
    ['v1=1000', /--volume v1: size: "1000" is 1000 bytes, not a multiple/],
    ['v1=1GiB,stripe=1', /--volume v1: stripe: "1" is not a whole number, 2 to 64/],
    ['v1=1GiB,stripe=x', /--volume v1: stripe/],
  ]
  for (const [text, message] of rows) {
    t.throws(() => parseVolumeOption(text), { code: 'invalid', message }, text)
  }
  t.throws(() => parseVolumeOptions(['a=1MiB', 'b=1MiB', 'a=2MiB']), {
    message: /"a" is given twice/,
  })
})

t.test(
  'free addresses: below the range of outgoing connections, never the same twice',
  async (t) => {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    t.teardown(() => server.close())
    const address = server.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    t.equal(await whyNotFree(`127.0.0.1:${port}`), 'EADDRINUSE')
    const draw = freeAddresses([])
    const drawn = [await draw(), await draw(), await draw()]
    t.equal(new Set(drawn).size, 3)
    for (const one of drawn) {
      t.ok(Number(one.split(':')[1]) < 32_768, one)
      t.equal(await whyNotFree(one), undefined)
    }
  },
)
