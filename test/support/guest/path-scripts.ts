/**
 * The script of a guest that reaches a disk over two paths with dm-multipath, and that is booted
 * twice: before the reboot the paths are cut and hung under load, after it the guest logs in by
 * what its node database says. The database lives on the guest's own disk, /dev/vda.
 */

/** Programs and plug-ins of this machine that the script needs. */
export const pathPrograms: readonly string[] = [
  '/usr/bin/fio',
  '/usr/sbin/multipath',
  '/usr/sbin/multipathd',
  '/usr/sbin/dmsetup',
  '/lib/multipath/libchecktur.so',
  '/lib/multipath/libprioconst.so',
  '/lib/multipath/libprioalua.so',
]
export const pathModules: readonly string[] = ['dm-multipath', 'dm-round-robin', 'dm-service-time']

/** No udev here: the one thing that multipath asks of it is put where it looks. */
export const multipathConfiguration = `defaults {
  find_multipaths no
  user_friendly_names no
  polling_interval 1
  max_polling_interval 1
  path_checker tur
  path_grouping_policy multibus
  path_selector "round-robin 0"
  no_path_retry queue
  skip_kpartx yes
  checker_timeout 3
}
`

export interface PathTarget {
  readonly iqn: string
  /** As the guest reaches them. */
  readonly portals: readonly [string, string]
  readonly user: { readonly name: string; readonly secret: string }
}

/** What the guest says when the test has to do something to a path. */
export const pathMarks = {
  cut: 'cut the first path',
  mend: 'mend the first path',
  hang: 'hang the second path',
  release: 'release the second path',
} as const

export function pathScript({ iqn, portals, user }: PathTarget): string {
  const [first, second] = portals
  return `. /lib.sh
IQN=${iqn}
mkdir -p /persist
mount -t ext4 /dev/vda /persist

# A path loses its commands 3 s after its connection, which a ping finds broken after 5 s.
settings() {
  sed -i -e 's/\\(replacement_timeout\\) = .*/\\1 = 3/' -e 's/\\(noop_out_interval\\) = .*/\\1 = 2/' \\
    -e 's/\\(noop_out_timeout\\) = .*/\\1 = 3/' /etc/iscsi/iscsid.conf
}
record() {
  iscsiadm -m node -T $IQN -p $1 -o new
  set_node() { iscsiadm -m node -T $IQN -p $3 -o update -n $1 -v "$2"; }
  set_node node.session.auth.authmethod CHAP $1
  set_node node.session.auth.username '${user.name}' $1
  set_node node.session.auth.password '${user.secret}' $1
  set_node node.startup automatic $1
}
# What udev would tell of the disks, and the map that multipathd makes of them.
start_multipath() {
  for session in /sys/class/iscsi_session/*; do disk_of $(basename $session) > /dev/null; done
  mkdir -p /run/udev/data
  for each in /sys/block/sd*; do
    wwid=3$(sed 's/^naa.//' $each/device/wwid)
    printf 'I:1\\nE:ID_SERIAL=%s\\nE:ID_WWN=%s\\n' $wwid $wwid > /run/udev/data/b$(cat $each/dev)
  done
  multipathd -d > /tmp/multipathd 2>&1 &
  for try in $(seq 300); do
    [ $(paths active) = 2 ] && break
    sleep 0.2
  done
  dmsetup mknodes
  disk=/dev/mapper/$wwid
  [ -b $disk ] || fail "no $disk: $(tail -30 /tmp/multipathd)"
}
paths() { multipathd show paths format '%d %t %T' 2>/dev/null | grep -c " $1 " || true; }
# until_paths COUNT: writes on while waiting until so many paths are active
until_paths() {
  for try in $(seq 600); do
    dd if=/dev/urandom of=/tmp/piece bs=64k count=1 2>/dev/null
    dd if=/tmp/piece of=$disk bs=64k seek=$((768 + try % 200)) oflag=direct 2>/dev/null || fail write
    dd if=$disk bs=64k skip=$((768 + try % 200)) count=1 iflag=direct 2>/dev/null |
      cmp - /tmp/piece || fail "read back after write $try"
    [ $(paths active) = $1 ] && return
    sleep 0.1
  done
  fail "not $1 paths: $(multipathd show paths; dmesg | tail -20)"
}
load() {
  fio --name=load --filename=$disk --ioengine=libaio --direct=1 --iodepth=8 --rw=randwrite \\
    --bsrange=4k-64k --offset=16M --size=6M --verify=crc32c --verify_fatal=1 --do_verify=1 \\
    --output=/tmp/fio || fail "$(cat /tmp/fio)"
  grep -q 'err= 0' /tmp/fio || fail "$(cat /tmp/fio)"
}

if [ ! -e /persist/nodes ]; then
  settings
  cp -r /etc/iscsi/* /persist
  mount -o bind /persist /etc/iscsi
  record ${first}
  record ${second}
  iscsiadm -m node --loginall=automatic
  start_multipath
  say two paths
  mke2fs -q -t ext4 $disk 14M
  mount -t ext4 $disk /mnt
  dd if=/dev/urandom of=/mnt/random bs=64k count=64 2>/dev/null
  (cd /mnt && sha256sum random) > /persist/sums
  load
  say ${pathMarks.cut}
  until_paths 1
  load
  say one path carried on
  say ${pathMarks.mend}
  until_paths 2
  say both paths again
  say ${pathMarks.hang}
  until_paths 1
  load
  say the other path carried on
  say ${pathMarks.release}
  until_paths 2
  load
  umount /mnt
  say reboot
  umount /etc/iscsi
  umount /persist
  reboot -f
fi

say second boot
mount -o bind /persist /etc/iscsi
iscsiadm -m node --loginall=automatic
say "$(ls /sys/class/iscsi_session | wc -l) sessions by themselves"
start_multipath
mount -t ext4 -o ro $disk /mnt
(cd /mnt && sha256sum -c /persist/sums) || fail the file has changed
umount /mnt
say all done
`
}
