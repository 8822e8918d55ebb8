#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What an administrator of the server sees and does: the files of an exported device, trace
# points, forced close, devices that grow and shrink, statistics, regular files as backends. One
# VM, both roles. Environment: SECS, fio's time per run; IMPL=rust|c, whose modules these are; what
# only ours have is left out for C.

. /lab/lib/guest.sh
. /lab/lib/rnbd.sh
SRV=/sys/class/rnbd-server/ctl/devices
SECS=${SECS:-3} IMPL=${IMPL:-rust}
ours() { [ "$IMPL" = rust ]; }

# files DIR: mode and name of everything directly in it, in one line.
files() { (cd "$1" && stat -c '%a %n' -- * | sort -k 2 | paste -sd,); }
# count DEV OP N: the Nth number of the operation in the statistics (1 ios, 2 bytes, 3 errors).
count() { awk -v op="$2" -v n="$3" '$1 == op { print $(n + 1) }' "$SRV/$1/stats/io"; }
# latencies DEV OP: the sum over all classes.
latencies() { awk -v op="$2" '$1 == op { for (i = 2; i <= NF; i++) n += $i; print n }' "$SRV/$1/stats/latency"; }
direct() { dd "$@" status=none; }
write_fails() { ! direct if=/dev/zero of="/dev/$1" bs=4k count=1 oflag=direct conv=notrunc 2>/dev/null; }

check "network" setup_loopback_rxe
modprobe brd rd_nr=3 rd_size=65536 max_part=8 || bail "ram disks"
modprobe loop || bail "loop"
check "modules" modprobe -a rnbd_server rnbd_client
params=/sys/module/rnbd_server/parameters
check_eq "the port and the search path" "1234 /" "$(cat $params/{port_nr,dev_search_path} | grep . | paste -sd' ')"
check_eq "their modes" "444 444" "$(stat -c %a $params/{port_nr,dev_search_path} | paste -sd' ')"
! ours || check_eq "parameters" "N N Y" "$(cat $params/{export_files,exclusive,partition_conflicts} | paste -sd' ')"

# --- the files ----------------------------------------------------------------------------
empty() { [ -z "$(ls -A "$SRV")" ]; }
check "nothing is exported" empty
check "map" rnbd_map s /dev/ram0
disk=$RNBD_DEV dev=$SRV/ram0
if ours; then
	check_eq "entries of a device" "777 block_dev,444 identity,444 io_mode,444 path,644 revalidate,755 sessions,755 stats" "$(files $dev)"
else
	check_eq "entries of a device" "777 block_dev,755 sessions" "$(files $dev)"
fi
check_eq "entries of a mapping" "444 access_mode,644 force_close,444 mapping_path,444 read_only" "$(files $dev/sessions/s)"
check_eq "block_dev" ../../../../block/ram0 "$(readlink $dev/block_dev)"
check_eq "both spellings" "$(readlink -f $dev)" "$(readlink -f /sys/devices/virtual/rnbd-server/ctl/devices/ram0)"
check_eq "usage of force_close" "Usage: echo 1 > force_close" "$(cat $dev/sessions/s/force_close)"
check_eq "a mapping" "rw 0 /dev/ram0" "$(cat $dev/sessions/s/{access_mode,read_only,mapping_path} | paste -sd' ')"
dmesg_mark force
for text in 2 " 1" "1 " 11 ""; do
	[ -z "$text" ] || check_write "force_close with '$text'" EINVAL $dev/sessions/s/force_close "$text"
done
printf 'size=16MiB\nsize=16MiB\n' | sfdisk -q /dev/ram2 >/dev/null 2>&1
check "partitions" wait_until 10 test -b /dev/ram2p2
check "map it" rnbd_map s /dev/ram2p1
part=$RNBD_DEV
check_eq "a partition's block_dev is its disk" ram2 "$(basename "$(readlink $SRV/ram2p1/block_dev)")"
check_eq "an absolute path and a relative one are the same" ok "$(write_error $RNBD_CTL/map_device "sessname=r path=ip:10.0.0.1 device_path=dev/ram0 access_mode=ro")"
check_eq "both sessions are shown with the device" "r s" "$(cd $dev/sessions && echo *)"
check_eq "each with its own path" "1 dev/ram0" "$(cat $dev/sessions/r/{read_only,mapping_path} | paste -sd' ')"
check "one goes" rnbd_unmap rnbd2
check_eq "the other stays" s "$(ls $dev/sessions)"
if ours; then
	check "the log says what force_close takes" logged force "this file takes nothing but a 1"
	check_eq "entries of the statistics" "444 in_flight,444 io,444 latency,644 reset" "$(files $dev/stats)"
	check_eq "usage of revalidate" "Usage: echo 1 > revalidate" "$(cat $dev/revalidate)"
	check_eq "usage of stats/reset" "Usage: echo 1 > reset" "$(cat $dev/stats/reset)"
	check_eq "the path of a device" "" "$(cat $dev/path)"
	check_eq "io_mode" blockio "$(cat $dev/io_mode)"
	check_eq "identity of a disk that has none" "$(uname -n):ram0" "$(cat $dev/identity)"
	check_eq "the client shows it, too" "$(uname -n):ram0" "$(cat "/sys/block/$disk/rnbd/identity")"
	check_eq "a partition's identity" "$(uname -n):ram2p1" "$(cat $SRV/ram2p1/identity)"
fi

# --- trace points -------------------------------------------------------------------------------------------
mount -t tracefs none /sys/kernel/tracing 2>/dev/null
trace=/sys/kernel/tracing
echo 1 >$trace/events/rnbd_srv/enable
check_eq "events" "create_sess destroy_sess process_msg_close process_msg_open process_msg_sess_info process_rdma" \
	"$(find $trace/events/rnbd_srv -mindepth 1 -maxdepth 1 -type d -printf '%f\n' | sort | paste -sd' ')"
# fields EVENT: types and names, without what every event has.
fields() { sed -n 's/^\tfield:\([^;]*\);.*/\1/p' $trace/events/rnbd_srv/"$1"/format | grep -v common_ | paste -sd,; }
for event in create_sess destroy_sess; do
	check_eq "fields of $event" "int qdepth,__data_loc char[] sessname" "$(fields $event)"
done
check_eq "fields of process_msg_sess_info" "u8 proto_ver,u8 clt_ver,u8 srv_ver,__data_loc char[] sessname" \
	"$(fields process_msg_sess_info)"
check_eq "fields of process_msg_open" "u8 access_mode,__data_loc char[] sessname,__data_loc char[] dev_name" "$(fields process_msg_open)"
check_eq "fields of process_msg_close" "u32 device_id,__data_loc char[] sessname" "$(fields process_msg_close)"
check_eq "fields of process_rdma" \
	"__data_loc char[] sessname,u8 dir,u8 ver,u32 device_id,u64 sector,u32 flags,u32 bi_size,u16 ioprio,u32 datalen,size_t usrlen" \
	"$(fields process_rdma)"
rnbd_map traced /dev/ram1 path=ip:10.0.0.1
direct if=/dev/zero of="/dev/$RNBD_DEV" bs=4k seek=2 count=1 oflag=direct
rnbd_unmap "$RNBD_DEV"
# A session that goes while it has a device.
rnbd_map thrown /dev/ram1 path=ip:10.0.0.1
echo 1 >"$(echo /sys/class/rtrs-server/thrown/paths/*)/disconnect"
wait_until 10 test ! -e /sys/class/rtrs-server/thrown
rnbd_unmap "$RNBD_DEV" force
echo 0 >$trace/events/rnbd_srv/enable
# traced TEXT: whether the trace has a line with the text.
traced() { grep -qF -- "$1" "$trace/trace"; }
# The server begins to count anywhere.
id=$(sed -n "s/.*session='traced' device id='\([0-9]*\)'.*/\1/p" "$trace/trace")
check "create_sess" traced "create_sess: sessname: traced qdepth: 512"
check "process_msg_sess_info" traced "proto-ver 2 (clt-ver: 2, srv-ver: 2)"
check "process_msg_open" traced "session='traced' path='/dev/ram1' access_mode=RW"
check "process_rdma" traced "I/O req: sess: traced, type: WRITE, ver: 2, devid: $id, sector: 16, bsize: 4096, flags: 257, ioprio:"
check "process_msg_close" test -n "$id"
check "destroy_sess" traced "destroy_sess: sessname: thrown qdepth: 512"
check_fails "which a session without devices does not have" traced "destroy_sess: sessname: traced"
echo >$trace/trace

if ! ours; then
	# Nothing more is opened in that session afterwards: C would give the id away again.
	check_write "force_close" ok $dev/sessions/s/force_close "1
"
	check "the mapping is gone" wait_until 10 test ! -e $dev
	check "the disk fails" write_fails "$disk"
	check "the session's other device goes on" direct if="/dev/$part" of=/dev/null bs=4k count=16 iflag=direct
	for d in $(rnbd_list); do check "unmap $d" rnbd_unmap "$d"; done
	check "nothing is exported any more" wait_until 10 empty
	check "unload" rmmod rnbd_client rnbd_server rtrs_client rtrs_server rtrs_core
	summary
fi

# --- ids -------------------------------------------------------------------------------------
echo 1 >/sys/kernel/tracing/events/rnbd_srv/process_msg_close/enable
for _ in 1 2; do
	check "map in a session of its own" rnbd_map once /dev/ram1
	rnbd_unmap "$RNBD_DEV"
done
echo 0 >/sys/kernel/tracing/events/rnbd_srv/process_msg_close/enable
ids=$(grep -o "device id='[0-9]*'" /sys/kernel/tracing/trace)
echo >/sys/kernel/tracing/trace
check_eq "two devices were closed" 2 "$(wc -l <<<"$ids")"
check_eq "the id of a device is not that of the session before" 2 "$(sort -u <<<"$ids" | wc -l)"

# --- forced close ---------------------------------------------------------------------------
direct if=/dev/urandom of=/dev/ram1 bs=1M count=4
sum=$(sha256sum </dev/ram1)
fio --name=load --filename="/dev/$disk" --direct=1 --ioengine=libaio --rw=randwrite --bs=4k --iodepth=32 \
	--time_based --runtime=60 >/tmp/load 2>&1 &
load=$!
before=$(count ram0 write 1)
# The gauge of what is in flight is mostly 0 here: a RAM disk is done when it has been asked.
running() { [ "$(count ram0 write 1)" -gt $((before + 100)) ]; }
check "IO is running" wait_until 20 running
sleep 1
check_write "force_close under load" ok $dev/sessions/s/force_close 1
check_fails "the mapping is gone when write returns" test -e $dev/sessions/s
check_fails "and the device, which nobody else has" test -e $dev
check_fails "the load fails" wait $load
check_eq "the client's disk is still there" open "$(cat "/sys/block/$disk/rnbd/state")"
check "and fails" write_fails "$disk"
check "map another device in the same session" rnbd_map s /dev/ram1
other=$RNBD_DEV
check "the old disk does not lead there" write_fails "$disk"
check_eq "nothing was written" "$sum" "$(sha256sum </dev/ram1)"
check "another device of the session goes on" direct if="/dev/$part" of=/dev/null bs=4k count=16 iflag=direct
check "unmap the old disk" rnbd_unmap "$disk"
check "map it again" rnbd_map s /dev/ram0
check "it works" direct if=/dev/zero of="/dev/$RNBD_DEV" bs=4k count=16 oflag=direct
check_write "force_close with a newline, no IO" ok $dev/sessions/s/force_close "1
"
check "the disk fails" write_fails "$RNBD_DEV"
check_write "its revalidate opens it again" ok "/sys/block/$RNBD_DEV/rnbd/revalidate" 1
check "it works again" direct if=/dev/zero of="/dev/$RNBD_DEV" bs=4k count=16 oflag=direct
for d in $RNBD_DEV $other $part; do check "unmap $d" rnbd_unmap "$d"; done
check "nothing is exported any more" wait_until 10 empty

# --- statistics --------------------------------------------------------------------------------------
check "map" rnbd_map a /dev/ram0
disk=$RNBD_DEV
echo 1 >$SRV/ram0/stats/reset
check_eq "statistics start at zero" "read 0 0 0" "$(head -n 1 $SRV/ram0/stats/io)"
fio --name=count --filename="/dev/$disk" --direct=1 --ioengine=libaio --rw=randrw --bs=4k --iodepth=8 --numjobs=2 \
	--group_reporting --number_ios=400 --size=8m --output-format=json --output=/tmp/count.json >/dev/null 2>&1
fio_count() { awk -v want="\"$1\"" -v key="\"$2\"" '$1 == want { on = 1 } on && $1 == key { gsub(",", "", $3); print $3; exit }' /tmp/count.json; }
for op in read write; do
	check_eq "$op: as many as fio counted" "$(fio_count $op total_ios)" "$(count ram0 $op 1)"
	check_eq "$op: bytes" "$(fio_count $op io_bytes)" "$(count ram0 $op 2)"
	check_eq "$op: latencies add up" "$(count ram0 $op 1)" "$(latencies ram0 $op)"
	check_eq "$op: no errors" 0 "$(count ram0 $op 3)"
done
check_eq "nothing is in flight" 0 "$(cat $SRV/ram0/stats/in_flight)"
check_write "reset with another word" EINVAL $SRV/ram0/stats/reset 0
check_write "reset" ok $SRV/ram0/stats/reset 1
check_eq "all is zero again" 0 "$(cat $SRV/ram0/stats/{io,latency} | tr -cd '1-9' | wc -c)"
blockdev --setro /dev/ram0
check "a write to what became read-only fails" write_fails "$disk"
check_eq "and is counted as an error" 1 "$(count ram0 write 3)"
blockdev --setrw /dev/ram0
for d in $(rnbd_list); do rnbd_unmap "$d"; done

# --- sizes that change ----------------------------------------------------------------------------------
# The server looks four times a second.
truncate -s 32M /tmp/image && loop=$(losetup -f --show /tmp/image) || bail "loop device"
check "map a loop device" rnbd_map a "$loop"
disk=$RNBD_DEV name=${loop#/dev/}
dmesg_mark grow
truncate -s 48M /tmp/image && losetup -c "$loop"
check "the server sees it grow" within_a_second logged grow "changed from 65536 to 98304 sectors"
dmesg_mark shrink
truncate -s 16M /tmp/image && losetup -c "$loop"
check "and shrink" within_a_second logged shrink "changed from 98304 to 32768 sectors"
check_fails "behind the end nothing is read" direct if="/dev/$disk" of=/dev/null bs=4k count=1 skip=5000 iflag=direct
check_write "revalidate with another word" EINVAL "$SRV/$name/revalidate" 2
check_write "revalidate" ok "$SRV/$name/revalidate" 1
check "map it for two clients" rnbd_map b "$loop" access_mode=ro
second=$RNBD_DEV
sectors() { [ "$(blockdev --getsz "/dev/$disk")" = "$1" ] && [ "$(blockdev --getsz "/dev/$second")" = "$1" ]; }
for size in 24 64 8 32; do
	truncate -s ${size}M /tmp/image && losetup -c "$loop"
	check "both clients follow to $size MiB" within_a_second sectors $((size * 2048))
done
check "the disk works to its new end" direct if=/dev/zero of="/dev/$disk" bs=1M seek=31 count=1 oflag=direct
echo 8192 >"/sys/block/$disk/rnbd/resize"
check_eq "a size set by hand" 8192 "$(blockdev --getsz "/dev/$disk")"
check_write "revalidate on the server" ok "$SRV/$name/revalidate" 1
check "puts it right" within_a_second sectors 65536
check "unmap" rnbd_unmap "$second"

# --- IO in one piece --------------------------------------------------------------------------------------
check_eq "a request carries 128 KiB" 128 "$(cat "/sys/block/$disk/queue/max_hw_sectors_kb")"
writes() { awk '{ print $5, $7 }' "/sys/block/$name/stat"; }
read -r ios0 sectors0 <<<"$(writes)"
direct if=/dev/zero of="/dev/$disk" bs=128k count=16 oflag=direct
read -r ios1 sectors1 <<<"$(writes)"
check_eq "16 writes of 128 KiB arrive as they are" "16 $((16 * 256))" "$((ios1 - ios0)) $((sectors1 - sectors0))"
check "unmap" rnbd_unmap "$disk"
losetup -d "$loop"

# --- files that a client asks for ---------------------------------------------------------------------------
truncate -s 8M /tmp/sparse
map_refused "directly there is no file" ENOTBLK "sessname=a path=ip:10.0.0.1 device_path=/tmp/sparse io_mode=blockio" "io_mode=fileio"
check "io_mode=fileio" rnbd_map a /tmp/sparse io_mode=fileio
check_eq "the client knows" fileio "$(cat "/sys/block/$RNBD_DEV/rnbd/io_mode")"
check "it can be written" direct if=/dev/urandom of="/dev/$RNBD_DEV" bs=64k count=8 oflag=direct
check "and is the file" cmp -n 524288 "/dev/$RNBD_DEV" /tmp/sparse
truncate -s 12M /tmp/sparse
longer() { [ "$(blockdev --getsz "/dev/$RNBD_DEV")" = 24576 ]; }
check "the client follows when it grows" within_a_second longer
rnbd_unmap "$RNBD_DEV"

# --- regular files -----------------------------------------------------------------------------------------
check "unload" rmmod rnbd_client rnbd_server
mkfs.ext4 -q -F /dev/ram1 && mkdir -p /back && mount /dev/ram1 /back || bail "a file system"
truncate -s 32M /back/image && ln /back/image /back/hard && ln -s image /back/soft
check "load, to export files" modprobe rnbd_server export_files=Y
check "load the client" modprobe rnbd_client
check "map a sparse file" rnbd_map f /back/image path=ip:10.0.0.1
disk=$RNBD_DEV
name=$(ls $SRV)
check_eq "its name is its inode" "file-$(stat -c '%Hd:%Ld-%i' /back/image)" "$name"
check_eq "io_mode" fileio "$(cat "$SRV/$name/io_mode")"
check_eq "the client, which did not ask for it, shows it" fileio "$(cat "/sys/block/$disk/rnbd/io_mode")"
check_eq "path" /back/image "$(cat "$SRV/$name/path")"
check "identity: file system and inode" grep -q "^file\.[0-9a-f]\{32\}\.$(stat -c %i /back/image)\." "$SRV/$name/identity"
check_fails "no block_dev" test -e "$SRV/$name/block_dev"
check_eq "size" 65536 "$(blockdev --getsz "/dev/$disk")"
check_eq "write cache" "write back" "$(cat "/sys/block/$disk/queue/write_cache")"
direct if=/dev/urandom of="/dev/$disk" bs=64k seek=511 count=1 oflag=direct conv=fsync
check "sparse stays sparse" test "$(stat -c %b /back/image)" -le 256
check "data" fio_verify "/dev/$disk" "$SECS" --size=24m
direct if=/dev/urandom of="/dev/$disk" bs=1M count=8 oflag=direct
check "what was written is in the file" cmp -n 8388608 "/dev/$disk" /back/image
check "a flush" direct if=/dev/urandom of="/dev/$disk" bs=4k count=1 conv=fsync
check "which is counted" test "$(count "$name" flush 1)" -gt 0
sync
before=$(stat -c %b /back/image)
check "discard" blkdiscard -o 0 -l 4M "/dev/$disk"
check "gives space back" test "$(stat -c %b /back/image)" -lt "$before"
check "discarded blocks read as zeroes" cmp -n 4194304 "/dev/$disk" /dev/zero
check "write zeroes" blkdiscard -z -o 4M -l 1M "/dev/$disk"
check "zeroed blocks read as zeroes" cmp -n 1048576 -i 4194304:0 "/dev/$disk" /dev/zero
check_eq "the size of the file is the same" 33554432 "$(stat -c %s /back/image)"
check "another session" rnbd_map g /dev/ram0 path=ip:10.0.0.1
map_refused "the same file by a hard link" EPERM "sessname=g device_path=/back/hard" "held by session f as rw"
map_refused "the same file by a symlink" EPERM "sessname=g device_path=/back/soft access_mode=rw" "held by session f as rw"
check "reading it is fine" rnbd_map g /back/soft access_mode=ro
map_refused "a directory" ENOTBLK "sessname=g device_path=/back" "neither a block device nor a regular file"
mkfifo /back/fifo
# The log takes ten such lines in five seconds.
sleep 6
# What the kernel calls regular files there shows its memory, and changes it.
for file in /proc/kcore /proc/kallsyms /sys/power/state /sys/module/rtrs_server/parameters/allowed_clients; do
	if [ -e $file ]; then
		map_refused "a kernel file is not exported: ${file##*/}" ENOTBLK "sessname=g device_path=$file access_mode=ro io_mode=fileio" \
			"neither a block device nor a regular file"
	fi
done
truncate -s 1M /back/log && chattr +a /back/log
map_refused "a file that can only grow is not written" EACCES "sessname=g device_path=/back/log io_mode=fileio" "map it ro"
check "but read" rnbd_map g /back/log access_mode=ro
map_refused "a pipe is not opened" ENOTBLK "sessname=g device_path=/back/fifo" "neither a block device nor a regular file"
dmesg_mark file
truncate -s 40M /back/image
check "the server sees the file grow" within_a_second logged file "changed from 65536 to 81920 sectors"
check_write "force_close of a file" ok "$SRV/$name/sessions/f/force_close" 1
check "the disk fails" write_fails "$disk"
for d in $(rnbd_list); do rnbd_unmap "$d"; done
check "all files are closed" wait_until 10 umount /back

# --- claims ---------------------------------------------------------------------------------------------------
check "unload" rmmod rnbd_client rnbd_server
check "load, to claim devices" modprobe rnbd_server exclusive=Y
check "load the client" modprobe rnbd_client
mount /dev/ram1 /back
dmesg_mark claim
check_write "a mounted device cannot be written" EBUSY $RNBD_CTL/map_device "sessname=x path=ip:10.0.0.1 device_path=/dev/ram1"
check "the log says why" logged claim "this host uses it exclusively"
check "but read" rnbd_map x /dev/ram1 access_mode=ro path=ip:10.0.0.1
rnbd_unmap "$RNBD_DEV"
umount /back
check "map" rnbd_map x /dev/ram1 path=ip:10.0.0.1
check_fails "this host cannot mount it" mount /dev/ram1 /back
check "a second writer of the protocol can have it" rnbd_map y /dev/ram1 access_mode=migration path=ip:10.0.0.1
for d in $(rnbd_list); do rnbd_unmap "$d"; done
check "it can be mounted again" wait_until 5 mount /dev/ram1 /back
umount /back
check "unload with nothing left" rmmod rnbd_client rnbd_server rtrs_client rtrs_server rtrs_core
check "no leak" kmemleak_scan
summary
