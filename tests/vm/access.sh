#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Who may open a device: the access modes in all orders, what a mapping for a migration leaves
# behind, a writer that loses its session, partitions and other spellings, and what the log says
# of a refusal. One VM, both roles. Environment: MODES, the modes that are tried in all orders;
# IMPL=rust|c, whose modules these are.

. /lab/lib/guest.sh
. /lab/lib/rnbd.sh
SRV=/sys/class/rnbd-server/ctl/devices
MODES=${MODES:-ro rw migration} IMPL=${IMPL:-rust}
ours() { [ "$IMPL" = rust ]; }

check "network" setup_loopback_rxe
modprobe brd rd_nr=3 rd_size=65536 max_part=8 || bail "ram disks"
check "modules" modprobe -a rnbd_server rnbd_client
# They keep the sessions while other devices come and go.
for s in a b c; do check "session $s" rnbd_map $s /dev/ram1 access_mode=ro; done
check_eq "a reader" "ro 1 /dev/ram1" "$(cat $SRV/ram1/sessions/c/{access_mode,read_only,mapping_path} | paste -sd' ')"
check_eq "the client's side of it" ro "$(cat "/sys/block/$RNBD_DEV/rnbd/access_mode")"
check_eq "readers without limit" "a b c" "$(find $SRV/ram1/sessions -mindepth 1 -printf '%f\n' -prune | sort | paste -sd' ')"

# --- in all orders -------------------------------------------------------------------------
# Three sessions open one device one after the other; the rules of the specification say who
# may: ro always, rw as the only writer, migration as the first or second.
wrong=0 tried=0 refused=0
# may MODE WRITERS: what the rules say, if so many others have it open for writing.
may() {
	case $1$2 in
	rw0 | migration[01] | ro*) echo ok ;;
	*) echo EPERM ;;
	esac
}
# open_as SESSION MODE: opens it and compares the answer; a new disk's name is added to `mapped`.
open_as() {
	local want got before
	want=$(may "$2" "$writers")
	before=$(rnbd_list)
	got=$(write_error $RNBD_CTL/map_device "sessname=$1 device_path=/dev/ram0 access_mode=$2")
	tried=$((tried + 1))
	if [ "$got" != "$want" ]; then
		wrong=$((wrong + 1))
		note "session $1 as $2 beside $writers writers gave $got instead of $want"
	fi
	if [ "$got" != ok ]; then
		refused=$((refused + 1))
		return
	fi
	mapped+=("$(comm -13 <(echo "$before") <(rnbd_list))")
	[ "$2" = ro ] || writers=$((writers + 1))
	[ "$(cat "$SRV/ram0/sessions/$1/access_mode")" = "$2" ] || wrong=$((wrong + 1))
}
# close_all DISK...: then nobody has the device.
close_all() {
	local disk
	for disk in "$@"; do rnbd_unmap "$disk" || wrong=$((wrong + 1)); done
	wait_until 10 test ! -e $SRV/ram0 || wrong=$((wrong + 1))
}
for x in $MODES; do for y in $MODES; do for z in $MODES; do
	writers=0 mapped=()
	open_as a "$x" && open_as b "$y" && open_as c "$z"
	close_all "${mapped[@]}"
done; done; done
check_eq "the access rules in all orders ($tried opens, $refused refused)" 0 $wrong

# --- when the first of two has gone ----------------------------------------------------------
# What a writer leaves behind is a count: rw has to wait until it is zero.
wrong=0 tried=0 refused=0
for first in rw migration; do for next in $MODES; do for last in $MODES; do
	writers=0 mapped=()
	open_as a $first && open_as b migration
	rnbd_unmap "${mapped[0]}" || wrong=$((wrong + 1))
	writers=1
	open_as a "$next" && open_as c "$last"
	close_all "${mapped[@]:1}"
done; done; done
check_eq "the rules after the first has gone ($tried opens, $refused refused)" 0 $wrong
check "and rw is taken again when nobody is left" rnbd_map a /dev/ram0

# --- a writer that loses its session -----------------------------------------------------------
disk=$RNBD_DEV state=/sys/block/$RNBD_DEV/rnbd/state
path=$(echo /sys/class/rtrs-client/a/paths/*)
echo 1 >"$path/disconnect"
check "the writer has no path" wait_until 20 grep -qx closed "$state"
check "its mapping is gone from the server" wait_until 20 test ! -e $SRV/ram0
check "another client becomes the writer" rnbd_map b /dev/ram0
other=$RNBD_DEV
dd if=/dev/urandom of=/tmp/data bs=64k count=16 status=none
dd if=/tmp/data of="/dev/$other" bs=64k oflag=direct conv=notrunc status=none
echo 1 >"$path/reconnect"
check "the first has a path again" wait_until 60 grep -qx connected "$path/state"
check_write "but may not have the device" EPERM "/sys/block/$disk/rnbd/remap_device" 1
sleep 3
check_eq "its disk stays closed" closed "$(cat "$state")"
check_fails "and writes nothing" dd if=/dev/zero of="/dev/$disk" bs=64k count=16 oflag=direct conv=notrunc status=none
check_eq "the other is the only one on the server" b "$(ls $SRV/ram0/sessions)"
check "its data is there" cmp -n 1048576 "/dev/$other" /tmp/data
check "it goes" rnbd_unmap "$other"
# Ours may have opened it by itself before.
remap() {
	local answer
	answer=$(write_error "/sys/block/$disk/rnbd/remap_device" 1)
	[ "$answer" = ok ] || [ "$answer" = EALREADY ]
}
check "the first can be the writer again" remap
check_eq "it is" "open rw" "$(cat "$state" $SRV/ram0/sessions/a/access_mode | paste -sd' ')"
check "it writes" dd if=/dev/zero of="/dev/$disk" bs=64k count=16 oflag=direct conv=notrunc status=none
check "unmap" rnbd_unmap "$disk"

# --- disk and partitions, spellings, refusals and their reasons ------------------------------------
# row DESCRIPTION ERRNO OPTIONS REASON: a mapping that is refused; ours logs the reason.
row() {
	local reason=$4
	ours || reason=
	map_refused "$1" "$2" "$3" "$reason"
}
printf 'size=16MiB\nsize=16MiB\n' | sfdisk -q /dev/ram2 >/dev/null 2>&1
check "partitions" wait_until 10 test -b /dev/ram2p2
# The log takes ten such lines in five seconds.
sleep 6
check "a writes a partition" rnbd_map a /dev/ram2p1
# For C a disk and its partitions have nothing to do with each other.
! ours || row "b may not write the disk" EPERM "sessname=b device_path=/dev/ram2" "(held by session a as rw)"
check "b may write another partition" rnbd_map b /dev/ram2p2
if ours; then
	row "c may not write the disk either" EPERM "sessname=c device_path=/dev/ram2 access_mode=migration" "two sessions have it open for writing"
fi
check "c may read the disk" rnbd_map c /dev/ram2 access_mode=ro
ln -sf /dev/ram2p1 /tmp/link
row "a second writer by another name" EPERM "sessname=c device_path=/tmp/link" "held by session a as rw"
# A server of C never answers this.
! ours || row "one device twice in one session" EEXIST "sessname=a device_path=/tmp/link" "under another name"
row "no such file" ENOENT "sessname=a device_path=/dev/none" "no such file below dev_search_path"
row "two dots" EINVAL "sessname=a device_path=/dev/../dev/ram0" "'..' in it"
row "not a block device" ENOTBLK "sessname=a device_path=/dev/null" "neither a block device nor a regular file"
truncate -s 1M /tmp/plain
row "a file that nobody asked for as such" ENOTBLK "sessname=a device_path=/tmp/plain" "export_files=Y"
sleep 6
blockdev --setro /dev/ram0
row "writing to a read-only backend" EACCES "sessname=a device_path=/dev/ram0" "the backend is read-only; map it ro"
blockdev --setrw /dev/ram0
for d in $(rnbd_list); do check "unmap $d" rnbd_unmap "$d"; done
check "unload" rmmod rnbd_client rnbd_server rtrs_client rtrs_server rtrs_core
check "no leak" kmemleak_scan
summary
