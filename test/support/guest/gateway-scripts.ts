/**
 * The script of a guest that reaches a disk through two gateways with dm-multipath, which asks for
 * their access states (ALUA), while the test kills the active one under load.
 */
import { pathModules, pathPrograms } from './path-scripts.ts'

export const gatewayPrograms: readonly string[] = pathPrograms
export const gatewayModules: readonly string[] = pathModules

export const gatewayMultipath = `defaults {
  find_multipaths no
  user_friendly_names no
  polling_interval 1
  max_polling_interval 1
  path_checker tur
  path_grouping_policy group_by_prio
  prio alua
  detect_prio no
  failback immediate
  path_selector "round-robin 0"
  no_path_retry queue
  skip_kpartx yes
  checker_timeout 3
}
`

/** What the guest says when the test has to kill the active gateway. */
export const killGateway = 'kill the active gateway'

export function gatewayScript(portal: string, iqn: string): string {
  return `. /lib.sh
IQN=${iqn}
sed -i -e 's/\\(replacement_timeout\\) = .*/\\1 = 3/' -e 's/\\(noop_out_interval\\) = .*/\\1 = 2/' \\
  -e 's/\\(noop_out_timeout\\) = .*/\\1 = 3/' /etc/iscsi/iscsid.conf
say discover
iscsiadm -m discovery -t sendtargets -p ${portal}
iscsiadm -m node -T $IQN --login
for session in /sys/class/iscsi_session/*; do disk_of $(basename $session) > /dev/null; done
mkdir -p /run/udev/data
for each in /sys/block/sd*; do
  wwid=3$(sed 's/^naa.//' $each/device/wwid)
  printf 'I:1\\nE:ID_SERIAL=%s\\nE:ID_WWN=%s\\n' $wwid $wwid > /run/udev/data/b$(cat $each/dev)
done
multipathd -d > /tmp/multipathd 2>&1 &
# states STATE: how many paths the checker finds in it; a standby path is a ghost
states() { multipathd show paths format '%d %t %T' 2>/dev/null | grep -c " $1 *$" || true; }
until_both() {
  for try in $(seq 900); do
    [ $(states ready) = 1 ] && [ $(states ghost) = 1 ] && return
    sleep 0.2
  done
  fail "not one path ready and one in standby: $(multipathd show paths; tail -30 /tmp/multipathd)"
}
for try in $(seq 300); do
  [ $(($(states ready) + $(states ghost))) = 2 ] && break
  sleep 0.2
done
dmsetup mknodes
disk=/dev/mapper/$wwid
[ -b $disk ] || fail "no $disk: $(tail -30 /tmp/multipathd)"
mke2fs -q -t ext4 $disk 48M
mount -t ext4 $disk /mnt
until_both
say one path active, one in standby
load() {
  fio --name=$1 --directory=/mnt --ioengine=libaio --direct=1 --iodepth=4 --rw=randrw \\
    --bsrange=4k-64k --size=8M --verify=crc32c --verify_fatal=1 --do_verify=1 --fsync=32 \\
    --loops=$2 --output=/tmp/fio-$1 || fail "$(cat /tmp/fio-$1)"
  grep -q 'err= 0' /tmp/fio-$1 || fail "$(cat /tmp/fio-$1)"
}
load during 10 &
during=$!
say ${killGateway}
wait $during || fail load
say load verified through the other
until_both
say both paths again
load after 1
(cd /mnt && sha256sum after.0.0) > /tmp/sums
umount /mnt
e2fsck -fn $disk || fail fsck
mount -t ext4 -o ro $disk /mnt
(cd /mnt && sha256sum -c /tmp/sums) || fail the file has changed
umount /mnt
if dmesg | grep -E 'EXT4-fs error|I/O error.* dm-|timing out'; then fail kernel complaints; fi
say all done
`
}

/** What the guest says when the test has to stop the gateway of its only path. */
export const stopGateway = 'stop the gateway'

/** Two sessions that are both asked for at one gateway, and then a load over a single path. */
export function redirectScript(portal: string, iqn: string): string {
  return `. /lib.sh
IQN=${iqn}
iscsiadm -m discovery -t sendtargets -p ${portal} > /dev/null
iscsiadm -m node -T $IQN -p ${portal} -o update -n node.session.nr_sessions -v 2
iscsiadm -m node -T $IQN -p ${portal} --login
portals() { iscsiadm -m session -P 1 | sed -n 's/.*Current Portal: *//p' | sort -u | wc -l; }
[ $(portals) = 2 ] || fail "not two portals: $(iscsiadm -m session -P 1)"
say two sessions at two gateways
iscsiadm -m session -r 2 --logout
disk=$(disk_of session1)
# The kernel has looked for partitions on the path in standby.
dmesg -c > /dev/null
fio --name=load --filename=$disk --ioengine=libaio --direct=1 --iodepth=4 --rw=randrw \\
  --bsrange=4k-64k --size=2M --verify=crc32c --verify_fatal=1 --do_verify=1 --loops=6 \\
  --output=/tmp/load &
load=$!
sleep 2
say ${stopGateway}
wait $load || fail "$(cat /tmp/load)"
grep -q 'err= 0' /tmp/load || fail "$(cat /tmp/load)"
grep ' clat ' /tmp/load
if dmesg | grep -E 'I/O error|timing out'; then fail kernel complaints; fi
say all done
`
}
