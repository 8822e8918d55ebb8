#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Verified IO over two paths to another machine, while networks are cut and the machine
# is frozen. Client and server may each be this project's or upstream's.
# Environment: CLIENT=rust|c, TROUBLES (how many), FREEZE (seconds), KINDS.

. /lab/lib/guest.sh
. /lab/lib/rnbd.sh
. /lab/lib/trouble.sh
CLIENT=${CLIENT:-rust} TROUBLES=${TROUBLES:-4} FREEZE=${FREEZE:-10}

check "network" pair_setup
check "the server is ready" wait_for ready 180 || bail "no server"
for i in 0 1; do check "the server answers on network $i" wait_until 20 ping -c 1 -W 1 "10.0.$i.1"; done
check "rnbd_client loads" modprobe rnbd_client
clt_map fo /dev/ram0 2 || { sleep 2; check "map, second attempt" clt_map fo /dev/ram0 2; }
disk=$RNBD_DEV
[ -b "/dev/$disk" ] || bail "no disk appeared"
session=$CLT_CLASS/fo
check "both paths are up" wait_until 20 paths_up fo 2
if [ "$CLIENT" = rust ]; then
	policies=(round-robin min-inflight min-latency) all="netem clt-rdma freeze disconnect reconnect"
	# All paths are frozen at once.
	check "the disk waits for a path" clt_write "/sys/block/$disk/rnbd/no_path_timeout" -1
	patience=("$(cat "$session/heartbeat_interval_ms")" "$(cat "$session/heartbeat_missed_max")")
else
	# Upstream's other policies now and then find no path where there is one; and with its client
	# the death of all paths at once is the end of the IO, so it is not to see a frozen server; nor is
	# it to lose an adapter, which takes it a minute, in which the other path has to be without fault.
	policies=(round-robin) all="netem disconnect reconnect"
fi
KINDS=${KINDS:-$all} kinds=()

heartbeats() { clt_write "$session/heartbeat_interval_ms" "$1" && clt_write "$session/heartbeat_missed_max" "$2"; }
# hurried COMMAND...: what only a client of ours can do, so that a silent network is noticed sooner.
hurried() { [ "$CLIENT" = c ] || check "$*" "$@"; }
both_down() { path_is fo 0 disconnected && path_is fo 1 disconnected; }
# freeze: for FREEZE seconds the server does nothing. The usual patience is longer than that.
freeze() {
	local end
	check "heartbeats every 500 ms, three may be missed" heartbeats 500 3
	check "the server is frozen" host_cmd peer freeze
	end=$((SECONDS + FREEZE))
	check "the client has lost both paths" wait_until "$FREEZE" both_down
	while [ "$SECONDS" -lt "$end" ]; do sleep 0.2; done
	check "the load waits" load_alive
	check "heartbeats as before" heartbeats "${patience[@]}"
	check "the server goes on after $FREEZE s" host_cmd peer thaw
}

RATE=${RATE:-60} load_start "/dev/$disk" 32
for ((n = 0; n < TROUBLES; n++)); do
	# All kinds in any order, then all in another.
	# shellcheck disable=SC2086
	[ ${#kinds[@]} != 0 ] || mapfile -t kinds < <(shuf -e $KINDS)
	kind=${kinds[0]} kinds=("${kinds[@]:1}") i=$((RANDOM % 2))
	policy=${policies[n % ${#policies[@]}]}
	started=$SECONDS
	check "$n: policy $policy" clt_write "$session/mpath_policy" "$policy"
	case $kind in
	freeze) freeze ;;
	# An attempt by hand may be lost like any other.
	reconnect) check "$n: reconnect path $i" wait_until 60 path_cut reconnect fo "$i" ;;
	*)
		[ "$kind" != netem ] || hurried heartbeats 1000 4
		check "$n: $kind on path $i" path_cut "$kind" fo "$i"
		check "the client knows" wait_until 45 path_is fo "$i" disconnected
		[ "$kind" != netem ] || hurried heartbeats "${patience[@]}"
		check "IO goes on without path $i" io_moves "$disk" 60 80
		check "the trouble ends" path_heal "$kind" "$i"
		;;
	esac
	check "path $i comes back" path_back fo "$i" 90
	check "the other path is up as well" path_back fo "$((1 - i))" 90
	check "IO goes on" io_moves "$disk" 60 80
	note "$kind on path $i: $((SECONDS - started)) s"
	load_alive || break
done
check "no error and no miscompare" load_stop
note "requests sent again over another path: $(failed_over fo)"
# A few cuts may all come between two bursts of the load, or end where they began.
[ "$TROUBLES" -lt 10 ] || check "there were such" test "$(failed_over fo)" -gt 0
check "unmap" rnbd_unmap "$disk"
check "unload" modprobe -r rnbd_client
signal end
summary
