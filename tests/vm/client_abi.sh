#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What an administrator of the client sees and does with a mapped disk: every file, every errno,
# uevents, the loss of the server and its return. One VM, both roles; /lab/uevents is
# tests/tools/uevents.c. Environment: IMPL=rust|c, whose modules these are; what only ours have
# is left out for C.

. /lab/lib/guest.sh
. /lab/lib/rnbd.sh
IMPL=${IMPL:-rust}
map=$RNBD_CTL/map_device
P=path=ip:10.0.0.1
ours() { [ "$IMPL" = rust ]; }

check "network" setup_loopback_rxe
modprobe brd rd_nr=2 rd_size=65536 && modprobe loop && modprobe dm-mod || bail "backends"
truncate -s 64M /tmp/image && loop=$(losetup -f --show /tmp/image) || bail "loop device"
check "modules" modprobe -a rnbd_server rnbd_client

T=/sys/kernel/tracing
mount -t tracefs tracefs $T 2>/dev/null
# --- uevents: heard by a listener that does what a rule for udev would ---------------------------
heard=/tmp/uevents by_identity=/run/by-identity
/lab/uevents $by_identity >>$heard &
listener=$!
wait_until 10 grep -qx ready $heard || bail "nobody listens to uevents"
forget() { : >$heard; }
# uevents DISK: what was heard about it since `forget`: "add online offline change RESIZE=1".
uevents() { awk -v disk="$1" '$2 == disk { printf "%s%s%s", sep, $1, / RESIZE=1/ ? " RESIZE=1" : ""; sep = " " }' $heard; }
# check_uevents WHAT DISK WANTED: and nothing else. They arrive a little after what caused them.
check_uevents() {
	[ -n "$3" ] || sleep 0.5
	wait_until 5 eval "[ \"\$(uevents $2)\" = '$3' ]"
	check_eq "$1" "$3" "$(uevents "$2")"
	forget
}

# --- a mapping, and what it looks like -------------------------------------------------------------
forget
check_write "map" ok $map "sessname=abi $P device_path=$loop"
disk=rnbd0 rnbd=/sys/block/rnbd0/rnbd
[ -d $rnbd ] || bail "no disk"
check_uevents "add, then online" $disk "add online"
check_eq "both spellings" "$(readlink -f /sys/class/rnbd-client/ctl)" "$(readlink -f /sys/devices/virtual/rnbd-client/ctl)"
# `power` is there if the kernel was built with CONFIG_PM, and is no file of ours.
check_eq "entries of ctl" "devices map_device subsystem uevent" "$(cd $RNBD_CTL && printf '%s\n' * | grep -vx power | paste -sd' ')"
link=$RNBD_CTL/devices/${loop//\//!}@abi
check_eq "the link" "../../../block/$disk" "$(readlink "$link")"
check_eq "mode of map_device" 644 "$(stat -c %a $map)"
check_eq "through the link" "abi $loop" "$(cat "$link/rnbd/session" "$link/rnbd/mapping_path" | paste -sd' ')"
check_eq "no parent" "/sys/devices/virtual/block/$disk" "$(readlink -f /sys/block/$disk)"
modes() { (cd $rnbd && stat -c '%a %n' "$@" | paste -sd,); }
check_eq "modes" "444 access_mode,444 mapping_path,444 nr_poll_queues,644 remap_device,644 resize,444 session,444 state,644 unmap_device" \
	"$(modes access_mode mapping_path nr_poll_queues remap_device resize session state unmap_device)"
show() { check_eq "$1" "$2" "$(cat "$rnbd/$1"; echo .)"; }
for row in "access_mode rw" "mapping_path $loop" "nr_poll_queues 0" "session abi" "state open" \
	"unmap_device Usage: echo <normal|force> > unmap_device" "resize Usage: echo <new size in sectors> > resize" \
	"remap_device Usage: echo <1> > remap_device"; do
	show "${row%% *}" "${row#* }
."
done
check_eq "major" rnbd "$(awk -v n="$(($(stat -c 0x%t /dev/$disk)))" '/^Block/ { on = 1 } on && $1 == n { print $2 }' /proc/devices)"

# --- errors of the files ---------------------------------------------------------------------------
for text in "" 0 11 x "1 1"; do
	[ -z "$text" ] || check_write "remap_device with '$text'" EINVAL $rnbd/remap_device "$text"
done
check_write "remap_device of a device that is open" EALREADY $rnbd/remap_device 1
check_write "the same, with blanks around" EALREADY $rnbd/remap_device " 1
"
for text in " 8" "8 " x -1 0x ""; do
	[ -z "$text" ] || check_write "resize with '$text'" EINVAL $rnbd/resize "$text"
done
check_write "resize beyond 64 bits" ERANGE $rnbd/resize 18446744073709551616
forget
check_write "resize to the same" ok $rnbd/resize 131072
check_uevents "sends nothing" $disk ""
check_write "resize to less" ok $rnbd/resize "0x10000
"
check_eq "the size" 65536 "$(blockdev --getsz /dev/$disk)"
check_uevents "change, RESIZE=1" $disk "change RESIZE=1"
truncate -s 80M /tmp/image && losetup -c "$loop"
check_write "resize to what the device has now" ok $rnbd/resize +163840
check_eq "the size" 163840 "$(blockdev --getsz /dev/$disk)"
if ours; then
	check_write "resize to more than there is" EINVAL $rnbd/resize 163848
	check_eq "the size is as before" 163840 "$(blockdev --getsz /dev/$disk)"
fi
check_write "unmap_device with another word" EINVAL $rnbd/unmap_device now
check_write "the same device path twice" EEXIST $map "sessname=abi device_path=$loop"
# The C client asks the server first, which knows no such file.
! ours || check_write "a path that has the same link" EEXIST $map "sessname=abi device_path=${loop//\//!}"
check_write "access mode ro" ok $map "sessname=abi device_path=/dev/ram0 access_mode=ro"
check_eq "the disk is read-only" "1 ro" "$(cat /sys/block/rnbd1/ro /sys/block/rnbd1/rnbd/access_mode | paste -sd' ')"
check_eq "opening it for writing" EPERM "$(write_error /dev/rnbd1 x)"
check_write "unmap it" ok /sys/block/rnbd1/rnbd/unmap_device " normal
"
check_fails "its link is gone when write returns" test -L "$RNBD_CTL/devices/!dev!ram0@abi"
check_write "access mode migration" ok $map "sessname=abi device_path=/dev/ram0 access_mode=migration"
check_eq "it is shown" migration "$(cat /sys/block/rnbd1/rnbd/access_mode)"
check_write "unmap it" ok /sys/block/rnbd1/rnbd/unmap_device normal
exec 7</dev/$disk
check_write "unmap what is open" EBUSY $rnbd/unmap_device normal
check_fails "rmmod while it is open" rmmod rnbd_client
exec 7<&-

# --- the server goes and comes back ----------------------------------------------------------------------
dd if=/dev/urandom of=/dev/$disk bs=1M count=4 oflag=direct status=none
sum=$(dd if=/dev/$disk bs=1M count=4 iflag=direct status=none | sha256sum)
fio --name=load --filename=/dev/$disk --direct=1 --ioengine=libaio --rw=randread --bs=4k --iodepth=16 --time_based \
	--runtime=60 --output=/tmp/load >/dev/null 2>&1 &
load=$!
sleep 1
forget
check "the server is unloaded" rmmod rnbd_server
check "the disk notices" wait_until 20 grep -qx closed $rnbd/state
check_uevents "offline" $disk "offline"
check "what was under way has failed at once" wait_until 3 sh -c "! kill -0 $load"
check_fails "with an error" wait $load
check_fails "reading fails" dd if=/dev/$disk of=/dev/null bs=4k count=1 iflag=direct status=none
check_eq "at once, with an error" 1 "$(timeout 2 dd if=/dev/$disk of=/dev/null bs=4k count=1 iflag=direct status=none 2>/dev/null; echo $?)"
check_write "remap without a path" ECONNABORTED $rnbd/remap_device 1
check_write "resize without a path" ENOENT $rnbd/resize 8
check_eq "the disk is still there" 163840 "$(blockdev --getsz /dev/$disk)"
truncate -s 96M /tmp/image && losetup -c "$loop"
check "the server is loaded" modprobe rnbd_server
echo 1 >"$(echo /sys/class/rtrs-client/abi/paths/*)/reconnect"
check "the disk is open again" wait_until 60 grep -qx open $rnbd/state
check_eq "it has the size of now" 196608 "$(blockdev --getsz /dev/$disk)"
check_uevents "change, online" $disk "change RESIZE=1 online"
check_eq "the data is there" "$sum" "$(dd if=/dev/$disk bs=1M count=4 iflag=direct status=none | sha256sum)"
check "unmap" rnbd_unmap $disk
check_fails "the directory is gone when write returns" test -e /sys/block/$disk
check_uevents "remove" $disk "remove"
check_fails "the session, too" test -e /sys/class/rtrs-client/abi

# --- a disk that stays closed though there is a path -------------------------------------------------------
# That takes a server that refuses the device when the link is back. Then a C client does not ask
# again; ours does, in growing intervals, unless it is the disk that cannot take what there is.
name=/run/backend
ln -sfn /dev/ram0 $name
check_write "map by a link" ok $map "sessname=remap $P device_path=$name"
dd if=/dev/urandom of=/dev/$disk bs=64k count=1 oflag=direct status=none
sum=$(dd if=/dev/$disk bs=64k count=1 iflag=direct status=none | sha256sum)
check "the server is unloaded" rmmod rnbd_server
check "the disk notices" wait_until 20 grep -qx closed $rnbd/state
rm $name
check "the server is loaded" modprobe rnbd_server
path=$(echo /sys/class/rtrs-client/remap/paths/*)
echo 1 >"$path/reconnect"
check "the path is back" wait_until 60 grep -qx connected "$path/state"
check_write "remap says why the server refuses" ENOENT $rnbd/remap_device 1
if ours; then
	ln -sfn /dev/ram1 $name
	check_write "remap refuses another device" EINVAL $rnbd/remap_device 1
	check_write "and does so again" EINVAL $rnbd/remap_device 1
fi
ln -sfn /dev/ram0 $name
forget
sleep 3
check_eq "the disk stays closed" closed "$(cat $rnbd/state)"
check_eq "its usage is as ever" "Usage: echo <1> > remap_device" "$(cat $rnbd/remap_device)"
for text in 0 11 x; do check_write "remap_device with '$text'" EINVAL $rnbd/remap_device "$text"; done
check_eq "that did nothing" closed "$(cat $rnbd/state)"
check_write "remap opens it again" ok $rnbd/remap_device 1
check_eq "at once" open "$(cat $rnbd/state)"
check_uevents "online" $disk "online"
check_eq "the data is there" "$sum" "$(dd if=/dev/$disk bs=64k count=1 iflag=direct status=none | sha256sum)"
check_write "once more" EALREADY $rnbd/remap_device 1
check "unmap" rnbd_unmap $disk
if ! ours; then
	kill $listener
	summary
fi

# --- what only ours have -----------------------------------------------------------------------------------
# count OP N: a number of the statistics (1 ios, 2 bytes, 3 errors).
count() { awk -v op="$1" -v n="$2" '$1 == op { print $(n + 1) }' $rnbd/stats/io; }
check_write "the line of IBNBD" ok $map "server=ip:10.0.0.1 device_path=/dev/ram0 input_mode=mq io_mode=blockio"
check_eq "the session is named by the address" ip:10-0-0-1 "$(cat $rnbd/session)"
check_write "input_mode=rq" EINVAL $map "server=ip:10.0.0.1 device_path=/dev/ram1 input_mode=rq"
check "the reason is in the log" sh -c "dmesg | grep -q 'mq is the only one'"
check_eq "the disk's identity" "$(uname -n):ram0" "$(cat $rnbd/identity)"
link=$by_identity/rnbd-$(uname -n):ram0
check "who hears of the disk finds it there" wait_until 5 grep -qx "online $disk identity=$(uname -n):ram0" $heard
check_eq "and can name the disk by it" "/dev/$disk" "$(readlink "$link")"
check_eq "modes" "444 identity,644 io_timeout,444 io_mode,644 no_path_timeout,644 revalidate,755 stats" \
	"$(modes identity io_timeout io_mode no_path_timeout revalidate stats)"
check_eq "modes of stats" "444 in_flight,444 io,444 latency,444 reopened,444 requeued,644 reset,444 timeouts" \
	"$(cd $rnbd/stats && stat -c '%a %n' -- * | sort -k 2 | paste -sd,)"
check_eq "usages" "Usage: echo 1 > revalidate,Usage: echo 1 > reset" "$(cat $rnbd/revalidate $rnbd/stats/reset | paste -sd,)"
for text in 0 11 x; do check_write "stats/reset with '$text'" EINVAL $rnbd/stats/reset "$text"; done
for pair in "io_timeout 604800" "io_timeout 0" "no_path_timeout -1" "no_path_timeout 604800" "no_path_timeout 0"; do
	check_write "${pair% *} takes ${pair#* }" ok "$rnbd/${pair% *}" "${pair#* }
"
	check_eq "it reads back" "${pair#* }" "$(cat "$rnbd/${pair% *}")"
done
check_eq "operations" "read write flush discard secure_erase write_zeroes" "$(cut -d' ' -f1 $rnbd/stats/io | paste -sd' ')"
check_eq "and classes of latency" "24 24 24 24 24 24" "$(awk '{ print NF - 1 }' $rnbd/stats/latency | paste -sd' ')"
check_write "revalidate with another word" EINVAL $rnbd/revalidate 2
check_write "revalidate" ok $rnbd/revalidate 1
for text in -1 x 604801; do check_write "io_timeout with '$text'" EINVAL $rnbd/io_timeout "$text"; done
for text in -2 x 604801; do check_write "no_path_timeout with '$text'" EINVAL $rnbd/no_path_timeout "$text"; done
check_eq "what they are by default" "0 0" "$(cat $rnbd/io_timeout $rnbd/no_path_timeout | paste -sd' ')"

# Statistics: as many as fio counts.
check_write "reset the statistics" ok $rnbd/stats/reset 1
fio --name=count --filename=/dev/$disk --direct=1 --ioengine=libaio --rw=randrw --bs=4k --iodepth=8 --numjobs=2 \
	--group_reporting --number_ios=400 --size=8m --output-format=json --output=/tmp/count.json >/dev/null 2>&1
fio_count() { awk -v want="\"$1\"" -v key="\"$2\"" '$1 == want { on = 1 } on && $1 == key { gsub(",", "", $3); print $3; exit }' /tmp/count.json; }
for op in read write; do
	check_eq "$op: as many as fio counted" "$(fio_count $op total_ios)" "$(count $op 1)"
	check_eq "$op: bytes" "$(fio_count $op io_bytes)" "$(count $op 2)"
	check_eq "$op: latencies add up" "$(count $op 1)" \
		"$(awk -v op=$op '$1 == op { for (i = 2; i <= NF; i++) n += $i; print n }' $rnbd/stats/latency)"
done
check_eq "nothing is in flight" 0 "$(cat $rnbd/stats/in_flight)"
echo 1 >$rnbd/stats/reset
check_eq "a reset makes all of them zero" "" "$(cat $rnbd/stats/* | grep -v ^Usage | tr -d 'a-z_ 0\n')"
echo 1 >/sys/class/rnbd-server/ctl/devices/ram0/stats/reset
dd if=/dev/zero of=/dev/$disk bs=128k count=32 oflag=direct status=none
check_eq "and for the server" "write 32 4194304 0" "$(grep ^write\  /sys/class/rnbd-server/ctl/devices/ram0/stats/io)"
check_eq "128 KiB are one request" "32 4194304" "$(count write 1) $(count write 2)"
# fields EVENT: types and names, without what every event has.
fields() { sed -n 's/^\tfield:\([^;]*\);.*/\1/p' $T/events/rnbd_clt/"$1"/format | grep -v common_ | paste -sd,; }
check_eq "fields of send_io" "u32 disk,u32 device_id,u64 sector,u32 flags,u32 bi_size,u16 ioprio" "$(fields send_io)"
check_eq "fields of end_io" "u32 disk,u64 sector,u32 bi_size,int error,u64 nanoseconds" "$(fields end_io)"
check_eq "fields of device_state" "u32 disk,int state,u32 device_id" "$(fields device_state)"
check_eq "events" "create_sess destroy_sess device_state end_io send_io send_msg_close send_msg_open send_msg_sess_info" \
	"$(find $T/events/rnbd_clt -mindepth 1 -maxdepth 1 -type d -printf '%f\n' | sort | paste -sd' ')"
for event in create_sess destroy_sess; do
	check_eq "fields of $event" "int qdepth,__data_loc char[] sessname" "$(fields $event)"
done
check_eq "fields of send_msg_sess_info" "u8 proto_ver,u8 clt_ver,__data_loc char[] sessname" "$(fields send_msg_sess_info)"
check_eq "fields of send_msg_open" "u8 access_mode,__data_loc char[] sessname,__data_loc char[] dev_name" "$(fields send_msg_open)"
check_eq "fields of send_msg_close" "u32 device_id,__data_loc char[] sessname" "$(fields send_msg_close)"
echo >$T/trace
echo 1 >$T/events/rnbd_clt/enable
dd if=/dev/zero of=/dev/$disk bs=4k count=1 seek=2 oflag=direct status=none
check_write "map by another session" ok $map "sessname=traced $P device_path=/dev/ram1 access_mode=ro"
check "unmap it" rnbd_unmap rnbd1
echo 0 >$T/events/rnbd_clt/enable
# The server begins to count anywhere.
id=$(sed -n "s/.*send_io: I.O req: disk: $disk, devid: \([0-9]*\),.*/\1/p" $T/trace | head -n 1)
check "a request is traced when it goes" grep -q "send_io: I/O req: disk: $disk, devid: ${id:-none}, sector: 16, bsize: 4096, flags: 257," $T/trace
check "and when it has ended" grep -q "end_io: I/O end: disk: $disk, sector: 16, bsize: 4096, error: 0," $T/trace
check_eq "what a session tells the server is traced, from its beginning to its end" "create_sess: sessname: traced qdepth: 512
send_msg_sess_info: Session traced using proto-ver 2 (clt-ver: 2)
send_msg_open: Open message to send: session='traced' path='/dev/ram1' access_mode=RO
send_msg_close: Close message to send: session='traced' device id='N'
destroy_sess: sessname: traced qdepth: 512" \
	"$(grep -oE '(create_sess|destroy_sess|send_msg_[a-z_]+): .*' $T/trace | sed "s/device id='[0-9]*'/device id='N'/")"
check "unmap" rnbd_unmap $disk
check "its name goes with it" wait_until 5 sh -c "! test -L '$link'"

# Limits that only the extended answer has.
modprobe -q sd_mod
backend=sda
modprobe -q scsi_debug dev_size_mb=32 physblk_exp=3 opt_blks=256 opt_xferlen_exp=6
if wait_until 5 test -b /dev/sda; then
	check_write "map a disk with a geometry" ok $map "sessname=abi $P device_path=/dev/$backend"
	for file in physical_block_size logical_block_size minimum_io_size optimal_io_size rotational dma_alignment write_cache \
		fua stable_writes; do
		check_eq "queue/$file" "$(cat "/sys/block/$backend/queue/$file")" "$(cat "/sys/block/$disk/queue/$file")"
	done
	check "unmap" rnbd_unmap $disk
	modprobe -r scsi_debug
else
	note "no scsi_debug"
fi

# --- waiting for a path ------------------------------------------------------------------------------------
# Nobody who waits for a disk can be killed; so here nobody waits for him without an end.
ended() { wait_until "$1" sh -c "! kill -0 $2"; }
failed() { ended 0 "$1" && ! wait "$1"; }
# read_within SECONDS: what becomes of a read: "ok", "hangs" or what dd says.
read_within() {
	local said=/tmp/read.said dd
	dd if=/dev/$disk of=/dev/null bs=4k count=1 iflag=direct status=none >/dev/null 2>$said &
	dd=$!
	if ! ended "$1" $dd; then
		echo hangs
	elif wait $dd; then
		echo ok
	else
		sed -n 's/.*: //p' $said | tail -n 1
	fi
}
check_write "map" ok $map "sessname=abi $P device_path=/dev/ram1"
check_write "wait for ever" ok $rnbd/no_path_timeout -1
echo >$T/trace
echo 1 >$T/events/rnbd_clt/device_state/enable
rmmod rnbd_server
wait_until 20 grep -qx closed $rnbd/state
dd if=/dev/urandom of=/dev/$disk bs=4k count=64 oflag=direct status=none &
writer=$!
sleep 4
check "a write waits" kill -0 $writer
modprobe rnbd_server
echo 1 >"$(echo /sys/class/rtrs-client/abi/paths/*)/reconnect"
check "the disk is open again" wait_until 60 grep -qx open $rnbd/state
check "the write goes on" eval "ended 20 $writer && wait $writer"
echo 0 >$T/events/rnbd_clt/device_state/enable
check_eq "its states are traced" "closed open" "$(sed -n "s/.*device_state: disk: $disk, state: \([a-z]*\), devid: .*/\1/p" $T/trace | paste -sd' ')"
check_eq "and counted" 1 "$(cat $rnbd/stats/reopened)"
check_eq "and has arrived" "$(dd if=/dev/$disk bs=4k count=64 iflag=direct status=none | sha256sum)" "$(dd if=/dev/ram1 bs=4k count=64 status=none | sha256sum)"
# load_during SECONDS: writes of which 16 are always under way.
load_during() {
	fio --name=load --filename=/dev/$disk --direct=1 --ioengine=libaio --rw=randwrite --bs=4k --iodepth=16 --time_based \
		--runtime="$1" --output=/tmp/load >/dev/null 2>&1 &
	load=$!
	sleep 1
}
check_write "wait for thirty seconds" ok $rnbd/no_path_timeout 30
load_during 8
rmmod rnbd_server
check "there is no path" wait_until 20 grep -qx closed $rnbd/state
sleep 3
modprobe rnbd_server
echo 1 >"$(echo /sys/class/rtrs-client/abi/paths/*)/reconnect"
check "a load does not see an outage of some seconds" eval "ended 30 $load && wait $load"
check_write "wait for six seconds" ok $rnbd/no_path_timeout 6
load_during 60
rmmod rnbd_server
wait_until 20 grep -qx closed $rnbd/state
lost=$SECONDS
sleep 2
check "after some seconds IO waits" kill -0 $load
check "what had lost its path is counted" test "$(cat $rnbd/stats/requeued)" -gt 0
check "after more it fails" ended 12 $load
check "not before six are over" test $((SECONDS - lost)) -ge 5
check "with an error" failed $load
reads="$(count read 1) $(count read 2)" errors=$(count read 3)
check_eq "new IO fails at once with a transport error" "Link has been severed" "$(read_within 2)"
check_eq "it is an error in the statistics" "$((errors + 1))" "$(count read 3)"
check_eq "and no read that was done" "$reads" "$(count read 1) $(count read 2)"
errors=$(count write 3)
check_fails "so does a write" dd if=/dev/zero of=/dev/$disk bs=4k count=1 oflag=direct status=none
check_eq "it is an error, too" "$((errors + 1))" "$(count write 3)"
check_write "wait for ever" ok $rnbd/no_path_timeout -1
dd if=/dev/$disk of=/dev/null bs=4k count=1 iflag=direct status=none 2>/dev/null &
reader=$!
sleep 2
check "a read waits" kill -0 $reader
check_write "do not wait any longer" ok $rnbd/no_path_timeout 0
check "it ends" ended 3 $reader
check "with an error" failed $reader
check_write "unmap while the server is away" ok $rnbd/unmap_device normal
# What follows is not to suffer from somebody who still has it open.
[ ! -e $rnbd ] || rnbd_unmap $disk force
modprobe rnbd_server

# --- sizes follow by themselves ----------------------------------------------------------------------------
truncate -s 64M /tmp/image && losetup -c "$loop"
dmsetup create lab --table "0 32768 linear /dev/ram0 0" || bail "no dm"
# The node of the kernel: nobody here makes those in /dev/mapper for sure.
dm=/dev/dm-0
check_write "map the loop device" ok $map "sessname=abi $P device_path=$loop"
check_write "and read-only by another client" ok $map "sessname=abi2 $P device_path=$loop access_mode=ro"
check_write "and a dm device" ok $map "sessname=abi device_path=$dm"
fio --name=load --filename=/dev/rnbd0 --direct=1 --ioengine=libaio --rw=randrw --bs=4k --iodepth=16 --size=16m --time_based \
	--thinktime=5ms --runtime=8 --output=/tmp/load >/dev/null 2>&1 &
load=$!
sizes() { [ "$(blockdev --getsz /dev/rnbd0) $(blockdev --getsz /dev/rnbd1)" = "$1 $1" ]; }
size() { [ "$(blockdev --getsz "/dev/$1")" = "$2" ]; }
forget
truncate -s 128M /tmp/image && losetup -c "$loop"
check "both disks have grown within a second" within_a_second sizes 262144
check_uevents "change, RESIZE=1" rnbd0 "change RESIZE=1"
truncate -s 48M /tmp/image && losetup -c "$loop"
check "and shrunk" within_a_second sizes 98304
dmsetup suspend lab && dmsetup reload lab --table "0 65536 linear /dev/ram0 0" && dmsetup resume lab
check "the dm device has grown" within_a_second size rnbd2 65536
check "the load goes on" wait $load
for d in $(rnbd_list); do check "unmap $d" rnbd_unmap "$d"; done

# --- a server that does not answer --------------------------------------------------------------------------
check_write "map the dm device" ok $map "sessname=abi $P device_path=$dm"
dmsetup suspend --nolockfs --noflush lab
dd if=/dev/$disk of=/dev/null bs=4k count=1 iflag=direct status=none &
reader=$!
sleep 5
check "by default a request waits for its answer" kill -0 $reader
dmsetup resume lab
check "and gets it" eval "ended 20 $reader && wait $reader"
check_write "three seconds for each request" ok $rnbd/io_timeout 3
dmsetup suspend --nolockfs --noflush lab
now_ms() { echo $(($(date +%s%N) / 1000000)); }
started=$(now_ms)
check_eq "a request that hangs ends with ETIMEDOUT" "Connection timed out" "$(read_within 15)"
took=$(($(now_ms) - started))
note "after $took ms"
# The block layer's clock is coarse, but by half a second at most.
check "not before its time is over" test $took -ge 2400
check "it is counted" test "$(cat $rnbd/stats/timeouts)" -ge 1
dmsetup resume lab
echo 1 >"$(echo /sys/class/rtrs-client/abi/paths/*)/reconnect" 2>/dev/null
check "the disk works again" wait_until 60 sh -c "dd if=/dev/$disk of=/dev/null bs=4k count=1 iflag=direct status=none 2>/dev/null"
check "unmap" rnbd_unmap $disk
dmsetup remove lab

# --- without extensions, as with a server of C ----------------------------------------------------------------
check "unload" rmmod rnbd_client rtrs_client
check "load, as C" modprobe rtrs_client extensions=N
check "load the client" modprobe rnbd_client
check_write "fileio is refused" EOPNOTSUPP $map "sessname=abi $P device_path=$loop io_mode=fileio"
check_write "blockio is what there is" ok $map "sessname=abi $P device_path=$loop io_mode=blockio"
check_eq "no identity" "" "$(cat $rnbd/identity)"
# Who has not agreed on notices is never sent one: to such a client it would be a broken message.
path=$(echo /sys/class/rtrs-client/abi/paths/*)
truncate -s 56M /tmp/image && losetup -c "$loop"
sleep 2
check_eq "the size stays when the device grows" 98304 "$(blockdev --getsz /dev/$disk)"
check_eq "the path stays connected" "connected 0 0" "$(cat "$path/state" "$path/stats/reconnects" | paste -sd' ')"
check "and works" dd if=/dev/$disk of=/dev/null bs=4k count=16 iflag=direct status=none
echo 1 >"$path/reconnect"
check "a new connection brings the new size" wait_until 60 size $disk 114688
check "the disk is open" wait_until 10 grep -qx open $rnbd/state
check "unmap" rnbd_unmap $disk
losetup -d "$loop"
kill $listener
check "unload" rmmod rnbd_client rnbd_server rtrs_client rtrs_server rtrs_core
check "no leak" kmemleak_scan
summary
