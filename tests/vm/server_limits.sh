#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Every limit of a server that keeps clients from taking all of it: whoever would exceed it gets
# ENOMEM, whoever is in goes on, and there is room again when somebody has gone. One VM, both
# roles: the clients are 10.0.0.1, 10.0.0.3 and fd00:1::1. Environment: DEPTH, of a path's queue.

. /lab/lib/guest.sh
. /lab/lib/rnbd.sh
DEPTH=${DEPTH:-64}
map=$RNBD_CTL/map_device
CLT=/sys/class/rtrs-client SRV=/sys/class/rtrs-server
V4=ip:10.0.0.1@ip:10.0.0.1
OTHER=ip:10.0.0.3@ip:10.0.0.1
V6=ip:fd00:1::1@ip:fd00:1::1

# server LIMIT...: the server is loaded with these. A path takes 9 to 10 MiB of it.
server() {
	local module
	for module in rnbd_server rtrs_server; do
		[ ! -d "/sys/module/$module" ] || rmmod "$module" || return 1
	done
	modprobe rtrs_server sess_queue_depth="$DEPTH" "$@" && modprobe rnbd_server
}
# row DESCRIPTION RESULT SESSION DISK PATH...
row() {
	local what=$1 result=$2 text="sessname=$3 device_path=/dev/ram$4"
	shift 4
	check_write "$what" "$result" "$map" "$text $(printf 'path=%s ' "$@")"
}
# add DESCRIPTION RESULT SESSION PATH
add() { check_write "$1" "$2" "$CLT/$3/add_path" "$4"; }
# serves DISK: the disk that is the backend's number so and so can be read.
serves() { dd if="/dev/$(disk_of "$1")" of=/dev/null bs=64k count=16 iflag=direct status=none; }
disk_of() { basename "$(readlink "$RNBD_CTL/devices/!dev!ram$1@"*)"; }
gone() { [ ! -e "$1" ]; }
# leave DISK SESSION: it is unmapped, and the server has seen it.
leave() { rnbd_unmap "$(disk_of "$1")" && wait_until 20 gone "$SRV/$2"; }
# remove SESSION PATH: the path is removed, and the server has seen it.
remove() { echo 1 >"$CLT/$1/paths/$2/remove_path" && wait_until 20 gone "$SRV/$1/paths/$2"; }
# room FILE TEXT: the write is taken, at the latest in a moment: the server counts what has gone
# a little longer than it shows it.
room() { check "and makes room" wait_until 10 taken "$1" "$2"; }
taken() { [ "$(write_error "$1" "$2")" = ok ]; }
unmap_all() {
	local disk
	for disk in $(rnbd_list); do rnbd_unmap "$disk" || return 1; done
	wait_until 20 nobody
}
nobody() { [ -z "$(ls "$SRV" 2>/dev/null)" ]; }

check "network" setup_loopback_rxe
ip addr add 10.0.0.3/24 dev dummy0
ip addr add 10.0.0.4/24 dev dummy0
wait_until 20 has_gid rxe0 0a00:0003 && wait_until 20 has_gid rxe0 0a00:0004 || bail "more addresses"
modprobe brd rd_nr=3 rd_size=16384 || bail "ram disks"
check "client" modprobe rnbd_client

# --- sessions ------------------------------------------------------------------------------
check "a server of two sessions" server max_sessions=2
row "the first" ok one 0 $V4
row "the second, of another client" ok two 1 $V6
dmesg_mark sessions
row "no third, whoever it is" ENOMEM three 2 $OTHER
check "the server's log says so" eval 'dmesg_since sessions | grep -q "10.0.0.3: connection 0 is refused (error -12)"'
add "another path makes no session" ok one $OTHER
check "who is in is served" serves 0
check "the second goes" leave 1 two
room "$map" "sessname=three device_path=/dev/ram2 path=$OTHER"
check "unmap" unmap_all

# --- paths ---------------------------------------------------------------------------------
check "a server of two paths" server max_paths=2
row "a session has both" ok one 0 $V4 $V6
row "there is none for another" ENOMEM two 1 $OTHER
add "nor a third one for itself" ENOMEM one $OTHER
check "two are left" test "$(find $CLT/one/paths -mindepth 1 -maxdepth 1 | wc -l)" = 2
check "who is in is served" serves 0
check "one path goes" remove one $V6
room "$map" "sessname=two device_path=/dev/ram1 path=$OTHER"
check "unmap" unmap_all

check "a server of two paths for each client" server max_paths_per_peer=2
row "a client has both" ok one 0 $V4 ip:10.0.0.1@ip:10.0.0.3
add "and no third one" ENOMEM one ip:10.0.0.1@ip:10.0.0.4
row "nor one in another session" ENOMEM two 1 ip:10.0.0.1@ip:10.0.0.4
add "another client's address has its own limit" ok one $OTHER
check "who is in is served" serves 0
check "one path goes" remove one $V4
room $CLT/one/add_path ip:10.0.0.1@ip:10.0.0.4
check "unmap" unmap_all

# --- memory --------------------------------------------------------------------------------
check "a server of 24 MiB" server max_memory_mib=24
row "a session has room" ok one 0 $V4
row "so has a second one" ok two 1 $V6
row "a third one has not" ENOMEM three 2 $OTHER
add "nor has another path" ENOMEM one $OTHER
check "who is in is served" serves 0
check "the second goes" leave 1 two
room "$map" "sessname=three device_path=/dev/ram2 path=$OTHER"
check "unmap" unmap_all

check "a server of 14 MiB for each client" server max_memory_per_peer_mib=14
row "a session has room" ok one 0 $V4
row "a second one of the same client has not" ENOMEM two 1 ip:10.0.0.1@ip:10.0.0.3
add "nor has another path" ENOMEM one ip:10.0.0.1@ip:10.0.0.3
row "other clients have their own" ok two 1 $V6
row "each of them" ok three 2 $OTHER
check "who is in is served" serves 0
check "the first goes" leave 0 one
room "$map" "sessname=four device_path=/dev/ram0 path=ip:10.0.0.1@ip:10.0.0.3"
check "unmap" unmap_all

check "unload all" modprobe -r rnbd_client rnbd_server
check "kmemleak finds nothing" kmemleak_scan
summary
