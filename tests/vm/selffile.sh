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

echo $((4 << 20)) >/proc/sys/vm/dirty_bytes
echo $((2 << 20)) >/proc/sys/vm/dirty_background_bytes
check "96 MiB of memory are left" ballast 98304
note "available: $(meminfo MemAvailable) KiB"
check "a buffered writer ends" passage --filename="/dev/$disk" --direct=0 --end_fsync=1 --do_verify=0
check "and so does one that reads, too" passage --filename="/dev/$disk" --direct=0 --fsync=16
check "sync" timeout 60 sync
echo 3 >/proc/sys/vm/drop_caches
check "everything is there" passage --filename="/dev/$disk" --verify_only
check "the memory is given back" eval "rm /ballast/lead && umount /ballast"
check "unmap" rnbd_unmap "$disk"
check "the file itself has it" passage --filename=/back/image --verify_only
check "unload" eval "modprobe -r rnbd_client && modprobe -r rnbd_server && modprobe -r rtrs_client && modprobe -r rtrs_server"
check "nobody has the file open" umount /back
check "the file system is sound" e2fsck -fn /dev/vda
summary
