/** The shell side of the guest: its init, the functions a script may use, and iscsid's settings. */

/**
 * Loads the modules, brings the network up and starts iscsid, then runs /script.sh with its output
 * on the first virtio port and its exit status on the second; the console is the kernel's.
 *
 * The host's loopback is 10.0.2.2 in qemu's user network. Targets announce 127.0.0.1 portals, which
 * would be the guest itself: so the guest gives up its own 127/8 and routes it to the host.
 */
export function guestInit(modules: readonly string[]): string {
  return `#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
/bin/busybox mkdir -p /bin /sbin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs run /run
mkdir -p /run/lock/iscsi
${modules.map((path) => `insmod ${path}`).join('\n')}
ip link set lo up
ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0
ip addr del 127.0.0.1/8 dev lo
for each in all lo eth0; do echo 1 > /proc/sys/net/ipv4/conf/$each/route_localnet; done
ip route add default via 10.0.2.2
ip route add 127.0.0.0/8 via 10.0.2.2 src 10.0.2.15
iscsid -f &
until grep -q ISCSIADM_ABSTRACT_NAMESPACE /proc/net/unix; do sleep 0.05; done
output=$(grep -l output /sys/class/virtio-ports/*/name); output=/dev/$(basename $(dirname $output))
status=$(grep -l status /sys/class/virtio-ports/*/name); status=/dev/$(basename $(dirname $status))
sh /script.sh > $output 2>&1
echo $? > $status
sync
poweroff -f
`
}

/** Begin a script with `. /lib.sh`. */
export const guestLibrary = `set -eu
# busybox's shell prefers its own applet
mke2fs() { /usr/sbin/mke2fs "$@"; }
say() { echo "== $*"; }
fail() { echo "FAILED: $*"; exit 1; }
# attach PORTAL IQN [IFACE]: logs in and prints the disk's device
attach() {
  iscsiadm -m node -p "$1" -T "$2" -I "\${3:-default}" --login >&2
  disk_of $(ls /sys/class/iscsi_session | sort -V | tail -1)
}
# disk_of SESSION: waits for the disk of a session and prints its device
disk_of() {
  for try in $(seq 300); do
    disk=$(ls -d /sys/class/iscsi_session/$1/device/target*/*/block/* 2>/dev/null | head -1)
    [ -n "$disk" ] && echo /dev/$(basename $disk) && return
    sleep 0.1
  done
  fail "no disk of $1 after 30 s"
}
# range FIRST COUNT DEVICE: these MiB of the disk itself
range() { dd if=$3 bs=1M skip=$1 count=$2 iflag=direct 2>/dev/null; }
# fill FIRST COUNT DEVICE: noise in these MiB, kept in /tmp/noise
fill() {
  dd if=/dev/urandom of=/tmp/noise bs=1M count=$2 2>/dev/null
  dd if=/tmp/noise of=$3 bs=1M seek=$1 oflag=direct 2>/dev/null
}
# refused WHAT COMMAND...: the command must fail
refused() {
  what=$1; shift
  if "$@" > /tmp/refused 2>&1; then fail "$what was possible"; fi
  say "refused: $what"
}
no_complaints() {
  if dmesg | grep -iE 'I/O error|detected conn error|timing out|EXT4-fs error'; then
    fail kernel complaints
  fi
}
`

export const iscsidConfiguration = `iscsid.startup = /bin/true
node.startup = manual
node.session.timeo.replacement_timeout = 30
node.conn[0].timeo.login_timeout = 15
node.conn[0].timeo.logout_timeout = 15
node.conn[0].timeo.noop_out_interval = 5
node.conn[0].timeo.noop_out_timeout = 10
node.session.err_timeo.abort_timeout = 15
node.session.err_timeo.lu_reset_timeout = 30
node.session.err_timeo.tgt_reset_timeout = 30
node.session.initial_login_retry_max = 8
node.session.cmds_max = 128
node.session.queue_depth = 32
node.session.iscsi.InitialR2T = No
node.session.iscsi.ImmediateData = Yes
node.session.iscsi.FirstBurstLength = 262144
node.session.iscsi.MaxBurstLength = 16776192
node.conn[0].iscsi.MaxRecvDataSegmentLength = 262144
discovery.sendtargets.iscsi.MaxRecvDataSegmentLength = 32768
node.session.nr_sessions = 1
node.session.iscsi.FastAbort = Yes
node.session.scan = auto
`
