#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A cut link, of which nobody is told, on two hosts with heartbeats of 500 ms of which three
# may be missed: both sides have to notice it within 2 s, idle or under load. With a second
# path nothing is lost, and the statistics tell what became of it.
# Environment: CYCLES, how often; LIMIT_MS, the 2 s, for a kernel that is slow by itself.

. /lab/lib/guest.sh
. /lab/lib/rnbd.sh
. /lab/lib/hosts.sh
CYCLES=${CYCLES:-2} LIMIT_MS=${LIMIT_MS:-2000}
CLT=/sys/class/rtrs-client/beat SRV=/sys/class/rtrs-server/beat
NAME=ip:10.0.0.2@ip:10.0.0.1
P=$CLT/paths/$NAME S=$SRV/paths/$NAME

check "two hosts" setup_two_hosts 2
modprobe brd rd_nr=1 rd_size=65536 || bail "ram disk"
check "the server's heartbeats" modprobe rtrs_server heartbeat_interval_ms=500 heartbeat_missed_max=3
check "the client's" modprobe rtrs_client heartbeat_interval_ms=500 heartbeat_missed_max=3
check "server" in_srv modprobe rnbd_server
check "client" modprobe rnbd_client

now_ms() { local us=${EPOCHREALTIME/./}; echo $((us / 1000)); }
client_knows() { [ "$(cat "$P/state" 2>/dev/null)" != connected ]; }
server_knows() { [ ! -e "$S/hca_name" ]; }

# noticed SECONDS: cuts the link; prints after how many ms the client and the server knew.
noticed() {
	local began end client='' server=''
	cut 0
	began=$(now_ms)
	end=$((began + $1 * 1000))
	while [ -z "$client" ] || [ -z "$server" ]; do
		[ "$(now_ms)" -lt "$end" ] || break
		[ -n "$client" ] || ! client_knows || client=$(($(now_ms) - began))
		[ -n "$server" ] || ! server_knows || server=$(($(now_ms) - began))
		sleep 0.01
	done
	echo "${client:-99999} ${server:-99999}"
}

# early CLIENT SERVER: one of them knew before three heartbeats can have been missed.
early() { [ "$1" -le 1000 ] || [ "$2" -le 1000 ]; }

# Around a cut a packet may be overtaken by another. Then soft-RoCE sends again what was not acknowledged,
# and executes the registrations among it a second time, which fails (rxe_req.c: req_retry and
# rxe_do_local_ops; rxe_mr.c: rxe_reg_fast_mr): the connection is over at once, and says nothing about
# heartbeats. Then it is tried again; who is too early always is still seen.
round() {
	local what=$1 try load client server lives
	for try in 1 2 3; do
		load=''
		check "$what: map" rnbd_map beat /dev/ram0 path=ip:10.0.0.2@ip:10.0.0.1 || return
		if [ "$what" = load ]; then
			fio --name=load --filename="/dev/$RNBD_DEV" --direct=1 --ioengine=libaio --rw=randrw --bs=4k \
				--iodepth=4 --time_based --runtime=30 --size=16m --output=/tmp/fio.load >/dev/null 2>&1 &
			load=$!
		fi
		# Some heartbeats, and a cut somewhere between two of them.
		sleep "1.$((RANDOM % 10))$((RANDOM % 10))"
		lives=$(cat "$P/state")
		read -r client server <<<"$(noticed 10)"
		note "$what: the client knew after $client ms, the server after $server ms"
		heal 0
		[ -z "$load" ] || { kill "$load"; wait "$load"; } 2>/dev/null
		check "$what: unmap" wait_until 30 rnbd_unmap "$RNBD_DEV"
		check "$what: the server's session is gone" wait_until 30 test ! -e "$SRV"
		early "$client" "$server" || break
		note "$what: too early in attempt $try"
	done
	check_eq "$what: the path lives" connected "$lives"
	check "$what: the client knows within $LIMIT_MS ms" test "$client" -lt "$LIMIT_MS"
	check "$what: the server knows within $LIMIT_MS ms" test "$server" -lt "$LIMIT_MS"
	check_fails "$what: and not before it may" early "$client" "$server"
}

for ((i = 0; i < CYCLES; i++)); do
	round idle
	round load
done
check "the client says why" eval 'dmesg | grep -q "does not answer heartbeats"'
check "the server says why" eval 'dmesg | grep -q "the client is silent"'

# Whoever changes the files of a session need not wait for long.
check "map" rnbd_map beat /dev/ram0 path=ip:10.0.0.2@ip:10.0.0.1
for dir in "$CLT" "$SRV"; do
	check_write "ten minutes" ok "$dir/heartbeat_interval_ms" 600000
done
sleep 3
for dir in "$CLT" "$SRV"; do
	check_write "and 100 ms again" ok "$dir/heartbeat_interval_ms" 100
	check_write "with 5" ok "$dir/heartbeat_missed_max" 5
done
check "the round trip is measured soon" wait_until 2 grep -qxE '[1-9][0-9]* ns' "$P/cur_latency"
sleep 2
check_eq "the path lives" connected "$(cat "$P/state")"
check "unmap" rnbd_unmap "$RNBD_DEV"
check "the server's session is gone" wait_until 30 test ! -e "$SRV"

# --- a second path --------------------------------------------------------------------------------
OTHER=$CLT/paths/ip:10.0.1.2@ip:10.0.1.1
field() { command cut -d' ' -f"$2" "$1/stats/rdma"; }
sent() { echo $(($(field "$1" 1) + $(field "$1" 3))); }
check "map over two paths" rnbd_map beat /dev/ram0 path=ip:10.0.0.2@ip:10.0.0.1 path=ip:10.0.1.2@ip:10.0.1.1
check_eq "neither was connected again" "0 0,0 0" "$(cat "$P/stats/reconnects"),$(cat "$OTHER/stats/reconnects")"
fio_verify "/dev/$RNBD_DEV" 5 --size=32m --iodepth=8 >/tmp/fio.two 2>&1 &
load=$!
check "both carry requests" wait_until 10 eval '[ "$(sent "$P")" -gt 50 ] && [ "$(sent "$OTHER")" -gt 50 ]'
cut 0
check "the loss is noticed" wait_until 5 client_knows
check "IO goes on, without an error" wait "$load"
note "sent: $(sent "$P") and $(sent "$OTHER"); failed over: $(field "$OTHER" 6)"
check "what was lost with the one was sent by the other" test "$(field "$OTHER" 6)" -gt 0
check_eq "and not the other way round" 0 "$(field "$P" 6)"
check_eq "nothing is in flight" 0,0 "$(field "$P" 5),$(field "$OTHER" 5)"
check_write "it cannot be connected again now" ENOTCONN "$P/reconnect" 1
check "which counts as a failure" grep -qxE '0 [1-9][0-9]*' "$P/stats/reconnects"
heal 0
try_again() { [ "$(write_error "$P/reconnect" 1)" = ok ]; }
check "but when the link is back" wait_until 120 try_again
# Once, or twice if the kernel was the first to try.
check "it counts as a success" grep -qxE '[12] [1-9][0-9]*' "$P/stats/reconnects"
before=$(sent "$P")
check "and the path carries requests again" fio_verify "/dev/$RNBD_DEV" 1 --size=8m
check "as can be seen" test "$(sent "$P")" -gt "$before"
# On a slow link, by a shell whose child ends meanwhile.
for net in srv clt; do ip netns exec $net tc qdisc replace dev net0 root netem delay 200ms; done
# shellcheck disable=SC2016  # The inner shell expands it.
check "a signal does not end an attempt by hand" bash -c 'sleep 0.5 & echo 1 >"$0"' "$P/reconnect"
check_eq "the path is connected" connected "$(cat "$P/state")"
heal 0
check "unmap" rnbd_unmap "$RNBD_DEV"
check "no leak" kmemleak_scan
summary
