/**
 * The script of a guest with a file system on a mirrored volume, under load while the test kills
 * servers. It asks by marks, and goes on when the test has put a file of that name where the guest
 * finds it: in the volume there is no such place, so it looks at the size of a second disk.
 */

/** What the guest says when the test has to do something; each grows the second volume by 1 MiB. */
export const mirrorMarks = {
  first: 'kill the first primary',
  second: 'kill the other one',
} as const

/** `signals`: a volume whose growth tells the guest that the test has done its part. */
export function mirrorLoad(signals: string, sizeMib: number): string {
  return `iscsiadm -m node -p $PORTAL -T ${signals} -o new
signal=$(basename $(attach $PORTAL ${signals}))
# done_by_now MIB: goes on writing until the second disk has grown to this size
done_by_now() {
  for try in $(seq 900); do
    iscsiadm -m session --rescan > /dev/null
    [ $(cat /sys/block/$signal/size) = $(($1 * 2048)) ] && return
    sleep 0.2
  done
  fail "not told for too long: $(dmesg | tail -20)"
}
load() {
  fio --name=$1 --directory=/mnt --ioengine=libaio --direct=1 --iodepth=8 --rw=randrw \\
    --bsrange=4k-64k --size=12M --verify=crc32c --verify_fatal=1 --do_verify=1 --fsync=32 \\
    --loops=$2 --output=/tmp/fio-$1 || fail "$(cat /tmp/fio-$1)"
  grep -q 'err= 0' /tmp/fio-$1 || fail "$(cat /tmp/fio-$1)"
}
say file system
mke2fs -q -t ext4 $disk 64M
mount -t ext4 $disk /mnt
load before 1
load during 12 &
during=$!
say ${mirrorMarks.first}
done_by_now ${sizeMib + 1}
say the first primary was killed and is back
say ${mirrorMarks.second}
done_by_now ${sizeMib + 2}
wait $during || fail load
say load verified over both
load after 1
(cd /mnt && sha256sum after.0.0) > /tmp/sums
umount /mnt
e2fsck -fn $disk || fail fsck
mount -t ext4 -o ro $disk /mnt
(cd /mnt && sha256sum -c /tmp/sums) || fail the file has changed
umount /mnt
iscsiadm -m node -p $PORTAL -T ${signals} --logout
`
}
