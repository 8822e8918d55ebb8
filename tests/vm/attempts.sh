#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Attempts to connect a path: how they fail, how long it takes until the next one, and what is
# when none is left. Two hosts in one VM; path 1 stays, so that the session is always served.

. /lab/lib/guest.sh
. /lab/lib/rnbd.sh
. /lab/lib/trouble.sh

modprobe brd rd_nr=1 rd_size=32768 || bail "ram disk"
check "two hosts, two paths, modules" trouble_setup 2 || bail "no network"
check "map" clt_map at /dev/ram0 2
disk=$RNBD_DEV session=$CLT_CLASS/at
[ -b "/dev/$disk" ] || bail "no disk"
dir=$(path_dir at 0)

# set_file NAME VALUE: of the session. add PATH, reconnect: what the write gives.
set_file() { check_eq "$1 is $2" ok "$(in_clt write_error "$session/$1" "$2")"; }
add() { in_clt write_error "$session/add_path" "$1"; }
reconnect() { in_clt write_error "$dir/reconnect" 1; }
count() { find "$session/paths" -mindepth 1 -maxdepth 1 | wc -l; }
failures() { command cut -d' ' -f2 "$dir/stats/reconnects"; }
down() { ! path_is at 0 connected; }
up() { path_is at 0 connected; }
# stays SECONDS: the path does not come back in that time.
stays_down() {
	local end=$((SECONDS + $1))
	while [ "$SECONDS" -lt "$end" ]; do
		down || return 1
		sleep 0.2
	done
}
server_drops() { srv_write "$(srv_path_dir at 0)/disconnect" 1 && wait_until 10 down; }
lose() { cut 0 && wait_until 10 down; }
for half in "$session" "$SRV_CLASS/at"; do
	clt_write "$half/heartbeat_interval_ms" 500
	clt_write "$half/heartbeat_missed_max" 3
done

# --- paths that cannot be added ------------------------------------------------------------
in_clt ip route add unreachable 10.9.0.0/16
check_eq "add_path: nothing listens there" ECONNRESET "$(add ip:10.0.0.2@ip:10.0.0.2)"
check_eq "add_path: nobody has the address" ETIMEDOUT "$(add ip:10.0.0.2@ip:10.0.0.77)"
check_eq "add_path: the host cannot be reached" EHOSTUNREACH "$(add ip:10.9.0.1)"
check_eq "add_path: the source is not ours" EADDRNOTAVAIL "$(add ip:10.0.0.78@ip:10.0.0.1)"
check_eq "nothing of them is left" 2 "$(count)"
check "the paths there were are still there" paths_up at 2

# --- one attempt at a time -----------------------------------------------------------------
check "the first network is cut" lose
reconnect >/run/first &
first=$!
sleep 3
check_eq "while an attempt is made there is no other" EBUSY "$(reconnect)"
check "the attempt comes to its end" wait $first
check_eq "in vain" ENOTCONN "$(cat /run/first)"
heal 0
check "the network is back, and so is the path" path_back at 0 60

# --- the time between attempts -------------------------------------------------------------
set_file reconnect_jitter_ms 0
set_file reconnect_delay_ms 500
check "the server drops the path" server_drops
check "after half a second and the pause of one it is back" wait_until 4 up
set_file reconnect_delay_ms 12000
check "the server drops the path" server_drops
check "with a delay of 12 s it is not" stays_down 8
check "until that is over" wait_until 15 up
set_file reconnect_delay_ms 0
set_file reconnect_backoff_ms 12000
check "the server drops the path" server_drops
check "nor with a pause of 12 s" stays_down 8
check "until that is over" wait_until 15 up
set_file reconnect_backoff_ms 100
check "the first network is cut" lose
sleep 5
heal 0
# The connection manager repeats its request every 4 s.
check "after a cut it is back by itself" wait_until 30 up

# --- the last attempt ------------------------------------------------------------------------
set_file reconnect_delay_ms 500
set_file max_reconnect_attempts 2
dmesg_mark attempts
check "the first network is cut" lose
before=$(failures)
said() { dmesg_since attempts | grep -c "path to ip:10.0.0.1: no attempt to connect is left; write 1 to its file reconnect"; }
check "the log says when none is left" wait_until 120 eval 'sleep 1; [ "$(said)" = 1 ]'
check_eq "after two" 2 "$(($(failures) - before))"
heal 0
check "it stays down when the network is back" stays_down 45
check_eq "without another attempt" 2 "$(($(failures) - before))"
check "the session lives by its other path" dd if="/dev/$disk" of=/dev/null bs=4k count=8 iflag=direct status=none
check "it can be connected by hand" path_back at 0 60
check "the server drops the path" server_drops
check "after which two attempts are two again" wait_until 10 up
check_eq "none was the last" 1 "$(said)"

check "unmap" rnbd_unmap "$disk"
check "no leak" kmemleak_scan
check "unload" unload_all
summary
