#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Paths of a session, both roles in one VM over rxe on two dummy interfaces: the files of
# sessions and paths with good and bad input, disconnecting, reconnecting, adding and
# removing paths under IO that must not notice, limits and attempts, holding requests while
# there is no path. Environment: EXT=Y|N (extensions of the client), AI=Y|N
# (always_invalidate), SECS (fio's time per run), CYCLES (rounds of taking a path away under IO).

. /lab/lib/guest.sh
. /lab/lib/rnbd.sh
. /lab/lib/trouble.sh
EXT=${EXT:-Y} AI=${AI:-Y} SECS=${SECS:-4} CYCLES=${CYCLES:-2}

check "network" setup_loopback_rxe
second() {
	ip link add dummy1 type dummy && ip link set dummy1 mtu 9000 up &&
		ip addr add 10.0.1.1/24 dev dummy1 &&
		ip -6 addr add fd00:2::1/64 dev dummy1 nodad &&
		rdma link add rxe1 type rxe netdev dummy1 &&
		wait_until 20 has_gid rxe1 0a00:0101 && wait_until 20 has_gid rxe1 fd00:0002:
}
check "a second network" second
modprobe brd rd_nr=2 rd_size=65536 max_part=16 || bail "ram disks"
check "server" modprobe rtrs_server always_invalidate="$AI"
check "rnbd_server" modprobe rnbd_server
check "client with extensions=$EXT" modprobe rtrs_client extensions="$EXT"
check "rnbd_client" modprobe rnbd_client

class=/sys/class/rtrs-client
first='ip:10.0.0.1@ip:10.0.0.1' other='ip:10.0.1.1@ip:10.0.1.1' six='ip:fd00:2::1@ip:fd00:2::1'
path() { echo "$class/p/paths/$1"; }
state() { cat "$(path "$1")/state"; }
is() { [ "$(state "$1")" = "$2" ]; }
count() { find "$class/p/paths" -mindepth 1 -maxdepth 1 | wc -l; }
failovers() { awk '{ sum += $6 } END { print sum }' "$class"/p/paths/*/stats/rdma; }

check "map over one path" rnbd_map p /dev/ram0
disk=/dev/$RNBD_DEV
check_eq "one path" "$first" "$(ls "$class/p/paths")"

# --- adding ---------------------------------------------------------------------------
usage='Usage: echo [<source addr>@]<destination addr> > add_path

*addr ::= [ ip:<ipv4|ipv6> | gid:<gid> ]'
check_eq "add_path explains itself" "$usage" "$(cat "$class/p/add_path")"
for bad in '' 10.0.1.1 ip:10.0.1 ip:nowhere 'ip:10.0.1.1@' 'ip:10.0.1.1@ip:10.0.1.1@ip:10.0.1.1' gid:zz 'ip:fe80::1%none0'; do
	# An empty write would not reach the file.
	check_write "add_path refuses '$bad'" EINVAL "$class/p/add_path" "${bad:- }"
done
check_write "add_path" ok "$class/p/add_path" ip:10.0.1.1@ip:10.0.1.1
check_eq "two paths" "$(printf '%s\n%s' "$first" "$other")" "$(ls "$class/p/paths")"
check_eq "it is connected" connected "$(state "$other")"
check_eq "its device" rxe1 "$(cat "$(path "$other")/hca_name")"
check_write "not twice between the same addresses" EEXIST "$class/p/add_path" ip:10.0.1.1@ip:10.0.1.1
check_eq "still two" 2 "$(count)"
check_write "one of another family" ok "$class/p/add_path" "ip:fd00:2::1,ip:fd00:2::1"
check_eq "it is connected, too" connected "$(state "$six")"
check_eq "the server shows the same" "$(ls "$class/p/paths")" "$(ls /sys/class/rtrs-server/p/paths)"

# --- what the files take ----------------------------------------------------------------
for file in reconnect disconnect remove_path; do
	check_eq "$file explains itself" "Usage: echo 1 > $file" "$(cat "$(path "$six")/$file")"
	for bad in 0 2 yes '1 ' 11; do
		check_write "$file refuses '$bad'" EINVAL "$(path "$six")/$file" "$bad"
	done
done
for bad in 0 2 yes '1 ' 11; do
	check_write "the server's disconnect refuses '$bad'" EINVAL "/sys/class/rtrs-server/p/paths/$six/disconnect" "$bad"
done
for dir in "$(path "$six")" "/sys/class/rtrs-server/p/paths/$six"; do
	side=${dir#/sys/class/} side=${side%%/*}
	for file in "$dir"/*; do
		[ "$(stat -c %a "$file")" != 444 ] || check_write "$side: ${file##*/} cannot be written" EACCES "$file" 1
	done
done
check_eq "the path has come through all that" connected "$(state "$six")"
for pair in "-1 ok" "0 ok" "9999 ok" "10000 EINVAL" "-2 EINVAL" "x EINVAL" "99999999999 ERANGE"; do
	check_write "max_reconnect_attempts: ${pair% *}" "${pair#* }" "$class/p/max_reconnect_attempts" "${pair% *}"
done
check_eq "it reads back" 9999 "$(cat "$class/p/max_reconnect_attempts")"

# --- removing -------------------------------------------------------------------------
check_write "remove a path" ok "$(path "$six")/remove_path" 1
check_fails "its directory is gone" test -e "$(path "$six")"
check "the server's, too" wait_until 10 test ! -e "/sys/class/rtrs-server/p/paths/$six"

# --- one path after the other goes, IO does not notice -----------------------------------
check_write "disconnect" ok "$(path "$other")/disconnect" 1
check_eq "it is disconnected" disconnected "$(state "$other")"
check_write "disconnecting again is no error" ok "$(path "$other")/disconnect" 1
check_write "no second path between the same addresses" EEXIST "$class/p/add_path" ip:10.0.1.1@ip:10.0.1.1
check_eq "nor anything of it" 2 "$(count)"
check_write "reconnect" ok "$(path "$other")/reconnect" 1
check_eq "it is connected" connected "$(state "$other")"
check_write "reconnecting a connected path" ok "$(path "$other")/reconnect" 1
check_eq "it is connected" connected "$(state "$other")"

# As long as paths come and go, however slow the machine is: writes of which none may be lost or
# come late, and many requests in flight at any time.
flood() {
	while [ ! -e /run/stop ]; do
		fio --name=flood --filename="$disk" --direct=1 --ioengine=libaio --rw=randread --bs=64k \
			--iodepth=32 --offset=50% --time_based --runtime="$SECS" --eta=never || return 1
	done
}
add_other() { [ "$(write_error "$class/p/add_path" ip:10.0.1.1@ip:10.0.1.1)" = ok ]; }
RATE=1000 load_start "$disk" 32
flood >/run/flood.log 2>&1 &
flood=$!
sleep 1
for ((i = 0; i < CYCLES; i++)); do
	for policy in round-robin min-inflight min-latency; do
		check_write "policy $policy" ok "$class/p/mpath_policy" "$policy"
		for path in "$other" "$first"; do
			check_write "disconnect $path under load" ok "$(path "$path")/disconnect" 1
			sleep 0.2
			check_write "reconnect $path under load" ok "$(path "$path")/reconnect" 1
		done
	done
	check_write "remove $other under load" ok "$(path "$other")/remove_path" 1
	# It finishes what it has begun; until then it refuses another one between these addresses.
	check "the server closes it" wait_until 20 test ! -e "/sys/class/rtrs-server/p/paths/$other"
	# Its directory is gone a little before its addresses are free.
	check "add it under load" wait_until 10 add_other
done
check "the RDMA device of one path is removed under load" rdma link delete rxe1
check "its path is closed" wait_until 10 is "$other" disconnected
rdma link add rxe1 type rxe netdev dummy1
wait_until 20 has_gid rxe1 0a00:0101
check_write "with another device it can be connected again" ok "$(path "$other")/reconnect" 1
touch /run/stop
check "fio has seen no error, and no write that was lost or came late" load_stop
wait "$flood"
check_eq "the other one has not seen an error either" 0 $?
check "requests were replayed" test "$(failovers)" -gt 0
note "requests replayed: $(failovers)"

# --- attempts -----------------------------------------------------------------------------
echo 0 >"$class/p/max_reconnect_attempts"
server_drops() { echo 1 >"/sys/class/rtrs-server/p/paths/$other/disconnect"; }
check "the server drops a path" server_drops
check "without an attempt it stays down" wait_until 10 is "$other" disconnected
sleep 2
check_eq "it does" disconnected "$(state "$other")"
check_write "but can be connected by hand" ok "$(path "$other")/reconnect" 1
check_eq "it is connected" connected "$(state "$other")"
echo -1 >"$class/p/max_reconnect_attempts"
check "the server drops it again" server_drops
check "it comes back by itself" wait_until 60 is "$other" connected
check_eq "nothing else was disturbed" connected "$(state "$first")"

# --- no path at all -----------------------------------------------------------------------
check_write "remove the second path" ok "$(path "$other")/remove_path" 1
check_write "disconnect the last one" ok "$(path "$first")/disconnect" 1
check_fails "IO fails at once by default" timeout 20 dd if="$disk" of=/dev/null bs=4k count=1 iflag=direct status=none
check_write "reconnect" ok "$(path "$first")/reconnect" 1
check "IO goes on" wait_until 20 dd if="$disk" of=/dev/null bs=4k count=1 iflag=direct status=none
check "unmap" rnbd_unmap "${disk#/dev/}"
check_fails "the session is gone" test -e "$class/p"

# --- limits -------------------------------------------------------------------------------
check "no leak" kmemleak_scan
for module in rnbd_client rnbd_server rtrs_client rtrs_server rtrs_core; do
	check "rmmod $module" rmmod "$module"
done
summary
