#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Who may connect to a server, how many sessions one client may have (server_limits.sh has all
# limits), and paths that end for reasons of the server's side: an administrator, an adapter that is pulled
# out, a module that is unloaded. One VM, both roles, over 10.0.0.1 and fd00:1::1.

. /lab/lib/guest.sh
. /lab/lib/rnbd.sh
map=$RNBD_CTL/map_device
SRV=/sys/class/rtrs-server
ALLOW=/sys/module/rtrs_server/parameters/allowed_clients
V4=path=ip:10.0.0.1
V6=path=ip:fd00:1::1

# row DESCRIPTION RESULT TEXT: one line written to map_device.
row() { check_write "$1" "$2" "$map" "$3"; }
# paths SESSION: how many paths of it the server has.
paths() { find "$SRV/$1/paths" -mindepth 1 -maxdepth 1 -type d 2>/dev/null | wc -l; }
has_paths() { [ "$(paths "$1")" = "$2" ]; }
# writes SESSION: how many write requests have arrived.
writes() { cat "$SRV/$1"/paths/*/stats/rdma | awk '{ sum += $3 } END { print sum }'; }
gone() { [ ! -e "$1" ]; }
unmap_all() {
	local disk
	for disk in $(rnbd_list); do
		rnbd_unmap "$disk" force || return 1
	done
}
# Reads until the file appears; what fails meanwhile is the client's business.
reader() {
	while [ ! -e /tmp/reader.stop ]; do
		dd if="/dev/$1" of=/dev/null bs=128k count=64 iflag=direct status=none 2>/dev/null || sleep 0.2
	done
}

check "network" setup_loopback_rxe
modprobe brd rd_nr=4 rd_size=16384 || bail "ram disks"
check_fails "an allow list has to be one" modprobe rtrs_server allowed_clients=10.0.0.1
check_fails "no limit is no limit of 0" modprobe rtrs_server max_sessions_per_peer=0
check "server" modprobe rtrs_server allowed_clients=ip:10.0.0.0/24 max_sessions_per_peer=2
check "modules" modprobe -a rnbd_server rnbd_client

# --- who may connect -------------------------------------------------------------------
check_eq "the list reads back" ip:10.0.0.0/24 "$(cat $ALLOW)"
dmesg_mark allow
row "not on the list" EACCES "sessname=six $V6 device_path=/dev/ram0"
check_eq "one line in the log says so" 1 "$(dmesg_since allow | grep -c 'not among allowed_clients')"
row "on the list" ok "sessname=four $V4 device_path=/dev/ram0"
check_write "an address needs its kind" EINVAL $ALLOW 10.0.0.1
check_write "and a prefix that fits" EINVAL $ALLOW ip:10.0.0.1/33
check_eq "a refused list changes nothing" ip:10.0.0.0/24 "$(cat $ALLOW)"
check_write "a list of three" ok $ALLOW "ip:192.0.2.0/24, ip:fd00:1::/64 gid:fe80::1"
check "who is in stays in" dd if=/dev/rnbd0 of=/dev/null bs=64k count=16 iflag=direct status=none
row "by IPv4 nobody comes any more" EACCES "sessname=four2 $V4 device_path=/dev/ram1"
row "by IPv6 they do" ok "sessname=six $V6 device_path=/dev/ram1"
check_write "no list" ok $ALLOW "
"

# --- how much one client may take ----------------------------------------------------------
row "a second session" ok "sessname=five $V4 device_path=/dev/ram2"
row "a third session of one address" ENOMEM "sessname=seven $V4 device_path=/dev/ram3"
row "another address has its own limit" ok "sessname=eight $V6 device_path=/dev/ram3"
check "unmap all" unmap_all
check "the server has forgotten them" wait_until 20 gone $SRV/four
# What was taken is given back a moment after the session has left sysfs.
taken() { [ "$(write_error "$map" "sessname=seven $V4 device_path=/dev/ram3")" = ok ]; }
check "and there is room again" wait_until 10 taken
check "unmap" unmap_all

# --- one request of 128 KiB ----------------------------------------------------------------
check "map" rnbd_map big /dev/ram0
check_eq "a request carries a whole chunk" 128 "$(cat "/sys/block/$RNBD_DEV/queue/max_hw_sectors_kb")"
before=$(writes big)
check "a write of 1 MiB in pieces of 128 KiB" dd if=/dev/zero of="/dev/$RNBD_DEV" bs=1M count=1 oflag=direct status=none
check_eq "arrives in 8 pieces" 8 "$(($(writes big) - before))"
check "unmap" unmap_all

# --- the administrator of the server ---------------------------------------------------------
check "two paths" rnbd_map two /dev/ram0 $V4 $V6
check "both serve" wait_until 20 has_paths two 2
rm -f /tmp/reader.stop
fio_verify "/dev/$RNBD_DEV" 8 --size=8m --iodepth=16 --thinktime=5ms >/tmp/two.log 2>&1 &
FIO=$!
sleep 2
dir=$(find $SRV/two/paths -mindepth 1 -maxdepth 1 -name '*10.0.0.1*')
check_write "disconnect takes a 1" EINVAL "$dir/disconnect" 2
check_write "disconnect" ok "$dir/disconnect" 1
check "the path goes" wait_until 20 gone "$dir"
check "IO goes on over the other" wait "$FIO"
cat /tmp/two.log
check "unmap" unmap_all

# --- an adapter pulled out under load -----------------------------------------------------------
check "map" rnbd_map pulled /dev/ram0
rm -f /tmp/reader.stop
reader "$RNBD_DEV" &
READER=$!
sleep 1
check "the adapter goes under load" timeout 60 rdma link delete rxe0
check "so do the server's sessions" wait_until 60 gone $SRV/pulled
check "it comes back" rdma link add rxe0 type rxe netdev dummy0
wait_until 20 has_gid rxe0 0a00:0001
wait_until 20 has_gid rxe0 fd00:0001:
touch /tmp/reader.stop
wait "$READER"
check "unmap" unmap_all
check "the server still listens, by IPv4" rnbd_map back4 /dev/ram0 $V4
check "it serves" dd if="/dev/$RNBD_DEV" of=/dev/null bs=128k count=16 iflag=direct status=none
check "and by IPv6" rnbd_map back6 /dev/ram1 $V6
check "unmap" unmap_all
check "the only adapter goes without any session" rdma link delete rxe0
check "and comes back" rdma link add rxe0 type rxe netdev dummy0
wait_until 20 has_gid rxe0 0a00:0001
check "the server still listens" rnbd_map again /dev/ram0 $V4

# --- unloading with a session alive ---------------------------------------------------------------
check_fails "the transport is in use" rmmod rtrs_server
rm -f /tmp/reader.stop
reader "$RNBD_DEV" &
READER=$!
sleep 1
check "the server goes under load" timeout 60 rmmod rnbd_server
check_eq "its sessions with it" "" "$(ls $SRV)"
touch /tmp/reader.stop
wait "$READER"
check "unmap" unmap_all
check "and it comes back" modprobe rnbd_server
check "for everybody" rnbd_map last /dev/ram0 $V4
check "unmap" unmap_all
check "unload all" modprobe -r rnbd_client rnbd_server
check_fails "whenever it listened, it did so for clients that use GIDs, too" \
	eval 'dmesg | grep -q "clients that use GIDs cannot connect"'
check "kmemleak finds nothing" kmemleak_scan
summary
