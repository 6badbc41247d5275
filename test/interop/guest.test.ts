/** Linux's own initiator, from discovery to logout, through the shim and on a plain target. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Cluster } from '../support/cluster.ts'
import { Guest } from '../support/guest/guest.ts'
import { PalisadeProcess } from '../support/palisade-process.ts'

/** What an administrator does with a new disk, and the checks that it kept what it was given. */
function fileSystemScript(portal: string, iqn: string): string {
  return `. /lib.sh
say discover
iscsiadm -m discovery -t sendtargets -p ${portal}
say log in
disk=$(attach ${portal} ${iqn})
say "disk $disk $(cat /sys/block/$(basename $disk)/device/vendor /sys/block/$(basename $disk)/device/model)"
say make and fill
mke2fs -q -t ext4 $disk
mount -t ext4 $disk /mnt
cp -r /etc /usr/sbin /mnt
dd if=/dev/urandom of=/mnt/random bs=64k count=64 2>/dev/null
(cd /mnt && find . -type f | sort | xargs sha256sum) > /tmp/sums
umount /mnt
say check
e2fsck -fn $disk
echo 3 > /proc/sys/vm/drop_caches
mount -t ext4 -o ro $disk /mnt
(cd /mnt && sha256sum -c /tmp/sums) > /tmp/compared || fail "$(grep -v OK /tmp/compared)"
say "$(grep -c OK /tmp/compared) files unchanged"
umount /mnt
say log out
iscsiadm -m node -p ${portal} -T ${iqn} --logout
iscsiadm -m session || say no session left
dmesg | grep -iE 'I/O error|detected conn error|timing out|EXT4-fs error' && fail kernel complaints
say all done
`
}

async function useDisk(t: Test, portal: string, iqn: string): Promise<void> {
  const guest = new Guest({ script: fileSystemScript(portal, iqn) })
  t.teardown(() => guest.kill())
  const { status, output, console } = await guest.ended
  t.equal(status, 0, 'exit status of the script')
  t.match(output, new RegExp(`${portal.replaceAll('.', '\\.')},1 ${iqn}`), 'SendTargets lists it')
  t.match(output, /disk \/dev\/sd[a-z] PALISADE/, 'the disk appears')
  t.match(output, /\d+ files unchanged/, 'files read back after a remount')
  t.match(output, /all done/, 'reaches its end')
  if (!t.passing()) t.comment(`${output}\n${console}`)
}

t.test('through the shim, on a volume striped over three servers', async (t) => {
  const cluster = await Cluster.start([
    ...['--servers', '3', '--capacity', '512MiB'],
    ...['--volume', 'disk=96MiB,stripe=3'],
  ])
  t.teardown(() => cluster.stop())
  const iqn = cluster.ready.volumes[0]?.iqn ?? ''
  await useDisk(t, cluster.ready.portal, iqn)
  t.equal(await cluster.stop(), 0, 'the cluster stops in order')
})

t.test('on a standalone target with a thin LUN', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'palisade-guest-lun-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  const lun = `${join(directory, 'lun')}=96MiB,thin`
  const args = ['target', '--standalone', '--portal', '127.0.0.1:0', '--lun', lun, '--json']
  const target = new PalisadeProcess(args)
  t.teardown(() => target.stop())
  const [line] = await target.output(/^\{.*"ready":true.*\}$/m)
  const ready = JSON.parse(line) as { iqn: string; portals: string[] }
  await useDisk(t, ready.portals[0] ?? '', ready.iqn)
  t.equal(await target.stop(), 0, 'the target stops in order')
})
