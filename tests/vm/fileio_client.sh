#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A file as the backend of a disk: what was flushed, or written to be durable at once, is
# there when the server has lost its power and is back. Environment: CYCLES; SECS, fio's time.

. /lab/lib/guest.sh
. /lab/lib/rnbd.sh
CYCLES=${CYCLES:-1} SECS=${SECS:-4}
MIB=$((1 << 20))

# sum DISK FIRST COUNT: the checksum of COUNT MiB from the server, not from our cache.
sum() { dd if="/dev/$1" bs=1M skip="$2" count="$3" iflag=direct status=none | sha256sum; }
connect() { rnbd_map file /back/image io_mode=fileio; }

check "network" setup_pair_rxe
check "the server is ready" wait_for ready 180 || bail "no server"
check "the server answers" wait_until 20 ping -c 1 -W 1 10.0.0.1
check "rnbd_client loads" modprobe rnbd_client
connect || check "map a file" connect
disk=$RNBD_DEV
[ -b "/dev/$disk" ] || bail "no disk appeared"
identity=$(cat "/sys/block/$disk/rnbd/identity")
check_eq "size" $((32 * MIB / 512)) "$(blockdev --getsz "/dev/$disk")"
check_eq "through the page cache" fileio "$(cat "/sys/block/$disk/rnbd/io_mode")"
check "data" fio_verify "/dev/$disk" "$SECS" --iodepth=8 --offset=20m --size=8m
for ((i = 0; i < CYCLES; i++)); do
	dd if=/dev/urandom of=/tmp/flushed bs=1M count=8 status=none
	dd if=/dev/urandom of=/tmp/durable bs=64k count=32 status=none
	check "write, and flush at the end" dd if=/tmp/flushed of="/dev/$disk" bs=1M oflag=direct conv=fsync,notrunc status=none
	check "write what is durable at once" dd if=/tmp/durable of="/dev/$disk" bs=64k seek=256 oflag=direct,dsync conv=notrunc status=none
	# What nobody flushes may be lost: that shows that the cut is one.
	dd if=/dev/urandom of=/tmp/fleeting bs=64k count=16 status=none
	check "write, and do not flush" dd if=/tmp/fleeting of="/dev/$disk" bs=64k seek=480 oflag=direct conv=notrunc status=none
	check "the server loses its power" host_cmd peer kill
	check "unmap" rnbd_unmap "$disk" force
	check "power is back" host_cmd peer boot
	check "the server is ready again" wait_for ready 180
	connect || check "map the file again" connect
	disk=$RNBD_DEV
	check_eq "it is the same file" "$identity" "$(cat "/sys/block/$disk/rnbd/identity")"
	check_eq "what was flushed is there" "$(sha256sum </tmp/flushed)" "$(sum "$disk" 0 8)"
	check_eq "what was durable is there" "$(sha256sum </tmp/durable)" "$(sum "$disk" 16 2)"
	[ "$(sha256sum </tmp/fleeting)" = "$(sum "$disk" 30 1)" ] && kept=kept || kept=lost
	note "what was not flushed was $kept"
done
check "unmap at the end" rnbd_unmap "$disk"
check "unload" modprobe -r rnbd_client
signal end
summary
