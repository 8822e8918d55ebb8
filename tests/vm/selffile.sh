#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A file that is exported to its own host, where memory is short: what is written to the disk
# becomes clean by being written to the file, so whoever writes the file must not wait for
# clean or free memory that only he can make. Environment: MIB (of data).

. /lab/lib/guest.sh
. /lab/lib/rnbd.sh
MIB=${MIB:-64}

# passage ARGUMENT...: writes checked blocks, or reads them back.
passage() {
	local status=0
	timeout 150 fio --name=self --size="${MIB}m" --bs=64k --rw=write --ioengine=psync --verify=crc32c --eta=never \
		--output=/tmp/self.log "$@" || status=$?
	[ "$status" = 0 ] || cat /tmp/self.log
	return "$status"
}
# ballast KIB: takes all memory but so much, for good: there is no swap.
ballast() {
	mkdir -p /ballast && mount -t tmpfs -o size=100% none /ballast &&
		head -c $((($(meminfo MemAvailable) - $1) * 1024)) /dev/zero >/ballast/lead
}
# A wrong wait comes to a standstill only now and then. So every page that the threads of the server take
# for the file, and every pause of theirs because there are too many dirty pages, is traced with its stack.
T=/sys/kernel/tracing
writers_watched() {
	local events=$T/events
	[ -d "$events" ] || mount -t tracefs tracefs "$T" || return
	echo 4096 >"$T/buffer_size_kb" && echo stacktrace >"$T/trace_options" &&
		echo 'comm ~ "kworker*"' >"$events/kmem/mm_page_alloc/filter" &&
		echo 'comm ~ "kworker*" && pause > 0' >"$events/writeback/balance_dirty_pages/filter" &&
		echo 1 >"$events/kmem/mm_page_alloc/enable" && echo 1 >"$events/writeback/balance_dirty_pages/enable"
}
# writers: pages that they took, those among them for which other pages may have to be written first, and
# milliseconds of pauses.
writers() {
	awk '/: mm_page_alloc: / { page = 1; pause = 0; waits = /GFP_(KERNEL|USER|HIGHUSER|NOFS)|__GFP_IO/ }
		/: balance_dirty_pages: / { page = waits = 0; match($0, / pause=[0-9]+/); pause = substr($0, RSTART + 7, RLENGTH - 7) }
		/=> biox_file_/ { pages += page; waiting += waits; paused += pause; page = waits = pause = 0 }
		END { print pages + 0, waiting + 0, paused + 0 }' "$T/trace"
}

check "network" setup_loopback_rxe || bail "no network"
modprobe virtio_blk
check "a disk" wait_until 20 test -b /dev/vda
check "a file system" mkfs.ext4 -q -F /dev/vda
check "mount" eval "mkdir -p /back && mount /dev/vda /back"
check "a file" truncate -s "${MIB}M" /back/image
check "server" modprobe rtrs_server sess_queue_depth=64
check "block server" modprobe rnbd_server
check "client" modprobe rnbd_client
check "map the file" rnbd_map self /back/image io_mode=fileio || bail "no disk"
disk=$RNBD_DEV

check "who writes the file is watched" writers_watched
echo $((4 << 20)) >/proc/sys/vm/dirty_bytes
echo $((2 << 20)) >/proc/sys/vm/dirty_background_bytes
check "96 MiB of memory are left" ballast 98304
note "available: $(meminfo MemAvailable) KiB"
check "a buffered writer ends" passage --filename="/dev/$disk" --direct=0 --end_fsync=1 --do_verify=0
check "and so does one that reads, too" passage --filename="/dev/$disk" --direct=0 --fsync=16
check "sync" timeout 60 sync
read -r pages waiting paused <<<"$(writers)"
note "they took $pages pages, $waiting of them for a wait; they paused for $paused ms"
check "who writes the file was seen" test "$pages" -gt 100
# The lines of two processors are mixed, so a few pages may be taken for those of somebody else.
check "he takes no memory that others would have to write back first" test $((waiting * 10)) -lt "$pages"
check "and hardly pauses because of what others have written" test "$paused" -lt 5000
echo 3 >/proc/sys/vm/drop_caches
check "everything is there" passage --filename="/dev/$disk" --verify_only
check "the memory is given back" eval "rm /ballast/lead && umount /ballast"
check "unmap" rnbd_unmap "$disk"
check "the file itself has it" passage --filename=/back/image --verify_only
check "unload" eval "modprobe -r rnbd_client && modprobe -r rnbd_server && modprobe -r rtrs_client && modprobe -r rtrs_server"
check "nobody has the file open" umount /back
check "the file system is sound" e2fsck -fn /dev/vda
summary
