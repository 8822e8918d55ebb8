#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Verified IO over two paths while one of them is cut and restored, again and
# again, in every way there is. Environment: AI=Y|N (always_invalidate), TROUBLES (how
# many cuts per policy), POLICIES, KINDS.

. /lab/lib/guest.sh
. /lab/lib/rnbd.sh
. /lab/lib/trouble.sh
AI=${AI:-Y} TROUBLES=${TROUBLES:-4} POLICIES=${POLICIES:-"round-robin min-inflight min-latency"}
KINDS=${KINDS:-"netem clt-ifdown srv-ifdown clt-rdma srv-rdma disconnect reconnect srv-disconnect lossy"}

modprobe brd rd_nr=1 rd_size=65536 || bail "ram disk"
check "two hosts, two paths, modules" trouble_setup 2 always_invalidate="$AI" || bail "no network"
check "map over two paths" clt_map fo /dev/ram0 2
disk=$RNBD_DEV
[ -b "/dev/$disk" ] || bail "no disk appeared"
session=$CLT_CLASS/fo
check "both paths are up" wait_until 10 paths_up fo 2
# Links that are cut for long are to be noticed by then.
for half in "$session" "$SRV_CLASS/fo"; do
	check "${half%/fo}: heartbeats every 500 ms" clt_write "$half/heartbeat_interval_ms" 500
	check "${half%/fo}: three may be missed" clt_write "$half/heartbeat_missed_max" 3
done

RATE=${RATE:-200} load_start "/dev/$disk" 60
number=0 kinds=()
for policy in $POLICIES; do
	check "policy $policy" clt_write "$session/mpath_policy" "$policy"
	check "IO moves with $policy" io_moves "$disk" 20
	again=0
	for ((round = 0; round < TROUBLES; round++)); do
		# All kinds in any order, then all in another, so that the short form sees them all; the
		# path at random.
		# shellcheck disable=SC2086
		[ ${#kinds[@]} != 0 ] || mapfile -t kinds < <(shuf -e $KINDS)
		kind=${kinds[0]} kinds=("${kinds[@]:1}")
		number=$((number + 1))
		i=$((RANDOM % 2))
		started=$SECONDS before=$(failed_over fo)
		check "$policy, $number: $kind on path $i" path_cut "$kind" fo "$i"
		case $kind in
		lossy) sleep $((1 + RANDOM % 3)) ;;
		reconnect) ;;
		*)
			check "the client knows" wait_until 10 path_is fo "$i" disconnected
			# More than were in flight.
			check "IO goes on without path $i" io_moves "$disk" 30 100
			[ "$kind" = disconnect ] || again=$((again + $(failed_over fo) - before))
			sleep "0.$((RANDOM % 10))"
			;;
		esac
		check "the trouble ends" path_heal "$kind" "$i"
		# What was lost before may still cost the path.
		[ "$kind" != lossy ] || sleep 3
		check "path $i comes back" path_back fo "$i" 60
		# Without it the next cut would be the end, and only prove that.
		path_is fo "$i" connected || break 2
		check "the other path is up as well" wait_until 60 paths_up fo 2
		check "IO goes on" io_moves "$disk" 30 100
		note "$kind on path $i: $((SECONDS - started)) s"
		load_alive || break 2
	done
	# A few cuts may all come between two bursts of the load.
	note "$policy: $again requests were sent again when nobody had been warned"
	[ "$TROUBLES" -lt 10 ] || check "$policy: requests were sent again" test "$again" -gt 0
done
check "no error and no miscompare" load_stop
for i in 0 1; do
	note "path $i: rdma $(cat "$(path_dir fo $i)/stats/rdma" 2>&1), reconnects $(cat "$(path_dir fo $i)/stats/reconnects" 2>&1)"
done
note "requests sent again over another path: $(failed_over fo)"
check "there were such" test "$(failed_over fo)" -gt 0
check "nothing is in flight any more" wait_until 10 awk '{ exit $1 + $2 != 0 }' "/sys/block/$disk/inflight"

# Everything once more, in one go: what is read twice is the same twice.
check "write all of it" dd if=/dev/urandom of="/dev/$disk" bs=1M count=60 oflag=direct status=none
check "it is on the backend" cmp -n 62914560 "/dev/$disk" /dev/ram0
check "unmap" rnbd_unmap "$disk"
check "unload" unload_all
summary
