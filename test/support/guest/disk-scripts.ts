/**
 * What a Linux does with an iSCSI disk, as parts of a guest's script. Each part ends by saying so
 * or ends the script; `$disk` is the device, PORTAL and IQN are set by `useTarget`.
 */

/** Programs of this machine that the parts call. */
export const diskPrograms: readonly string[] = [
  '/usr/bin/fio',
  '/usr/sbin/blkdiscard',
  '/usr/bin/sg_compare_and_write',
  '/usr/bin/sg_xcopy',
  '/usr/bin/sg_persist',
]

export function useTarget(portal: string, iqn: string): string {
  return `. /lib.sh
PORTAL=${portal}
IQN=${iqn}
say discover
iscsiadm -m discovery -t sendtargets -p $PORTAL
`
}

/** Logs in with both digests, and asks the kernel whether it uses them. */
export const attachWithDigests = `say log in with digests
for each in HeaderDigest DataDigest; do
  iscsiadm -m node -p $PORTAL -T $IQN -o update -n "node.conn[0].iscsi.$each" -v CRC32C
done
disk=$(attach $PORTAL $IQN)
name=$(basename $disk)
say "disk $disk $(cat /sys/block/$name/device/vendor /sys/block/$name/device/model)"
for connection in /sys/class/iscsi_connection/*; do
  say "digests $(cat $connection/header_digest) $(cat $connection/data_digest)"
done
`

export const fileSystem = `say make and fill
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
`

export const randomLoad = `say random load
fio --name=load --filename=$disk --ioengine=libaio --direct=1 --iodepth=16 --rw=randrw \\
  --bsrange=512-256k --offset=8M --size=24M --verify=crc32c --verify_fatal=1 --do_verify=1 \\
  --output=/tmp/fio || fail "$(cat /tmp/fio)"
grep -q 'err= 0' /tmp/fio || fail "$(cat /tmp/fio)"
say random load verified
`

export const discard = `say discard
fill 40 8 $disk
range 40 8 $disk | cmp - /tmp/noise || fail what was written is not there
blkdiscard -o $((41 * 1048576)) -l $((6 * 1048576)) $disk
range 41 6 $disk | cmp -n $((6 * 1048576)) - /dev/zero || fail discarded blocks are not zero
dd if=/dev/zero of=/tmp/noise bs=1M seek=1 count=6 conv=notrunc 2>/dev/null
range 40 8 $disk | cmp - /tmp/noise || fail the blocks beside have changed
say discarded blocks read as zeros
`

export const compareAndWrite = `say compare and write
block() { dd if=$disk bs=512 skip=100000 count=1 iflag=direct 2>/dev/null; }
block > /tmp/old
dd if=/dev/urandom of=/tmp/new bs=512 count=1 2>/dev/null
cat /tmp/old /tmp/new > /tmp/both
sg_compare_and_write --in=/tmp/both --lba=100000 --num=1 $disk || fail compare and write
block | cmp - /tmp/new || fail nothing was written
status=0
sg_compare_and_write --in=/tmp/both --lba=100000 --num=1 $disk 2> /tmp/said || status=$?
[ $status = 14 ] || fail "not a miscompare: $status $(cat /tmp/said)"
block | cmp - /tmp/new || fail a miscompare wrote
say compared and written once
`

export const thirdPartyCopy = `say copy
fill 48 4 $disk
generic=/dev/$(ls /sys/block/$name/device/scsi_generic)
sg_xcopy if=$generic of=$generic bs=512 skip=$((48 * 2048)) seek=$((56 * 2048)) count=8192 \\
  > /tmp/said 2>&1 || fail "$(cat /tmp/said)"
range 56 4 $disk | cmp - /tmp/noise || fail the copy differs
say copied by the target
`

/** Two initiators at one disk: the second logs in under another name. */
export const reservations = `say reservations
iscsiadm -m iface -I second -o new
iscsiadm -m iface -I second -o update -n iface.initiatorname -v iqn.2026-11.org.example:second
iscsiadm -m node -p $PORTAL -T $IQN -I second -o new
other=$(attach $PORTAL $IQN second)
write() { dd if=/dev/urandom of=$1 bs=4k seek=15000 count=1 oflag=direct conv=notrunc; }
read_one() { dd if=$1 of=/dev/null bs=4k skip=15000 count=1 iflag=direct; }
pr() { sg_persist "$@" > /tmp/said 2>&1 || fail "sg_persist $*: $(cat /tmp/said)"; }
pr --out --register --param-sark=0xa1 $disk
pr --out --register --param-sark=0xb2 $other
pr --in --read-keys $other
[ $(grep -ciE '0x(a1|b2)$' /tmp/said) = 2 ] || fail "keys: $(cat /tmp/said)"
pr --out --reserve --param-rk=0xa1 --prout-type=1 $disk
write $disk 2>/dev/null || fail the holder cannot write
refused "a write of the other initiator" write $other
read_one $other 2>/dev/null || fail the other cannot read
refused "a release of what the other holds" \\
  sg_persist --out --reserve --param-rk=0xb2 --prout-type=3 $other
pr --out --preempt --param-rk=0xb2 --param-sark=0xa1 --prout-type=3 $other
pr --in --read-reservation $other
grep -qi 'Key=0xb2' /tmp/said || fail "reservation: $(cat /tmp/said)"
grep -q 'Exclusive Access' /tmp/said || fail "reservation: $(cat /tmp/said)"
write $other 2>/dev/null || fail the new holder cannot write
refused "a read of the preempted initiator" read_one $disk
pr --out --clear --param-rk=0xb2 $other
write $disk 2>/dev/null || { write $disk; } || fail nobody can write after the clear
iscsiadm -m node -p $PORTAL -T $IQN -I second --logout
say reservations held
`

/** Says when it waits; the volume has to grow to `bytes` then. */
export function onlineGrow(bytes: number): string {
  return `say waiting for ${bytes} bytes
for try in $(seq 600); do
  iscsiadm -m session --rescan > /dev/null
  [ $(cat /sys/block/$name/size) = ${bytes / 512} ] && break
  sleep 0.1
done
[ $(cat /sys/block/$name/size) = ${bytes / 512} ] || fail "size $(cat /sys/block/$name/size)"
fill ${bytes / 1048576 - 2} 2 $disk
range ${bytes / 1048576 - 2} 2 $disk | cmp - /tmp/noise || fail the end of the grown disk
say grown while in use
`
}

export const detach = `say log out
iscsiadm -m node -p $PORTAL -T $IQN --logout
iscsiadm -m session || say no session left
`
export const allDone = `say all done
`

export interface ChapUser {
  readonly name: string
  readonly secret: string
  readonly mutualName: string
  readonly mutualSecret: string
}

/** Right and wrong secrets, both ways, with every algorithm that open-iscsi has. */
export function chap(portal: string, iqn: string, user: ChapUser): string {
  return `say chap
set_auth() { iscsiadm -m node -p ${portal} -T ${iqn} -o update -n node.session.auth.$1 -v "$2"; }
try_login() {
  status=0
  iscsiadm -m node -p ${portal} -T ${iqn} --login > /tmp/said 2>&1 || status=$?
  say "login $1: $status"
  [ $status != 0 ] || iscsiadm -m node -p ${portal} -T ${iqn} --logout > /dev/null
}
iscsiadm -m node -p ${portal} -T ${iqn} -o new
try_login without
set_auth authmethod CHAP
set_auth username '${user.name}'
set_auth password 'not the secret of it'
try_login wrong
set_auth password '${user.secret}'
for each in MD5 SHA1 SHA256 SHA3-256; do
  set_auth chap_algs $each
  try_login $each
done
set_auth username_in '${user.mutualName}'
set_auth password_in '${user.mutualSecret}'
try_login mutual
set_auth password_in 'not the secret of it'
try_login wrong-mutual
`
}
