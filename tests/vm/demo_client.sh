#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The client of the demonstration: map the server's disk, use it like a local one,
# compare every byte, unmap it.

. /lab/lib/guest.sh
. /lab/lib/show.sh

show_quiet setup_pair_rxe
wait_for ready 120 || exit 1
wait_until 20 ping -c 1 -W 1 10.0.0.1 || exit 1
say "The client: another machine with the same stock kernel."
show uname -r
show modprobe rnbd_client
say "Map the server's disk."
show_write "sessname=demo path=ip:10.0.0.1 device_path=/dev/ram0" /sys/devices/virtual/rnbd-client/ctl/map_device
show lsblk -o NAME,SIZE,TYPE /dev/rnbd0
show cat /sys/block/rnbd0/rnbd/state
say "A file system on it, and 48 MiB of data."
show mkfs.ext4 -q /dev/rnbd0
mkdir -p /mnt
show mount /dev/rnbd0 /mnt
dd if=/dev/urandom of=/tmp/data bs=1M count=48 status=none
show dd if=/tmp/data of=/mnt/data bs=1M conv=fsync status=none
show umount /mnt
say "Unmap the disk and map it again: what comes back was on the server."
show_write normal /sys/block/rnbd0/rnbd/unmap_device
show_write "sessname=demo path=ip:10.0.0.1 device_path=/dev/ram0" /sys/devices/virtual/rnbd-client/ctl/map_device
show mount -o ro /dev/rnbd0 /mnt
show cmp /tmp/data /mnt/data
show sha256sum /tmp/data /mnt/data
show umount /mnt
show_write normal /sys/block/rnbd0/rnbd/unmap_device
show rmmod rnbd_client rtrs_client
signal unmapped
wait_for end 120 || exit 1
exit "$SHOW_STATUS"
