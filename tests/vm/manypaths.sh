#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# As many paths as a session may have: all of them carry IO, one more is refused, and half of
# them may break at once. Paths differ by their addresses, so the hosts have several each.
# Environment: AI=Y|N, PATHS (up to 128; the limit is looked at only with 128), SECS (of IO).

. /lab/lib/guest.sh
. /lab/lib/rnbd.sh
. /lab/lib/trouble.sh
AI=${AI:-Y} PATHS=${PATHS:-128} SECS=${SECS:-1}
# 12 * 11 is enough for 128 paths and one more.
# Functions that run on one host see what is exported.
export SOURCES=12 TARGETS=11 session=$CLT_CLASS/many

modprobe brd rd_nr=1 rd_size=16384 || bail "ram disk"
# Chunks of every path are memory of its own.
check "two hosts, modules" trouble_setup 1 always_invalidate="$AI" sess_queue_depth=16 max_chunk_size=32768 ||
	bail "no network"
addresses() {
	local i
	for ((i = 0; i < TARGETS; i++)); do ip -n srv addr add "10.0.0.$((101 + i))/24" dev net0 || return 1; done
	for ((i = 0; i < SOURCES; i++)); do ip -n clt addr add "10.0.0.$((201 + i))/24" dev net0 || return 1; done
	wait_until 20 has_gid srv0 "$(printf '0a00:%04x' $((100 + TARGETS)))" &&
		wait_until 20 has_gid clt0 "$(printf '0a00:%04x' $((200 + SOURCES)))"
}
check "$SOURCES addresses on one side, $TARGETS on the other" addresses

# nth_path I: from 0 on, each another pair of addresses.
nth_path() { echo "ip:10.0.0.$((201 + $1 % SOURCES))@ip:10.0.0.$((101 + $1 / SOURCES))"; }
# add_paths FROM TO: run by a process of the client's host.
add_paths() {
	local i
	for ((i = $1; i < $2; i++)); do
		nth_path "$i" >"$session/add_path" || return 1
	done
}
connected() { cat "$session"/paths/*/state | grep -cx connected; }
on_server() { find "$SRV_CLASS/many/paths" -mindepth 1 -maxdepth 1 | wc -l; }
# idle_paths: how many have not carried a request.
idle_paths() { cat "$session"/paths/*/stats/rdma | awk '$1 + $3 == 0' | wc -l; }

check "map over one path" clt_write "$RNBD_CTL/map_device" "sessname=many path=$(nth_path 0) device_path=/dev/ram0"
disk=$(rnbd_list | head -n 1)
[ -n "$disk" ] || bail "no disk appeared"
used=$(used_kib) began=$SECONDS
check "add $((PATHS - 1)) paths" in_clt add_paths 1 "$PATHS"
note "$((SECONDS - began)) s, $((($(used_kib) - used) / (PATHS - 1))) KiB for both ends of each"
check_eq "all are connected" "$PATHS" "$(connected)"
check_eq "the server has them all" "$PATHS" "$(on_server)"

# --- all of them carry requests ---------------------------------------------------------
for policy in min-latency min-inflight round-robin; do
	check_write "policy $policy" ok "$session/mpath_policy" "$policy"
	check "IO is right" fio_verify "/dev/$disk" "$SECS" --iodepth=16
done
check_eq "no path was left out" 0 "$(idle_paths)"

# --- one more ---------------------------------------------------------------------------
if [ "$PATHS" = 128 ]; then
	one_more=$(nth_path 128)
	dmesg_mark limit
	check_eq "path 129 is refused" ENOSPC "$(in_clt write_error "$session/add_path" "$one_more")"
	check_eq "the log says why, once" 1 "$(dmesg_since limit | grep -c 'as many paths as it may have; remove one')"
	check_eq "and nothing else" 1 "$(dmesg_since limit | grep -c 'session many')"
	check_eq "nothing of it is there" 128 "$(find "$session/paths" -mindepth 1 -maxdepth 1 | wc -l)"
	check_eq "nor on the server" 128 "$(on_server)"
	check "remove one" clt_write "$session/paths/$(nth_path 5)/remove_path" 1
	# The server forgets the path after the client has.
	may_come() { [ "$(in_clt write_error "$session/add_path" "$one_more")" = ok ]; }
	check "now it may come" wait_until 20 may_come
	check_eq "one more is too much again" ENOSPC "$(in_clt write_error "$session/add_path" "$(nth_path 5)")"
fi

# --- half of them break -------------------------------------------------------------------
load_start "/dev/$disk" 12
check "IO moves" io_moves "$disk" 10
break_half() {
	local dir i=0
	for dir in "$SRV_CLASS/many/paths"/*; do
		[ $((i++ % 2)) = 0 ] || in_srv bash -c 'echo 1 >"$0/disconnect"' "$dir" || return 1
	done
}
check "the server drops every second path" break_half
half() { [ "$(connected)" -le $((PATHS - PATHS / 2)) ]; }
check "they are gone" wait_until 20 half
check "IO moves on" io_moves "$disk" 10
check "no error and no miscompare" load_stop

check "unmap" rnbd_unmap "$disk"
check "the server has forgotten them all" wait_until 30 test ! -e "$SRV_CLASS/many"
check "no leak" kmemleak_scan
check "unload" unload_all
summary
