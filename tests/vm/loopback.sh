#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Both roles in one VM, over rxe on a dummy interface: everything a user does with
# a mapped disk. Environment: AI=Y|N (always_invalidate), SECS (fio's time per
# run), CYCLES (map and unmap rounds), SLAB_KIB (how much slab they may leave: a debug kernel
# keeps freed memory for a while, and has kmemleak to tell).

. /lab/lib/guest.sh
. /lab/lib/rnbd.sh
AI=${AI:-Y} SECS=${SECS:-10} CYCLES=${CYCLES:-200} SLAB_KIB=${SLAB_KIB:-2048}

# --- the modules ----------------------------------------------------------------
check "network" setup_loopback_rxe
modprobe brd rd_nr=2 rd_size=196608 max_part=16 || bail "ram disks"
check "rtrs_server loads with always_invalidate=$AI" modprobe rtrs_server always_invalidate="$AI"
check_eq "the parameter can be read" "$AI" "$(cat /sys/module/rtrs_server/parameters/always_invalidate)"
check_eq "max_chunk_size" 131072 "$(cat /sys/module/rtrs_server/parameters/max_chunk_size)"
check_eq "sess_queue_depth" 512 "$(cat /sys/module/rtrs_server/parameters/sess_queue_depth)"
check "rnbd_server loads" modprobe rnbd_server
check_eq "port_nr" 1234 "$(cat /sys/module/rnbd_server/parameters/port_nr)"
check_eq "dev_search_path" / "$(cat /sys/module/rnbd_server/parameters/dev_search_path)"
check "rnbd_client loads" modprobe rnbd_client

# --- a disk -----------------------------------------------------------------------
check "map" rnbd_map loop /dev/ram0
disk=$RNBD_DEV
[ -b "/dev/$disk" ] || bail "no disk appeared"
rnbd=/sys/block/$disk/rnbd
check_eq "state" open "$(cat "$rnbd/state")"
check_eq "session" loop "$(cat "$rnbd/session")"
check_eq "mapping_path" /dev/ram0 "$(cat "$rnbd/mapping_path")"
check_eq "access_mode" rw "$(cat "$rnbd/access_mode")"
check_eq "size" "$(blockdev --getsz /dev/ram0)" "$(blockdev --getsz "/dev/$disk")"
check_eq "link in ctl/devices" "$disk" "$(basename "$(readlink "$RNBD_CTL/devices/!dev!ram0@loop")")"
check_eq "max_segments" 128 "$(cat "/sys/block/$disk/queue/max_segments")"
check_eq "max_hw_sectors_kb" 128 "$(cat "/sys/block/$disk/queue/max_hw_sectors_kb")"
srv=/sys/devices/virtual/rnbd-server/ctl/devices/ram0
check_eq "server: mapping_path" /dev/ram0 "$(cat "$srv/sessions/loop/mapping_path")"
check_eq "server: access_mode" rw "$(cat "$srv/sessions/loop/access_mode")"
check_eq "server: read_only" 0 "$(cat "$srv/sessions/loop/read_only")"
check_eq "server: block_dev" ram0 "$(basename "$(readlink -f "$srv/block_dev")")"
check_eq "client: path" connected "$(cat /sys/class/rtrs-client/loop/paths/*/state)"
check_eq "server: path" "ip:10.0.0.1" "$(cat /sys/class/rtrs-server/loop/paths/*/dst_addr)"

# --- data -----------------------------------------------------------------------
for depth in 1 8 128; do
	check "fio verify, depth $depth, four jobs" fio_verify "/dev/$disk" "$SECS" \
		--iodepth="$depth" --numjobs=4 --size=25% --offset_increment=25%
done
check "what was written is on the backend" cmp -n 16777216 "/dev/$disk" /dev/ram0

# --- a file system ----------------------------------------------------------------
check "mkfs.ext4" mkfs.ext4 -q -F "/dev/$disk"
mkdir -p /mnt
check "mount" mount "/dev/$disk" /mnt
check "write" dd if=/dev/urandom of=/mnt/file bs=1M count=24 conv=fsync status=none
sum=$(sha256sum </mnt/file)
check_eq "unmap while mounted is refused" EBUSY "$(write_error "$rnbd/unmap_device" normal)"
check_fails "rmmod while mounted is refused" rmmod rnbd_client
check "umount" umount /mnt
check "unmap" rnbd_unmap "$disk"
check_fails "the disk is gone" test -e "/sys/block/$disk"
check_fails "the link is gone" test -L "$RNBD_CTL/devices/!dev!ram0@loop"
check_fails "the session is gone" test -e /sys/class/rtrs-client/loop
check "the server's entry goes" wait_until 10 test ! -e "$srv"
check "map again" rnbd_map loop /dev/ram0
disk=$RNBD_DEV rnbd=/sys/block/$RNBD_DEV/rnbd
check "fsck" e2fsck -fn "/dev/$disk"
check "mount again" mount "/dev/$disk" /mnt
check_eq "the file is the same" "$sum" "$(sha256sum </mnt/file)"
check "umount again" umount /mnt

# --- partitions -------------------------------------------------------------------
printf 'size=16MiB\nsize=16MiB\n' | sfdisk -q "/dev/$disk" >/dev/null 2>&1
check "partitions appear" wait_until 10 test -b "/dev/${disk}p2"
check "a partition carries data" fio_verify "/dev/${disk}p2" 2 --size=8m
check_eq "minor of the second partition" "2" \
	"$(($(stat -c 0x%T "/dev/${disk}p2") % 64))"

# --- reading only -----------------------------------------------------------------
check "map read-only through another session" rnbd_map other /dev/ram0 access_mode=ro
ro=$RNBD_DEV
check_eq "it is read-only" 1 "$(cat "/sys/block/$ro/ro")"
check_fails "and cannot be written" dd if=/dev/zero of="/dev/$ro" bs=4k count=1 oflag=direct status=none
check "but read" dd if="/dev/$ro" of=/dev/null bs=64k count=16 iflag=direct status=none
check "unmap it" rnbd_unmap "$ro"
check "unmap" rnbd_unmap "$disk"

# --- discard, zeroes, flush: a file-backed device has them all --------------------
modprobe loop
mkfs.ext4 -q -F /dev/ram1 && mkdir -p /back && mount /dev/ram1 /back && truncate -s 64M /back/file &&
	loop=$(losetup -f --show --direct-io=off /back/file) || bail "loop device"
check "map the loop device" rnbd_map features "$loop"
disk=$RNBD_DEV
check "it can discard" test "$(cat "/sys/block/$disk/queue/discard_max_bytes")" -gt 0
check "it can write zeroes" test "$(cat "/sys/block/$disk/queue/write_zeroes_max_bytes")" -gt 0
check_eq "it has a write cache" "write back" "$(cat "/sys/block/$disk/queue/write_cache")"
dd if=/dev/urandom of="/dev/$disk" bs=1M count=16 oflag=direct status=none
check "discard" blkdiscard -o 1M -l 1M "/dev/$disk"
check "discarded blocks read as zeroes" cmp -n 1048576 -i 1048576:0 "/dev/$disk" /dev/zero
check "write zeroes" blkdiscard -z -o 4M -l 2M "/dev/$disk"
check "zeroed blocks read as zeroes" cmp -n 2097152 -i 4194304:0 "/dev/$disk" /dev/zero
check_fails "their neighbours are as before" cmp -s -n 1048576 -i 6291456:0 "/dev/$disk" /dev/zero
flushes() { awk '{ print $16 }' "/sys/block/${loop#/dev/}/stat"; }
before=$(flushes)
dd if=/dev/zero of="/dev/$disk" bs=4k count=1 conv=fsync status=none
check "a flush reaches the backend" test "$(flushes)" -gt "$before"
check "unmap the loop device" rnbd_unmap "$disk"
losetup -d "$loop"
umount /back

# --- many times -------------------------------------------------------------------
round() { rnbd_map again /dev/ram1 && rnbd_unmap "$RNBD_DEV"; }
rounds() {
	local i
	for ((i = 0; i < $1; i++)); do round || return 1; done
}
check "warm up" rounds 5
before=$(slab_kib)
check "$CYCLES times map and unmap" rounds "$CYCLES"
after=$(slab_kib)
note "unreclaimable slab: $before KiB before, $after KiB after"
check "no growth in slab" test $((after - before)) -lt "$SLAB_KIB"
check "no leak" kmemleak_scan

# --- unloading --------------------------------------------------------------------
check "map once more" rnbd_map last /dev/ram0
check_fails "rtrs_client is in use" rmmod rtrs_client
check_fails "rtrs_server is in use" rmmod rtrs_server
check_fails "rtrs_core is in use" rmmod rtrs_core
exec 7<"/dev/$RNBD_DEV"
check_fails "rnbd_client is in use while a disk is open" rmmod rnbd_client
exec 7<&-
# A disk that is merely mapped keeps neither its user's module nor that of its backend.
check "rnbd_server unloads while a disk is mapped" rmmod rnbd_server
check "the disk is closed" wait_until 20 grep -qx closed "/sys/block/$RNBD_DEV/rnbd/state"
check_fails "and cannot be read" dd if="/dev/$RNBD_DEV" of=/dev/null bs=4k count=1 iflag=direct status=none
check "but unmapped" rnbd_unmap "$RNBD_DEV"
check "rnbd_server loads again" modprobe rnbd_server
check "map again" rnbd_map last /dev/ram0
check "rnbd_client unloads while a disk is mapped" rmmod rnbd_client
check_fails "which unmaps it" test -e "/sys/block/$RNBD_DEV"
check_fails "its session is closed" test -e /sys/class/rtrs-client/last
check "the server's entry goes" wait_until 10 test ! -e "$srv"
for module in rnbd_server rtrs_client rtrs_server rtrs_core; do
	check "rmmod $module" rmmod "$module"
done
summary
