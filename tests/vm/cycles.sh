#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Many times the same: connect and disconnect, a path added and removed under
# load, the policy switched while IO runs, modules loaded and unloaded. Nothing
# may grow. Environment: AI=Y|N, CYCLES (connects), PATHS (added and removed), SECS (of
# switching policies), DEPTH (of the queue: the more, the longer a connect takes), RATE (of the
# load), SLAB_KIB (what may remain: a debug kernel keeps freed memory for a while, and has
# kmemleak to tell).

. /lab/lib/guest.sh
. /lab/lib/rnbd.sh
. /lab/lib/trouble.sh
AI=${AI:-Y} CYCLES=${CYCLES:-100} PATHS=${PATHS:-20} SECS=${SECS:-5} DEPTH=${DEPTH:-128} SLAB_KIB=${SLAB_KIB:-2048}
export RATE=${RATE:-400}
SERVER=(always_invalidate="$AI" sess_queue_depth="$DEPTH")

modprobe brd rd_nr=2 rd_size=32768 || bail "ram disks"
check "two hosts, two paths, modules" trouble_setup 2 "${SERVER[@]}" || bail "no network"

# --- connect, disconnect -------------------------------------------------------------
round() { clt_map cyc /dev/ram0 "${1:-1}" && rnbd_unmap "$RNBD_DEV"; }
rounds() {
	local i
	for ((i = 0; i < $1; i++)); do
		round $((1 + i % 2)) || {
			note "round $i"
			return 1
		}
	done
}
# The server ends its side when it hears of the client's; that takes a moment.
settled() { wait_until 20 eval '! ls -d '"$SRV_CLASS"'/*/ 2>/dev/null | grep -q .'; }
check "warm up" rounds $((CYCLES < 6 ? CYCLES : 6))
check "the server has forgotten them" settled
# What is made once, and stays, is made in the first half. A leak grows on.
slab=$(slab_kib)
check "$CYCLES times connect and disconnect" rounds "$CYCLES"
check "the server has forgotten them all" settled
used=$(used_kib)
check "and once more as many" rounds "$CYCLES"
check "the server has forgotten them, too" settled
used_now=$(used_kib) slab_now=$(slab_kib)
note "slab $slab -> $slab_now KiB, memory in the second half $used -> $used_now KiB"
check "no growth in slab" test $((slab_now - slab)) -lt "$SLAB_KIB"
check "no growth in memory" test $((used_now - used)) -lt "$SLAB_KIB"
check "no leak" kmemleak_scan

# --- a path, again and again -----------------------------------------------------------
check "map over one path" clt_map cyc /dev/ram0 1
disk=$RNBD_DEV session=$CLT_CLASS/cyc
[ -b "/dev/$disk" ] || bail "no disk appeared"
load_start "/dev/$disk" 24
second="ip:10.0.1.2@ip:10.0.1.1"
add_remove() {
	local i
	for ((i = 0; i < $1; i++)); do
		# The server may still be closing the one before, and refuses another one until then.
		wait_until 10 clt_write "$session/add_path" "$second" || { note "add_path $i: $(cat /tmp/clt_write.err)"; return 1; }
		path_is cyc 1 connected || { note "round $i: path not connected"; return 1; }
		# Some paths get to do something, some do not.
		[ $((i % 3)) != 0 ] || sleep 0.05
		case $((i % 4)) in
		0) clt_write "$(path_dir cyc 1)/disconnect" 1 ;;
		1) clt_write "$(path_dir cyc 1)/reconnect" 1 ;;
		2) in_srv bash -c 'echo 1 >"$0"' "$(srv_path_dir cyc 1)/disconnect" ;;
		esac
		clt_write "$(path_dir cyc 1)/remove_path" 1 || { note "remove_path $i: $(cat /tmp/clt_write.err)"; return 1; }
		path_is cyc 1 gone || { note "round $i: the directory is still there"; return 1; }
		load_alive || return 1
	done
}
check "add and remove" add_remove 3
slab=$(slab_kib)
check "$PATHS times add a path and remove it under load" add_remove "$PATHS"
check_write "the same path twice" EEXIST "$session/add_path" "ip:10.0.0.2@ip:10.0.0.1"
note "slab $slab -> $(slab_kib) KiB"
check "no growth in slab" test $(($(slab_kib) - slab)) -lt "$SLAB_KIB"

# --- policies ----------------------------------------------------------------------
check "a second path" clt_write "$session/add_path" "$second"
switch_policies() {
	local end=$((SECONDS + $1)) policy
	while [ "$SECONDS" -lt "$end" ]; do
		for policy in rr mi ml round-robin MIN-INFLIGHT min-latency 0 1 2; do
			echo "$policy" >"$session/mpath_policy" || return 1
			sleep 0.05
		done
	done
}
check "IO moves" io_moves "$disk" 10
check "the policy changes every 50 ms for $SECS s" switch_policies "$SECS"
check "IO still moves" io_moves "$disk" 10
# A reset in the middle of it all must not upset the choice of paths.
for i in 0 1; do
	[ ! -w "$(path_dir cyc $i)/stats/reset_all" ] || check "reset the statistics of path $i" clt_write "$(path_dir cyc $i)/stats/reset_all" 1
done
check "IO moves on" io_moves "$disk" 10
check "no error and no miscompare" load_stop
for i in 0 1; do
	[ ! -r "$(path_dir cyc $i)/stats/rdma" ] ||
		check_eq "path $i has nothing in flight" 0 "$(awk '{ print $5 }' "$(path_dir cyc $i)/stats/rdma")"
done

# --- remove the last path, and come back --------------------------------------------------
check "remove one path" clt_write "$(path_dir cyc 1)/remove_path" 1
check "remove the last path, too" clt_write "$(path_dir cyc 0)/remove_path" 1
check "the disk says so" wait_until 10 grep -qx closed "/sys/block/$disk/rnbd/state"
check "a new path to a session without" clt_write "$session/add_path" "ip:10.0.0.2@ip:10.0.0.1"
check "the disk is open again" wait_until 20 grep -qx open "/sys/block/$disk/rnbd/state"
check "and carries data" fio_verify "/dev/$disk" 2 --size=4m --iodepth=4
check "unmap" rnbd_unmap "$disk"

# --- modules ---------------------------------------------------------------------------
unload_alive() {
	local i
	for ((i = 0; i < $1; i++)); do
		clt_map alive /dev/ram1 2 || return 1
		# The server goes first, with the session alive; then the disk, whose server is gone.
		in_srv modprobe -r rnbd_server || return 1
		rnbd_unmap "$RNBD_DEV" || return 1
		in_clt modprobe -r rnbd_client || return 1
		in_srv modprobe rtrs_server "${SERVER[@]}" && in_srv modprobe rnbd_server &&
			in_clt modprobe rnbd_client || return 1
	done
}
check "the server unloads with sessions alive" unload_alive 2
check "map" clt_map last /dev/ram0 2
check "the client unloads with an unused disk" in_clt modprobe -r rnbd_client
check "unload" unload_all
check "no leak at all" kmemleak_scan
summary
