#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What a backend is and can do reaches the client: limits, features and names of devices of many
# kinds, sizes that change under load with two clients, flushes of 4 KiB blocks, priorities, and
# what is refused. One VM, both roles.
# Environment: SECS, fio's time per run; FULL=Y where the kernel must have every kind of device
# (the lab's debug kernel has no SCSI, no NVMe and no zones; the script says so). The VM has the
# devices that scripts/suites.sh gives it: a virtio disk, and an NVMe disk with two namespaces.

. /lab/lib/guest.sh
. /lab/lib/rnbd.sh
SECS=${SECS:-2} FULL=${FULL:-Y}
SRV=/sys/class/rnbd-server/ctl/devices

full() { [ "$FULL" = Y ]; }
direct() { dd "$@" status=none; }
identity() { cat "/sys/block/$1/rnbd/identity"; }

# --- limits -------------------------------------------------------------------------------
LIMITS="logical_block_size physical_block_size minimum_io_size optimal_io_size rotational write_cache fua
	stable_writes dma_alignment discard_granularity discard_max_bytes write_zeroes_max_bytes"
# What a message can say: the bytes of a range are 32 bits.
LONGEST=4294966784

# limit DISK NAME
limit() { cat "/sys/block/$1/queue/$2"; }

# wanted BACKEND NAME: what the client's disk has to show.
wanted() {
	local value block
	value=$(limit "$1" "$2")
	block=$(limit "$1" logical_block_size)
	case $2 in
	discard_max_bytes | write_zeroes_max_bytes)
		[ "$value" -le $LONGEST ] || value=$LONGEST
		value=$((value / block * block))
		;;
	# The transport has a best size, too.
	optimal_io_size) [ "$value" != 0 ] || value=131072 ;;
	esac
	echo "$value"
}

# carried KIND BACKEND [NAME=VALUE...]: maps the backend; its disk is in RNBD_DEV. The client
# shows the limits of the backend, and these values in particular.
carried() {
	local kind=$1 backend=$2 name word different=''
	shift 2
	rnbd_map l "/dev/$backend" || { check "$kind: map" false; return 1; }
	for name in $LIMITS; do
		[ "$(wanted "$backend" "$name")" = "$(limit "$RNBD_DEV" "$name")" ] ||
			different+=" $name: $(wanted "$backend" "$name") is $(limit "$RNBD_DEV" "$name");"
	done
	check_eq "$kind: the client has the limits of the backend" "" "$different"
	for word in "$@"; do
		check_eq "$kind: ${word%%=*}" "${word#*=}" "$(limit "$RNBD_DEV" "${word%%=*}")"
	done
}

# dm NAME: the device of a volume.
dm() { echo "dm-$(dmsetup info -c --noheadings -o minor "$1")"; }

# nullb NAME [ATTRIBUTE=VALUE...]: a null_blk device /dev/NAME of 32 MiB.
nullb() {
	local dir=/sys/kernel/config/nullb/$1 word
	shift
	mkdir "$dir" && echo 32 >"$dir/size" || return
	for word in "$@"; do echo "${word#*=}" >"$dir/${word%%=*}" || return; done
	echo 1 >"$dir/power"
}

check "network" setup_loopback_rxe
modprobe brd rd_nr=4 rd_size=65536 max_part=8 || bail "ram disks"
modprobe -a loop dm-mod virtio_blk raid1 || bail "loop, device mapper, virtio, md"
modprobe null_blk nr_devices=0 || bail "null_blk"
[ -d /sys/kernel/config/nullb ] || mount -t configfs none /sys/kernel/config || bail "configfs"
check "modules" modprobe -a rnbd_server rnbd_client
# Keeps the session while the others come and go.
check "map" rnbd_map l /dev/ram3
check_eq "a request carries 128 KiB" 128 "$(limit "$RNBD_DEV" max_hw_sectors_kb)"

carried "ram disk" ram0 physical_block_size=4096 discard_granularity=4096 "write_cache=write through" rotational=0 &&
	check "ram disk: unmap" rnbd_unmap "$RNBD_DEV"

truncate -s 32M /tmp/image && loop=$(losetup -f --show -b 4096 /tmp/image) || bail "loop device"
carried "loop with 4 KiB blocks" "${loop#/dev/}" logical_block_size=4096 "write_cache=write back" discard_granularity=4096 &&
	check "loop: unmap" rnbd_unmap "$RNBD_DEV"

dmsetup create striped --table "0 131072 striped 2 128 /dev/ram0 0 /dev/ram1 0" || bail "device mapper"
carried "stripes" "$(dm striped)" minimum_io_size=65536 optimal_io_size=131072 && {
	check_eq "stripes: a volume without a uuid is named by its name" "$(uname -n):striped" "$(identity "$RNBD_DEV")"
	check "stripes: unmap" rnbd_unmap "$RNBD_DEV"
}
check "stripes: remove" wait_until 10 dmsetup remove striped

check "virtio: the disk" wait_until 10 test -b /dev/vda
carried "virtio" vda physical_block_size=4096 minimum_io_size=16384 optimal_io_size=65536 && {
	check_eq "virtio: serial" serial.LAB-SERIAL-7 "$(identity "$RNBD_DEV")"
	check "virtio: unmap" rnbd_unmap "$RNBD_DEV"
}

# --- blocks of 4 KiB with a cache: flush, priorities, requests in pieces -------------------------
# The cache is no part of what memory holds before a flush, so a lost flush is seen in the counts.
check "null_blk" nullb nullA blocksize=4096 memory_backed=1 discard=1 cache_size=4 fua=1 rotational=1 max_sectors=64
carried "null_blk" nullA logical_block_size=4096 "write_cache=write back" fua=1 rotational=1 dma_alignment=1 stable_writes=0
disk=$RNBD_DEV
# flushes: how many the backend has seen.
flushes() { awk '{ print $16 }' /sys/block/nullA/stat; }
before=$(flushes)
check "a flush of a disk with 4 KiB blocks" direct if=/dev/urandom of="/dev/$disk" bs=4k count=4 conv=fsync,notrunc
check "reaches the backend" test "$(flushes)" -gt "$before"
check_eq "and is counted" "flush 1 0 0" "$(grep '^flush ' $SRV/nullA/stats/io)"
check "data in pieces that the backend takes" fio_verify "/dev/$disk" "$SECS" --bssplit=4k/40:64k/30:128k/30 --blockalign=4096 --size=24m
mount -t tracefs none /sys/kernel/tracing 2>/dev/null
events=/sys/kernel/tracing/events/block/block_rq_issue
# priority CLASS LEVEL: with what the backend gets a write that fio sends so.
priority() {
	echo >/sys/kernel/tracing/trace
	fio --name=prio --filename="/dev/$disk" --direct=1 --rw=write --bs=4k --size=4k --prioclass="$1" --prio="$2" \
		--output=/tmp/prio >/dev/null 2>&1
	sed -n "s/.* $number W[^ ]* 4096 () [0-9]* + 8 \([a-z]*\),[0-9]*,\([0-9]\) .*/\1 \2/p" /sys/kernel/tracing/trace |
		tail -n 1
}
number=$(tr : , </sys/block/nullA/dev)
echo 1 >$events/enable
check_eq "best effort, level 6" "be 6" "$(priority 2 6)"
check_eq "idle" "idle 0" "$(priority 3 0)"
check_eq "real time becomes the best of best effort" "be 0" "$(priority 1 3)"
echo 0 >$events/enable
check "unmap" rnbd_unmap "$disk"
# The same disk through the page cache of the server.
check "map it with io_mode=fileio" rnbd_map l /dev/nullA io_mode=fileio
disk=$RNBD_DEV
check_eq "blocks" 4096 "$(limit "$disk" logical_block_size)"
check "data" fio_verify "/dev/$disk" "$SECS" --bssplit=4k/40:64k/30:128k/30 --blockalign=4096 --size=24m
direct if=/dev/urandom of=/tmp/data bs=1M count=4
before=$(flushes)
check "write and flush" direct if=/tmp/data of="/dev/$disk" bs=1M oflag=direct conv=fsync,notrunc
check "the flush reaches the device" test "$(flushes)" -gt "$before"
check_eq "the device has it" "$(sha256sum </tmp/data)" "$(direct if=/dev/nullA bs=1M count=4 iflag=direct | sha256sum)"
check "unmap" rnbd_unmap "$disk"

check "null_blk without FUA" nullb nullB memory_backed=1 cache_size=4 fua=0
echo 1 >/sys/block/nullB/queue/stable_writes
carried "null_blk, stable" nullB "write_cache=write back" fua=0 stable_writes=1 discard_max_bytes=0 &&
	check "null_blk, stable: unmap" rnbd_unmap "$RNBD_DEV"
echo 0 >/sys/block/nullB/queue/stable_writes

# --- secure erase --------------------------------------------------------------------------------
# No kind of disk that a VM has can do that; the module that tests the block layer has one, of which
# a request takes 4096 sectors. The client knows that, or it would send all at once.
check "kx_null" modprobe kx_null
carried "kx_null" kx1 discard_granularity=4096 discard_max_bytes=2097152 write_zeroes_max_bytes=4194304 fua=1 && {
	disk=$RNBD_DEV
	check "secure erase" blkdiscard -f -s -o 0 -l 1M "/dev/$disk"
	check "secure erase of more than one request takes" blkdiscard -f -s -o 1M -l 5M "/dev/$disk"
	check_eq "the client has sent four" "secure_erase 4 6291456 0" "$(grep ^secure_erase "/sys/block/$disk/rnbd/stats/io")"
	check_eq "the server has passed four on" "secure_erase 4 6291456 0" "$(grep ^secure_erase $SRV/kx1/stats/io)"
	check_eq "and no discard" "discard 0 0 0" "$(grep ^discard $SRV/kx1/stats/io)"
	check "kx_null: unmap" rnbd_unmap "$disk"
}
carried "ram disk" ram0 && {
	check_fails "a backend that cannot erase" blkdiscard -f -s "/dev/$RNBD_DEV" 2>/dev/null
	check "ram disk: unmap" rnbd_unmap "$RNBD_DEV"
}
check "kx_null goes" wait_until 10 rmmod kx_null
check "which has seen nothing wrong" sh -c "dmesg | grep -qF 'kx_null: wrong: 0'"

# --- zones are refused ---------------------------------------------------------------------------
if nullb zones zoned=1 zone_size=4 2>/dev/null; then
	dmesg_mark zones
	for mode in rw ro; do
		check_write "a zoned device is refused, $mode" EOPNOTSUPP $RNBD_CTL/map_device \
			"sessname=l device_path=/dev/zones access_mode=$mode"
	done
	check "the log says why" logged zones "it is a zoned device, which this protocol cannot carry"
	check_fails "nothing is left of it" test -e $SRV/zones
else
	check_fails "zoned devices" full
	note "this kernel has no zones: left out"
fi

# --- SCSI ----------------------------------------------------------------------------------------
# scsi PARAMETER...: a disk of scsi_debug; its name is in SCSI.
SCSI=
scsi() {
	modprobe sd_mod && modprobe scsi_debug dev_size_mb=32 "$@" && wait_until 20 scsi_found
}
scsi_found() {
	local dir
	for dir in /sys/bus/pseudo/drivers/scsi_debug/adapter*/host*/target*/*/block/*; do SCSI=${dir##*/}; done
	[ -b "/dev/$SCSI" ]
}
if ! full && ! modinfo scsi_debug >/dev/null 2>&1; then
	note "this kernel has no SCSI: left out"
else
	check "scsi_debug" scsi physblk_exp=3 opt_blks=256 opt_xferlen_exp=6 lbpu=1 lbpws=1 unmap_granularity=64 \
		unmap_alignment=8 unmap_max_blocks=4096 write_same_length=2048
	# A label with a partition that begins off the grain.
	printf 'start=2064, size=16384\n' | sfdisk -q "/dev/$SCSI" >/dev/null 2>&1
	check "SCSI: a partition" wait_until 10 test -b "/dev/${SCSI}1"
	wwid=$(cat "/sys/block/$SCSI/device/wwid")
	check "SCSI: it has a name of its own" test "${wwid#naa.}" != "$wwid"
	carried "SCSI" "$SCSI" logical_block_size=512 physical_block_size=4096 minimum_io_size=32768 optimal_io_size=131072 \
		"write_cache=write back" fua=1 discard_granularity=32768 discard_max_bytes=2097152 \
		write_zeroes_max_bytes=1048576 && {
		check_eq "SCSI: identity" "$wwid" "$(identity "$RNBD_DEV")"
		# The kernel shows the alignment of discards for partitions only.
		check "SCSI: the client sees the partition" wait_until 10 test -b "/dev/${RNBD_DEV}p1"
		check_eq "SCSI: discard_alignment" "28672 28672" "$(cat "/sys/block/$SCSI/${SCSI}1/discard_alignment" \
			"/sys/block/$RNBD_DEV/${RNBD_DEV}p1/discard_alignment" | paste -sd' ')"
		direct if=/dev/urandom of="/dev/$RNBD_DEV" bs=1M seek=8 count=4 oflag=direct
		check "SCSI: discard" blkdiscard -o 8M -l 4M "/dev/$RNBD_DEV"
		check "SCSI: reads as zeroes" cmp -n 4161536 -i $((8 * 1048576 + 4096)):0 "/dev/$RNBD_DEV" /dev/zero
		check "SCSI: unmap" rnbd_unmap "$RNBD_DEV"
	}
	check "SCSI: map the partition" rnbd_map l "/dev/${SCSI}1" && {
		check_eq "SCSI: the partition's identity" "$wwid-part1" "$(identity "$RNBD_DEV")"
		check "SCSI: unmap" rnbd_unmap "$RNBD_DEV"
	}
	# Volumes on one disk are not the disk, and not each other.
	dmsetup create one -u LAB-one --table "0 16384 linear /dev/$SCSI 20480"
	dmsetup create two --table "0 16384 linear /dev/$SCSI 40960"
	check "map a volume on it" rnbd_map l "/dev/$(dm one)"
	one=$RNBD_DEV
	check_eq "it is known by its uuid" dm.LAB-one "$(identity "$one")"
	# A volume that grows onto a second disk is still the same one.
	extend() {
		dmsetup suspend one &&
			printf '0 16384 linear /dev/%s 20480\n16384 16384 linear /dev/ram0 0\n' "$SCSI" | dmsetup reload one &&
			dmsetup resume one
	}
	check "extend it by another disk" extend
	grown() { [ "$(blockdev --getsz "/dev/$one")" = 32768 ]; }
	check "the client follows" within_a_second grown
	check "map another one" rnbd_map l "/dev/$(dm two)"
	check_eq "it is known by its name" "$(uname -n):two" "$(identity "$RNBD_DEV")"
	check_eq "its limits are those of the disk" 2097152 "$(limit "$RNBD_DEV" discard_max_bytes)"
	check "unmap" eval "rnbd_unmap $one && rnbd_unmap $RNBD_DEV"
	# The server closes them a moment after the client has unmapped them, each in its own time.
	check "remove the one" wait_until 10 dmsetup remove one
	check "remove the other" wait_until 10 dmsetup remove two
	check "no SCSI disk" wait_until 10 rmmod scsi_debug

	check "scsi_debug, 4 KiB blocks, write-protected" scsi sector_size=4096 wp=1 opts=0x1000
	dmesg_mark protected
	check_write "SCSI: writing is refused" EROFS $RNBD_CTL/map_device "sessname=l device_path=/dev/$SCSI"
	check "SCSI: the log says what to do" logged protected "map it ro"
	check "SCSI: reading is not" rnbd_map l "/dev/$SCSI" access_mode=ro && {
		check_eq "SCSI: blocks" "4096 4096" "$(limit "$RNBD_DEV" logical_block_size) $(limit "$RNBD_DEV" physical_block_size)"
		check_eq "SCSI: no discard" 0 "$(limit "$RNBD_DEV" discard_max_bytes)"
		check_eq "SCSI: no cache" "write through" "$(limit "$RNBD_DEV" write_cache)"
		check "SCSI: it can be read" direct if="/dev/$RNBD_DEV" of=/dev/null bs=64k count=16 iflag=direct
		check "SCSI: unmap" rnbd_unmap "$RNBD_DEV"
	}
	check "no SCSI disk" wait_until 10 rmmod scsi_debug
fi

# --- NVMe ----------------------------------------------------------------------------------------
if ! full && ! modinfo nvme >/dev/null 2>&1; then
	note "this kernel has no NVMe: left out"
else
	# The kernel looks at namespaces side by side and numbers the disks as it finds them, so a
	# namespace is told by its id.
	# namespace ID: its disk, once it is there.
	namespace() {
		local dir
		for dir in /sys/block/nvme0n*; do
			if [ "$(cat "$dir/nsid" 2>/dev/null)" = "$1" ]; then echo "${dir##*/}"; fi
		done
	}
	scanned() { [ -b "/dev/$(namespace 1)" ] && [ -b "/dev/$(namespace 2)" ]; }
	check "NVMe" modprobe nvme
	check "NVMe: namespaces" wait_until 20 scanned
	first=$(namespace 1) second=$(namespace 2)
	carried "NVMe" "$first" logical_block_size=4096 && {
		# Linux believes no id that QEMU gives to a namespace, so it has no EUI-64.
		check_eq "NVMe: identity" "$(cat "/sys/block/$first/wwid")" "$(identity "$RNBD_DEV")"
		check "NVMe: unmap" rnbd_unmap "$RNBD_DEV"
	}
	carried "another namespace" "$second" logical_block_size=512 && {
		# One without an id is named by serial number, model and, at the end, its number; of what
		# is longer than an identity the beginning is kept, and a hash of it all.
		wwid=$(cat "/sys/block/$second/wwid")
		if [ ${#wwid} -gt 127 ]; then
			check "another namespace: identity" grep -qE "^${wwid:0:110}\.[0-9a-f]{16}\$" "/sys/block/$RNBD_DEV/rnbd/identity"
		else
			check_eq "another namespace: identity" "$wwid" "$(identity "$RNBD_DEV")"
		fi
		check "another namespace: unmap" rnbd_unmap "$RNBD_DEV"
	}
fi

# --- md ------------------------------------------------------------------------------------------
check "md: a mirror" eval "mdadm --create /dev/md0 --run --level=1 --raid-devices=2 --metadata=1.2 --assume-clean \
	/dev/ram0 /dev/ram1 2>&1 | grep -v '^mdadm: array'; [ -b /dev/md0 ]"
carried "md" md0 && {
	uuid=$(mdadm --detail --export /dev/md0 | sed -n 's/^MD_UUID=//p')
	check "md: mdadm says its uuid" test -n "$uuid"
	check_eq "md: identity" "md.${uuid//:/}" "$(identity "$RNBD_DEV" | sed 's/-//g')"
	check "md: unmap" rnbd_unmap "$RNBD_DEV"
}
check "md: stop" wait_until 10 mdadm -q --stop /dev/md0
for i in 0 1; do mdadm -q --zero-superblock /dev/ram$i; done

# --- sizes that change under load ---------------------------------------------------------------------
# sized SECTORS: both clients' disks have so many.
sized() { [ "$(blockdev --getsz "/dev/$writer") $(blockdev --getsz "/dev/$reader")" = "$1 $1" ]; }
# busy: the load has done something.
busy() { [ "$(awk '{ n += $2 } END { print n }' "/sys/block/$writer/rnbd/stats/io")" -gt 100 ]; }
# follows KIND DEVICE SECTORS...: two clients have the device open, one of them writes; `resize
# SECTORS` changes it. The load stays within the smallest size.
follows() {
	local kind=$1 device=$2 sectors began load
	shift 2
	check "$kind: map for writing" rnbd_map l "$device"
	writer=$RNBD_DEV
	check "$kind: map for reading" rnbd_map m "$device" access_mode=ro
	reader=$RNBD_DEV
	fio --name=load --filename="/dev/$writer" --direct=1 --ioengine=libaio --rw=randrw --bs=4k --iodepth=8 --size=4m \
		--verify=crc32c --verify_fatal=1 --verify_backlog=32 --time_based --runtime=60 --eta=never >/tmp/load 2>&1 &
	load=$!
	check "$kind: IO runs" wait_until 20 busy
	for sectors in "$@"; do
		check "$kind: resize to $sectors sectors" resize "$sectors"
		check "$kind: both clients follow within a second" within_a_second sized "$sectors"
		check "$kind: the last sector can be read" direct if="/dev/$reader" of=/dev/null bs=4k count=1 \
			skip=$((sectors / 8 - 1)) iflag=direct
	done
	check "$kind: the load goes on" kill -INT $load
	# A fio that is told to end says so by its status; what it met is in its words.
	wait $load
	check "$kind: without an error" grep -q 'err= 0' /tmp/load
	grep -q 'err= 0' /tmp/load || cat /tmp/load
	check "$kind: nothing failed" test "$(awk '{ n += $4 } END { print n }' "/sys/block/$writer/rnbd/stats/io")" = 0
	check "$kind: unmap" eval "rnbd_unmap $reader && rnbd_unmap $writer"
}
resize() { truncate -s $(($1 * 512)) /tmp/image && losetup -c "$loop"; }
follows loop "$loop" 131072 32768 98304
losetup -d "$loop"
# A ram disk keeps its size for life. What lies on it does not: a volume, and a partition.
dmsetup create volume --table "0 65536 linear /dev/ram1 0" || bail "device mapper"
resize() {
	dmsetup suspend volume && dmsetup reload volume --table "0 $1 linear /dev/ram1 0" && dmsetup resume volume
}
follows "volume on a ram disk" "/dev/$(dm volume)" 131072 32768 65536
resize() {
	dmsetup suspend volume &&
		printf '0 65536 linear /dev/ram1 0\n65536 %d linear /dev/ram0 0\n' $(($1 - 65536)) | dmsetup reload volume &&
		dmsetup resume volume
}
follows "volume on two ram disks" "/dev/$(dm volume)" 131072
check "remove it" wait_until 10 dmsetup remove volume
printf 'start=2048, size=32768\n' | sfdisk -q /dev/ram2 >/dev/null 2>&1
check "a partition" wait_until 10 test -b /dev/ram2p1
resize() { printf 'start=2048, size=%d\n' "$1" | sfdisk -q --no-reread --no-tell-kernel /dev/ram2 && partx -u /dev/ram2; }
follows "partition of a ram disk" /dev/ram2p1 65536 16384

for d in $(rnbd_list); do check "unmap $d" rnbd_unmap "$d"; done
for dir in /sys/kernel/config/nullb/*/; do rmdir "$dir"; done
check "unload with nothing left" rmmod rnbd_client rnbd_server rtrs_client rtrs_server rtrs_core
check "no leak" kmemleak_scan
summary
