#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The table of map_device results: bad input, hosts that do not answer, signals, whatever the
# server's open of a path gives, and what its access rules refuse. (Limits of the server are in
# server_limits.sh.) One VM, both roles. Environment: IMPL=rust|c, whose modules these are.

. /lab/lib/guest.sh
. /lab/lib/rnbd.sh
map=$RNBD_CTL/map_device
P=path=ip:10.0.0.1
IMPL=${IMPL:-rust}
ours() { [ "$IMPL" = rust ]; }

check "network" setup_loopback_rxe
modprobe brd rd_nr=2 rd_size=32768 || bail "ram disks"
long=$(printf 'x%.0s' $(seq 1 256))
mkdir -p /exp && mknod /exp/null c 1 3 && ln -s /dev/ram0 /exp/link && : >/exp/file &&
	ln -s loop /exp/loop && ln -s "$long" /exp/long && mknod /exp/absent b 60 0 || bail "what is to be exported"
check "modules" modprobe -a rnbd_server rnbd_client

check_eq "reading shows the usage" "$(printf '%s\n\n%s' \
	'Usage: echo "[dest_port=server port number] sessname=<name of the rtrs session> path=<[srcaddr@]dstaddr> [path=<[srcaddr@]dstaddr>] device_path=<full path on remote side> [access_mode=<ro|rw|migration>] [nr_poll_queues=<number of queues>]" > map_device' \
	'addr ::= [ ip:<ipv4> | ip:<ipv6> | gid:<gid> ]')" "$(cat "$map")"

# row DESCRIPTION ERRNO TEXT
row() { check_write "$1" "$2" "$map" "$3"; }

row "unknown option" EINVAL "sessname=a $P device_path=/dev/ram0 colour=red"
row "option without a value" EINVAL "sessname= $P device_path=/dev/ram0"
row "word without an equals sign" EINVAL "sessname=a $P device_path=/dev/ram0 ro"
row "no sessname" EINVAL "$P device_path=/dev/ram0"
row "no device_path" EINVAL "sessname=a $P"
row "bad port" EINVAL "sessname=a dest_port=65536 $P device_path=/dev/ram0"
row "negative port" EINVAL "sessname=a dest_port=-1 $P device_path=/dev/ram0"
row "port with a tail" EINVAL "sessname=a dest_port=12x $P device_path=/dev/ram0"
row "too many poll queues" EINVAL "sessname=a $P device_path=/dev/ram0 nr_poll_queues=100000"
row "bad access mode" EINVAL "sessname=a $P device_path=/dev/ram0 access_mode=RW"
row "session name too long" EINVAL "sessname=$long $P device_path=/dev/ram0"
row "device path too long" EINVAL "sessname=a $P device_path=/$long"
row "tab instead of a space, so that no path is given" ENXIO "sessname=a	$P device_path=/dev/ram0"
row "slash in a session name" EINVAL "sessname=a/b $P device_path=/dev/ram0"
row "dot in a session name" EINVAL "sessname=a.b $P device_path=/dev/ram0"
row "malformed address" EINVAL "sessname=a path=ip:10.0.0 device_path=/dev/ram0"
row "malformed source address" EINVAL "sessname=a path=tcp:1@ip:10.0.0.1 device_path=/dev/ram0"
row "unknown kind of address" EPROTONOSUPPORT "sessname=a path=10.0.0.1 device_path=/dev/ram0"
row "seven paths" ENOMEM "sessname=a $P $P $P $P $P $P $P device_path=/dev/ram0"
row "new session without a path" ENXIO "sessname=a device_path=/dev/ram0"
row "a GID on RoCE, for which the kernel has no route" ENODEV "sessname=a path=gid:fd00:0001:0000:0000:0000:0000:0000:0001 device_path=/dev/ram0"
row "nothing listens on the port" ECONNRESET "sessname=a dest_port=4321 $P device_path=/dev/ram0"
row "no such file" ENOENT "sessname=a $P device_path=/dev/nothing"
row "not a block device" ENOTBLK "sessname=a $P device_path=/exp/null"
row "not a device at all" ENOTBLK "sessname=a $P device_path=/exp/file"
row "not a directory" ENOTDIR "sessname=a $P device_path=/exp/file/x"
row "a link to itself" ELOOP "sessname=a $P device_path=/exp/loop"
row "a link to a name that no file can have" ENAMETOOLONG "sessname=a $P device_path=/exp/long"
row "a number that no driver has" ENXIO "sessname=a $P device_path=/exp/absent"
row "two dots" EINVAL "sessname=a $P device_path=/dev/../dev/ram0"
row "dots inside a name" EINVAL "sessname=a $P device_path=/dev/a..b"

# A drive without a medium. The debug kernel has none.
if modinfo scsi_debug >/dev/null 2>&1; then
	scsi() { ls -d /sys/bus/pseudo/drivers/scsi_debug/adapter*/host*/target*/*/block/* 2>/dev/null; }
	check "a drive" eval 'modprobe sd_mod && modprobe scsi_debug dev_size_mb=8 removable=1 && wait_until 20 scsi'
	drive=$(basename "$(scsi)")
	# It answers TEST UNIT READY by "not ready", "no medium".
	check "loses its medium" eval 'echo "2 1 0x00 0 0 0x2 0x2 0x3a 0x0" >"$(echo /sys/kernel/debug/scsi_debug/*:*/error)"'
	row "no medium" ENOMEDIUM "sessname=a $P device_path=/dev/$drive"
	check "the drive goes" wait_until 20 rmmod scsi_debug
fi

# --- hosts that cannot be reached --------------------------------------------------------
SILENT="sessname=a path=ip:10.0.0.77 device_path=/dev/ram0"
row "nobody has the address" ETIMEDOUT "$SILENT"
ip route add unreachable 10.9.0.0/16
row "a host that cannot be reached" EHOSTUNREACH "sessname=a path=ip:10.9.0.1 device_path=/dev/ram0"
row "a network to which nothing leads" ENETUNREACH "sessname=a path=ip:192.0.2.1 device_path=/dev/ram0"
row "a source that is not ours" EADDRNOTAVAIL "sessname=a path=ip:10.0.0.78@ip:10.0.0.1 device_path=/dev/ram0"
# interrupted: the error of a writer who is sent a signal while he waits for the silent host.
interrupted() {
	(
		trap : USR1
		printf '%s' "$SILENT" >"$map"
	) 2>/run/interrupted &
	sleep 2
	kill -USR1 $!
	wait $!
	error_name "$(cat /run/interrupted)"
}
began=$SECONDS
check_eq "a signal ends the waiting" EINTR "$(interrupted)"
check "at once" test $((SECONDS - began)) -lt 10
check_eq "nothing is mapped" "" "$(rnbd_list)"
check_fails "and no session is left" test -e /sys/class/rtrs-client/a
row "an empty write does nothing" ok ""

blockdev --setro /dev/ram1
row "write mode on a read-only backend" EACCES "sessname=a $P device_path=/dev/ram1"
row "read-only is fine" ok "sessname=a $P device_path=/dev/ram1 access_mode=ro"
check "unmap" rnbd_unmap rnbd0
blockdev --setrw /dev/ram1

# --- a mapped device -----------------------------------------------------------------
row "spaces and the order do not matter" ok "  device_path=/dev/ram0   $P  sessname=wrong sessname=s   access_mode=ro access_mode=rw
"
check_eq "the last value wins" s "$(cat /sys/block/rnbd0/rnbd/session)"
row "mapped twice" EEXIST "sessname=s device_path=/dev/ram0"
# The C client asks the server first, which knows no such file; a server of C never answers the
# second of these.
! ours || row "the same link name" EEXIST "sessname=s device_path=!dev!ram0"
! ours || row "the same device under another name" EEXIST "sessname=s device_path=/exp/link access_mode=ro"
row "a second writer" EPERM "sessname=t $P device_path=/dev/ram0"
row "a writer for a migration has to wait for no rw" ok "sessname=t $P device_path=/dev/ram0 access_mode=migration"
row "two writers are enough" EPERM "sessname=u $P device_path=/dev/ram0 access_mode=migration"
row "readers are welcome" ok "sessname=u $P device_path=/dev/ram0 access_mode=ro"
row "the session is there, seven paths are too many all the same" ENOMEM "sessname=s $P $P $P $P $P $P $P device_path=/dev/ram1"
row "the session is there, paths are ignored" ok "sessname=s path=ip:192.0.2.1 device_path=/dev/ram1"
row "poll queues need a new session" EINVAL "sessname=s $P device_path=/exp/ram2 nr_poll_queues=1"
for disk in $(rnbd_list); do
	check "unmap $disk" rnbd_unmap "$disk"
done

row "poll queues for all processors" ok "sessname=polled $P device_path=/dev/ram0 nr_poll_queues=-1"
check_eq "are as many as there are" "$(grep -c '^processor' /proc/cpuinfo)" "$(cat /sys/block/rnbd0/rnbd/nr_poll_queues)"
check "and the disk can be read" dd if=/dev/rnbd0 of=/dev/null bs=64k count=4 iflag=direct status=none
check "unmap" rnbd_unmap rnbd0

# --- unmapping -----------------------------------------------------------------------
check "map" rnbd_map s /dev/ram0
unmap=/sys/block/$RNBD_DEV/rnbd/unmap_device
check_eq "usage of unmap_device" "Usage: echo <normal|force> > unmap_device" "$(cat "$unmap")"
check_write "unmap with another word" EINVAL "$unmap" now
exec 7<"/dev/$RNBD_DEV"
check_write "unmap while open" EBUSY "$unmap" normal
exec 7<&-
check_write "unmap" ok "$unmap" "normal
"
check_fails "its directory is gone when write returns" test -e "/sys/block/$RNBD_DEV"

# --- the search path -------------------------------------------------------------------
check "unload" rmmod rnbd_server
# C drops what follows the name.
below=/disks
ours || below=
mkdir -p /exp/who/disks && mknod "/exp/who$below/d" b 1 0
check "search path with the session's name inside" modprobe rnbd_server "dev_search_path=/exp/%SESSNAME%$below" port_nr=7777
check_eq "it reads back" "/exp/%SESSNAME%$below" "$(cat /sys/module/rnbd_server/parameters/dev_search_path)"
row "the port is another" ECONNRESET "sessname=who $P device_path=d"
row "below the search path" ok "sessname=who dest_port=7777 $P device_path=/d"
row "not outside" ENOENT "sessname=who2 dest_port=7777 $P device_path=/dev/ram0"
check "unmap" rnbd_unmap rnbd0
# search_path TEXT: rnbd_server is loaded with it; a quoted text may have any character.
search_path() {
	local text
	rmmod rnbd_server 2>/dev/null
	text=$(modprobe rnbd_server "dev_search_path=\"$1\"" 2>&1) && echo ok || error_name "$text"
}
mkdir -p /exp/cut && mknod /exp/cut/d b 1 0
longest=/$(printf 'x%.0s' $(seq 1 4094))
check_eq "a search path of 4096 bytes" EINVAL "$(search_path "${longest}x")"
check_fails "keeps the module from loading" test -d /sys/module/rnbd_server
check_eq "one of 4095 bytes" ok "$(search_path "$longest")"
row "no name fits behind it" EINVAL "sessname=who $P device_path=d"
check_eq "a search path that ends with a newline" ok "$(search_path $'/exp/cut\n')"
check_eq "is cut there" /exp/cut "$(cat /sys/module/rnbd_server/parameters/dev_search_path)"
row "and leads to the disks" ok "sessname=who $P device_path=d"
check "unmap" rnbd_unmap rnbd0
check_eq "one with a newline inside" ok "$(search_path $'/exp/cut\nnowhere')"
row "is cut there, too" ok "sessname=who $P device_path=d"
check "unmap" rnbd_unmap rnbd0
check "unload all" rmmod rnbd_client rnbd_server rtrs_client rtrs_server rtrs_core
check_fails "a chunk must not be tiny" modprobe rtrs_server max_chunk_size=4096
check_fails "a chunk is a power of two" modprobe rtrs_server max_chunk_size=100000
check_fails "no chunks, no sessions" modprobe rtrs_server sess_queue_depth=0
check_fails "more than the immediate can say" modprobe rtrs_server sess_queue_depth=4096 max_chunk_size=131072
summary
