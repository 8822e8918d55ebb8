#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The client's side of an interop run; interop_server.sh is the other.
# Environment: SECS, fio's time; CLIENT=rust|c, whose modules these are.

. /lab/lib/guest.sh
. /lab/lib/rnbd.sh
SECS=${SECS:-20}

check "network" setup_pair_rxe
loop=$(wait_for ready 120) || bail "the server is ready"
check "the server answers" wait_until 20 ping -c 1 -W 1 10.0.0.1
check "rnbd_client loads" modprobe rnbd_client
# Soft-RoCE between two machines that have just booted loses a connect now and then, and all
# its repetitions with it, with the C modules on both ends too; then a second attempt must do.
# Whatever else goes wrong is not asked twice.
lost=0
map_patiently() {
	local said=/run/map.said
	dmesg_mark "map-$1"
	rnbd_map "$@" 2>"$said" && return
	cat "$said"
	grep -qE 'Connection timed out|No route to host' "$said" ||
		dmesg_since "map-$1" | grep -q 'CM event: unreachable' || return
	lost=$((lost + 1))
	note "this connect was lost; once more"
	rnbd_map "$@"
}
check "map" map_patiently inter /dev/ram0
disk=$RNBD_DEV
[ -b "/dev/$disk" ] || bail "no disk appeared"
# The upstream client's default policy now and then finds no path where there is one,
# and fails a request; round-robin does not.
[ "${CLIENT:-rust}" = rust ] || echo rr >/sys/class/rtrs-client/inter/mpath_policy
# Soft-RoCE between two emulated machines loses packets when both are starved; there is
# no second path to go to, so the load stays moderate.
check "fio verify, mixed" fio_verify "/dev/$disk" "$SECS" --iodepth=8 --numjobs=2 --size=50% --offset_increment=50%
check "map a second device on the session" rnbd_map inter "$loop"
second=$RNBD_DEV
dd if=/dev/urandom of="/dev/$second" bs=1M count=8 oflag=direct status=none
check "flush" dd if=/dev/zero of="/dev/$second" bs=4k count=1 conv=fsync,notrunc status=none
check "discard" blkdiscard -o 1M -l 1M "/dev/$second"
check "discarded blocks read as zeroes" cmp -n 1048576 -i 1048576:0 "/dev/$second" /dev/zero
check "write zeroes" blkdiscard -z -o 4M -l 1M "/dev/$second"
check "zeroed blocks read as zeroes" cmp -n 1048576 -i 4194304:0 "/dev/$second" /dev/zero
# --- what the peers have not agreed on ---------------------------------------------------------
# Only a server of ours has told a client of ours what the device is called.
agreed() { [ -n "$(cat "/sys/block/$second/rnbd/identity" 2>/dev/null)" ]; }
if [ "${CLIENT:-rust}" = rust ] && ! agreed; then
	# A path that is not there: whoever asked the server would be told so.
	map_refused "a server of C is not asked for fileio" EOPNOTSUPP "sessname=inter device_path=/dev/none io_mode=fileio" \
		"this server knows no io_mode=fileio"
	check_eq "the disks have what it does" blockio "$(cat "/sys/block/$second/rnbd/io_mode")"
fi
sectors() { [ "$(blockdev --getsz "/dev/$second")" = "$1" ]; }
path=$(echo /sys/class/rtrs-client/inter/paths/*)
signal grow
check "the device grows on the server" wait_for grown 60
if agreed; then
	check "the disk follows" wait_until 5 sectors 163840
else
	reconnects=$(cat "$path/stats/reconnects")
	sleep 2
	check "the disk does not hear of it" sectors 131072
	check_eq "and the path does not suffer" "connected $reconnects" "$(cat "$path/state" "$path/stats/reconnects" | paste -sd' ')"
	echo 1 >"$path/reconnect"
	check "a new connection brings the new size" wait_until 90 sectors 163840
	check "both disks are open" wait_until 30 eval "grep -qx open /sys/block/$second/rnbd/state && grep -qx open /sys/block/$disk/rnbd/state"
fi
check "the new end can be written" dd if=/dev/zero of="/dev/$second" bs=1M seek=79 count=1 oflag=direct conv=notrunc status=none
check "unmap both" eval "rnbd_unmap $second && rnbd_unmap $disk"
check "map again over IPv6" map_patiently six /dev/ram0 path=ip:fd00::1
check "read" dd if="/dev/$RNBD_DEV" of=/dev/null bs=64k count=64 iflag=direct status=none
signal mapped
check "the server has gone" wait_for unloaded 120
check "the disk notices" wait_until 60 grep -qx closed "/sys/block/$RNBD_DEV/rnbd/state"
check_fails "and IO fails" dd if="/dev/$RNBD_DEV" of=/dev/null bs=4k count=1 iflag=direct status=none
check "unmap a disk without a server" rnbd_unmap "$RNBD_DEV"
check "rnbd_client unloads" rmmod rnbd_client
note "connects that were lost: $lost of 2"
check "not every first connect is lost" [ "$lost" -lt 2 ]
signal end
summary
