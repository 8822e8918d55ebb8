#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# All paths at once: the server is unloaded and loaded again, cut off, or throws its
# client out, under verified load on two disks that wait. The server starts to count its
# devices anew each time, so a request that names a device of former days would show.
# Then the limits: disks that do not wait, and disks that wait so long. Environment: AI=Y|N,
# ROUNDS (of all kinds).

. /lab/lib/guest.sh
. /lab/lib/rnbd.sh
. /lab/lib/trouble.sh
AI=${AI:-Y} ROUNDS=${ROUNDS:-1}

modprobe brd rd_nr=2 rd_size=32768 || bail "ram disks"
check "two hosts, two paths, modules" trouble_setup 2 always_invalidate="$AI" || bail "no network"
check "map one" clt_map out /dev/ram0 2
one=$RNBD_DEV
check "map another" clt_map out /dev/ram1 2
two=$RNBD_DEV session=$CLT_CLASS/out
[ -b "/dev/$one" ] && [ -b "/dev/$two" ] || bail "no disks"
for half in "$session" "$SRV_CLASS/out"; do
	clt_write "$half/heartbeat_interval_ms" 500
	clt_write "$half/heartbeat_missed_max" 3
done
waits() { # DISK SECONDS
	clt_write "/sys/block/$1/rnbd/no_path_timeout" "$2"
}
check_eq "disks do not wait unless told" 0 "$(cat "/sys/block/$one/rnbd/no_path_timeout")"
check "one waits for ever" waits "$one" -1
check "the other, too" waits "$two" -1

closed() { grep -qx closed "/sys/block/$one/rnbd/state" && grep -qx closed "/sys/block/$two/rnbd/state"; }
opened() { grep -qx open "/sys/block/$one/rnbd/state" && grep -qx open "/sys/block/$two/rnbd/state"; }
# help: without waiting for the next attempt, which may be half a minute away.
help() {
	local i
	for i in 0 1; do path_poke out "$i"; done
	opened
}
# The transport goes with its only user.
reload() {
	in_srv modprobe -r rnbd_server && sleep 2 &&
		in_srv modprobe rtrs_server always_invalidate="$AI" && in_srv modprobe rnbd_server
}
cut_both() { cut 0 && cut 1 && wait_until 20 closed && sleep 1 && heal 0 && heal 1; }
throw_out() { trouble srv-disconnect out 0 0 && trouble srv-disconnect out 1 0; }
take_rdma() {
	local i
	for i in 0 1; do rdma_gone "$i" clt || return 1; done
	wait_until 20 closed || return 1
	for i in 0 1; do rdma_back "$i" clt && wait_gids clt "$i" || return 1; done
}
both() { clt_write "$(path_dir out 0)/disconnect" 1 && clt_write "$(path_dir out 1)/disconnect" 1 && wait_until 5 closed; }

# Two loads: one of the library, the other beside it.
RATE=60
LOAD_LOG=/tmp/one.log
load_start "/dev/$one" 12
pid_one=$LOAD_PID
LOAD_LOG=/tmp/two.log
load_start "/dev/$two" 12
for ((round = 0; round < ROUNDS; round++)); do
	for kind in reload cut_both throw_out take_rdma both; do
		started=$SECONDS
		check "$round: $kind" "$kind"
		check "$round: the disks are open again" wait_until 90 help
		check "$round: IO resumes on one" io_moves "$one" 30 80
		check "$round: and on the other" io_moves "$two" 30 80
		note "$kind: $((SECONDS - started)) s"
		check "$round: both paths are up" wait_until 60 paths_up out 2
		load_alive && kill -0 "$pid_one" || break 2
	done
done
check "no error and no miscompare on the other" load_stop
LOAD_PID=$pid_one LOAD_LOG=/tmp/one.log
check "nor on one" load_stop

# --- without help --------------------------------------------------------------------
check "a server that comes back is found without help" reload
began=$SECONDS
check "the disks are open again" wait_until 120 opened
note "after $((SECONDS - began)) s"
check "both paths as well" wait_until 120 paths_up out 2

# --- limits ---------------------------------------------------------------------------
check "one does not wait" waits "$one" 0
check "the other waits for five seconds" waits "$two" 5
try() { dd if="/dev/$1" of=/dev/null bs=4k count=1 iflag=direct status=none 2>/dev/null; }
check "no path" both
began=$SECONDS
check_fails "the first gives an error" try "$one"
check "at once" test $((SECONDS - began)) -le 2
began=$SECONDS
check_fails "the second, too" try "$two"
took=$((SECONDS - began))
note "it took $took s"
check "not before its time, nor long after it" test "$took" -le 9
check "wait for ever" waits "$two" -1
try "$two" &
reader=$!
sleep 8
check "who waits for ever still waits" kill -0 "$reader"
check "a path" path_back out 1 60
check "and it ends" timeout 30 tail --pid="$reader" -f /dev/null
wait "$reader"
check_eq "well" 0 "$?"
check "no path again" both
try "$two" &
reader=$!
sleep 1
check "who waits does not keep the disk from being unmapped by force" timeout 60 bash -c "echo force >/sys/block/$two/rnbd/unmap_device"
check "he is told" timeout 30 tail --pid="$reader" -f /dev/null
wait "$reader"
check_fails "that it did not work" test "$?" = 0
check "unmap a disk without a path" timeout 60 bash -c "echo normal >/sys/block/$one/rnbd/unmap_device"
check "nothing is mapped" wait_until 10 eval '[ -z "$(rnbd_list)" ]'
check "map again" clt_map out /dev/ram0 2
check "it works" try "$RNBD_DEV"
check "unmap" rnbd_unmap "$RNBD_DEV"
check "unload" unload_all
check "no leak" kmemleak_scan
summary
