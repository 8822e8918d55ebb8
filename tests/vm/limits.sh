#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Paths over adapters of different kinds, and a server whose parameters have become
# others: what a path may have is looked at anew for every path and every time that it
# connects. Network 0 has soft-RoCE as it is; on network 1 some ends are smaller
# (tests/vm/small). Environment: SECS (fio's time per run).

. /lab/lib/guest.sh
. /lab/lib/rnbd.sh
. /lab/lib/trouble.sh
SECS=${SECS:-1}

# adapters DEVICES MAX_QP_WR MAX_FAST_REG: from now on these are smaller, and no others.
adapters() {
	[ ! -d /sys/module/small_hca ] || rmmod small_hca || return 1
	[ -z "$1" ] || modprobe small_hca devices="$1" max_qp_wr="$2" max_fast_reg="$3" max_sge=2
}
none_refused() { [ "$(cat /sys/module/small_hca/parameters/refused)" = 0 ]; }
queue() { cat "/sys/block/$1/queue/$2"; }
# used SESSION I: reads and writes that have gone over path I (stats/rdma).
used() { awk '{ print $1 + $3 }' "$(path_dir "$1" "$2")/stats/rdma"; }
# A request that a path cannot carry takes it down and goes over the other one, so nobody else sees it.
both_used() { [ "$(used "$1" 0)" -gt 20 ] && [ "$(used "$1" 1)" -gt 20 ] && paths_up "$1" 2; }
add_path() { in_clt write_error "$CLT_CLASS/$1/add_path" "ip:10.0.$2.2@ip:10.0.$2.1"; }
unmapped() { rnbd_unmap "$1" && wait_until 10 test ! -e "$CLT_CLASS/$2"; }
# server DEPTH MODE: the server is loaded anew, with other parameters.
server() {
	in_srv rmmod rnbd_server && in_srv rmmod rtrs_server &&
		in_srv modprobe rtrs_server sess_queue_depth="$1" always_invalidate="$2" && in_srv modprobe rnbd_server
}

modprobe brd rd_nr=1 rd_size=65536 || bail "ram disk"
check "two hosts, two paths, modules" trouble_setup 2 sess_queue_depth=96 || bail "no network"
disk=''

# --- the client's adapter --------------------------------------------------------------
# 17 pages hold 64 KiB that begin anywhere.
check "a smaller adapter on the client's second path" adapters clt1 50 17
check "map over both at once" clt_map both /dev/ram0 2 || bail "no disk"
disk=$RNBD_DEV
check_eq "the disk is made for the smaller: segments" 16 "$(queue "$disk" max_segments)"
check_eq "and KiB of a request" 64 "$(queue "$disk" max_hw_sectors_kb)"
check "fio verify" fio_verify "/dev/$disk" "$SECS"
check "over both paths, and both are still there" both_used both
check "the smaller adapter was asked for no more than it has" none_refused
check "unmap" unmapped "$disk" both

check "map over the larger one alone" clt_map large /dev/ram0 1
disk=$RNBD_DEV
check_eq "the disk has all it can have" 128 "$(queue "$disk" max_hw_sectors_kb)"
dmesg_mark smaller
check_eq "the smaller adapter cannot join" EINVAL "$(add_path large 1)"
check "the log says why" eval "dmesg_since smaller | grep -q 'takes 16 pieces of memory at once, where 128 were promised'"
check_eq "and nothing of it stays" "" "$(path_dir large 1)"
check "the other path goes on" fio_verify "/dev/$disk" "$SECS"
check "unmap" unmapped "$disk" large

in_clt write_error "$RNBD_CTL/map_device" "sessname=small path=ip:10.0.1.2@ip:10.0.1.1 device_path=/dev/ram0" >/tmp/map.out
check_eq "map over the smaller one alone" ok "$(cat /tmp/map.out)"
disk=$(rnbd_list)
check_eq "the larger one can join" ok "$(add_path small 0)"
check "the smaller one connects again" clt_write "$(path_dir small 1)/reconnect" 1
check "both paths are up" wait_until 10 paths_up small 2
check "fio verify" fio_verify "/dev/$disk" "$SECS"
check "over both paths, and both are still there" both_used small
check "the smaller adapter was asked for no more than it has" none_refused
check "unmap" unmapped "$disk" small

# --- the server's adapter ----------------------------------------------------------------
# A chunk of 128 KiB and its headers has 33 pages: a region for each here, for several there.
for mode in Y N; do
	check "$mode: a smaller adapter on the server's second path" adapters srv1 50 40
	check "$mode: the server" server 96 "$mode"
	check "$mode: map over the larger one" clt_map srv /dev/ram0 1
	disk=$RNBD_DEV
	check_eq "$mode: the smaller one can join" ok "$(add_path srv 1)"
	check_eq "$mode: requests of 128 KiB all the same" 128 "$(queue "$disk" max_hw_sectors_kb)"
	check "$mode: fio verify" fio_verify "/dev/$disk" "$SECS"
	check "$mode: over both paths, and both are still there" both_used srv
	check "$mode: the smaller adapter was asked for no more than it has" none_refused
	check "$mode: unmap" unmapped "$disk" srv
done
check "adapters as they were" adapters ''

# --- a server that has become another -------------------------------------------------------
check "map over both" clt_map same /dev/ram0 2
disk=$RNBD_DEV
# other DEPTH MODE WHAT
said_other() { dmesg_since "other $1" | grep -q 'the server has other parameters than before; map its devices anew'; }
other() {
	check "$3: the server comes back with it" server "$1" "$2"
	check "$3: the paths are lost" wait_until 30 eval '! path_is same 0 connected && ! path_is same 1 connected'
	dmesg_mark "other $1 $2"
	check_fails "$3: no path takes it" eval 'path_poke same 0 || path_poke same 1'
	check "$3: the log says so" said_other "$1 $2"
	check_fails "$3: nothing can be read" dd if="/dev/$disk" of=/dev/null bs=4k count=1 iflag=direct status=none
}
other 64 N "a smaller depth"
other 128 N "a larger depth"
other 96 Y "other keys"
check "the server as it was" server 96 N
check "a path comes back" path_back same 0 60
check "and the other one" path_back same 1 60
check "the disk is open again" wait_until 20 grep -qx open "/sys/block/$disk/rnbd/state"
check "fio verify" fio_verify "/dev/$disk" "$SECS"
check "unmap" unmapped "$disk" same
check "unload" unload_all
summary
