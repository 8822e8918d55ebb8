#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Unmapping with force: under IO, with a mounted file system, with a server that does not answer.
# One VM, both roles. Environment: IMPL=rust|c; a C client waits for IO in flight, so what
# hangs on purpose is left out for it, and so is unloading while disks are being unmapped.

. /lab/lib/guest.sh
. /lab/lib/rnbd.sh
IMPL=${IMPL:-rust}

check "network" setup_loopback_rxe
modprobe brd rd_nr=10 rd_size=65536 && modprobe -a dm-mod dm-delay || bail "backends"
dmsetup create slow --table "0 131072 delay /dev/ram0 0 100" || bail "a slow device"
# The node of the kernel: nobody here makes those in /dev/mapper for sure.
slow=/dev/dm-0
check "modules" modprobe -a rnbd_server rnbd_client

# load DISK: 32 requests in flight, as long as they succeed.
load() {
	fio --name=load --filename="/dev/$1" --direct=1 --ioengine=libaio --rw=randrw --bs=4k --iodepth=32 --size=16m \
		--time_based --runtime=120 --output=/tmp/load >/dev/null 2>&1 &
	load=$!
	sleep 2
}
# many DISK: the requests in flight are those of the load. They end together and begin anew, so at
# some moments there are few.
many() { [ "$(awk '{ print $1 + $2 }' "/sys/block/$1/inflight")" -ge 30 ]; }
gone() { [ ! -e "/sys/block/$1" ] && [ ! -e "/dev/$1" ]; }

# --- requests in flight, and somebody who keeps the disk open ------------------------------------------
check "map" rnbd_map f "$slow"
disk=$RNBD_DEV rnbd=/sys/block/$RNBD_DEV/rnbd
load "$disk"
check "IO is in flight" kill -0 $load
exec 7<"/dev/$disk"
check_eq "normal is refused" EBUSY "$(write_error "$rnbd/unmap_device" normal)"
check "30 requests or more are in flight" wait_until 10 many "$disk"
note "$(cat "/sys/block/$disk/inflight")"
started=$SECONDS
check_eq "force is not" ok "$(write_error "$rnbd/unmap_device" force)"
note "it took $((SECONDS - started)) s"
check "it returned soon" test $((SECONDS - started)) -lt 20
check "its entries are gone when write returns" gone "$disk"
check "so is the link" test -z "$(ls $RNBD_CTL/devices)"
check_fails "the load fails" wait $load
check_eq "who has it open reads nothing any more" 0 "$(dd bs=4k count=1 iflag=direct status=none <&7 2>/dev/null | wc -c)"
check_fails "unloading is refused while it is open" rmmod rnbd_client
check "map again" rnbd_map f "$slow"
again=$RNBD_DEV
check "it works" dd if="/dev/$again" of=/dev/null bs=4k count=8 iflag=direct status=none
exec 7<&-
check "the old one is gone after the last close" test "$(rnbd_list)" = "$again"
check "unmap" rnbd_unmap "$again"

# --- a mounted file system -----------------------------------------------------------------------------
check "map" rnbd_map f "$slow"
disk=$RNBD_DEV
mkfs.ext4 -q -F "/dev/$disk" && mkdir -p /mnt && mount "/dev/$disk" /mnt || bail "a file system"
dd if=/dev/urandom of=/mnt/kept bs=1M count=8 conv=fsync status=none
sum=$(sha256sum </mnt/kept)
# Blocks that are there already, so that no write waits for the journal.
dd if=/dev/zero of=/mnt/load bs=1M count=16 conv=fsync status=none
fio --name=load --filename=/mnt/load --direct=1 --ioengine=libaio --rw=randwrite --bs=4k --iodepth=32 --size=16m \
	--time_based --runtime=120 --output=/tmp/load >/dev/null 2>&1 &
load=$!
dd if=/dev/zero of=/mnt/dirty bs=1M count=16 status=none
sleep 3
check "30 requests or more are in flight" wait_until 10 many "$disk"
note "$(cat "/sys/block/$disk/inflight")"
started=$SECONDS
check_eq "force" ok "$(write_error "/sys/block/$disk/rnbd/unmap_device" force)"
note "it took $((SECONDS - started)) s"
check "it returned soon" test $((SECONDS - started)) -lt 20
check "its entries are gone when write returns" gone "$disk"
check_fails "the load fails" wait $load
check_fails "writing to the file system fails" dd if=/dev/zero of=/mnt/more bs=4k count=1 conv=fsync status=none
check "it can be unmounted" umount /mnt
check "map again" rnbd_map f "$slow"
check "the journal makes it whole" sh -c "e2fsck -fy /dev/$RNBD_DEV >/tmp/fsck 2>&1; [ \$? -le 1 ]"
check "mount" mount "/dev/$RNBD_DEV" /mnt
check_eq "what was durable is there" "$sum" "$(sha256sum </mnt/kept)"
umount /mnt
check "unmap" rnbd_unmap "$RNBD_DEV"

# --- a server that does not answer any more -------------------------------------------------------------------
if [ "$IMPL" = rust ]; then
	check "map" rnbd_map f "$slow"
	disk=$RNBD_DEV rnbd=/sys/block/$RNBD_DEV/rnbd
	check "map another disk of the session" rnbd_map f /dev/ram2
	other=$RNBD_DEV
	echo 4 >"$rnbd/io_timeout"
	load "$disk"
	dmsetup suspend --nolockfs --noflush slow
	sleep 1
	started=$SECONDS
	check_eq "force" ok "$(write_error "$rnbd/unmap_device" force)"
	note "it took $((SECONDS - started)) s"
	check "it returned" test $((SECONDS - started)) -lt 40
	check_fails "the load fails" wait $load
	dmsetup resume slow
	echo 1 >"$(echo /sys/class/rtrs-client/f/paths/*)/reconnect" 2>/dev/null
	check "the other disk works again" wait_until 60 sh -c "dd if=/dev/$other of=/dev/null bs=4k count=1 iflag=direct status=none 2>/dev/null"
	check "map again" wait_until 20 rnbd_map f "$slow"
	for d in $(rnbd_list); do check "unmap $d" rnbd_unmap "$d"; done

	# Requests that wait for a path do not hold up anybody either.
	check "map" rnbd_map f /dev/ram2
	disk=$RNBD_DEV rnbd=/sys/block/$RNBD_DEV/rnbd
	echo -1 >"$rnbd/no_path_timeout"
	load "$disk"
	rmmod rnbd_server
	check "no path" wait_until 20 grep -qx closed "$rnbd/state"
	check "the load waits" kill -0 $load
	started=$SECONDS
	check_eq "force" ok "$(write_error "$rnbd/unmap_device" force)"
	check "it returned soon" test $((SECONDS - started)) -lt 10
	check_fails "the load fails" wait $load
	modprobe rnbd_server
fi

# --- unloading while disks are being unmapped --------------------------------------------------------------
# Whoever unmaps a disk removes the file he writes to, which fails once the module is going; the
# module's exit removes the file, too, and waits for who writes to it.
over() {
	local pid
	for pid in "$@"; do ! kill -0 "$pid" 2>/dev/null || return 1; done
}
gate=/run/gate said=/run/said
: >$gate
# unmap_at_gate DISK: waits for the gate; its answer is in the file of the disk.
unmap_at_gate() {
	flock -s $gate true
	write_error "/sys/block/$1/rnbd/unmap_device" normal >$said/"$1"
}
# unload_round PAUSE FIRST: ten disks, unmapped so many seconds after rmmod began (FIRST=rmmod), or
# before (FIRST=unmap).
unload_round() {
	local i disk all=0 pids=() answers
	rm -rf $said && mkdir $said
	for ((i = 0; i < 10; i++)); do rnbd_map unload "/dev/ram$i" && all=$((all + 1)); done
	check_eq "$2 first, then $1 s: ten disks" 10 "$all"
	exec 8>$gate
	flock 8
	for disk in $(rnbd_list); do
		unmap_at_gate "$disk" 8>&- &
		pids+=("$!")
	done
	# They come to the gate.
	sleep 1
	[ "$2" = rmmod ] || { flock -u 8 && sleep "$1"; }
	rmmod rnbd_client 2>/run/rmmod 8>&- &
	pids+=("$!")
	[ "$2" = unmap ] || sleep "$1"
	exec 8>&-
	wait_until 90 over "${pids[@]}" || {
		echo w >/proc/sysrq-trigger
		bail "everybody comes to an end"
	}
	answers=$(cat $said/* | sort | uniq -c | awk '{ print $2 ": " $1 }' | paste -sd' ')
	note "$answers; rmmod: $(cat /run/rmmod)"
	check_eq "each is answered" 10 "$(find $said -type f -size +0 | wc -l)"
	# ENOENT: the directory is gone. EACCES: the file is gone, its directory not yet, and the shell
	# asks for a new file, which sysfs does not make.
	check_eq "as it should" "" "$(cat $said/* | grep -vxE 'ok|ENODEV|EALREADY|ENOENT|EACCES')"
	# It is refused while somebody is unmapping a disk.
	[ ! -d /sys/module/rnbd_client ] || wait_until 30 rmmod rnbd_client
	check_fails "the module is unloaded" test -d /sys/module/rnbd_client
	check_eq "no disk is left" "" "$(rnbd_list)"
	modprobe rnbd_client
}
if [ "$IMPL" = rust ]; then
	for row in "0 unmap" "0 rmmod" "0.02 rmmod" "0.1 rmmod" "0.3 rmmod"; do
		# shellcheck disable=SC2086  # Two words.
		unload_round $row
	done
fi
dmsetup remove slow
check "unload" rmmod rnbd_client rnbd_server rtrs_client rtrs_server rtrs_core
check "no leak" kmemleak_scan
summary
