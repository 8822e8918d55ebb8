#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The server of fileio_client.sh: a sparse file on a disk that stays the same when the host
# loses its power; then it runs this from the start again.

. /lab/lib/guest.sh
. /lab/lib/rnbd.sh

check "network" setup_pair_rxe
modprobe virtio_blk
check "the disk" wait_until 20 test -b /dev/vda
mkdir -p /back
if ! mount /dev/vda /back 2>/dev/null; then
	check "a file system" mkfs.ext4 -q -F /dev/vda
	check "mount" mount /dev/vda /back
	truncate -s 32M /back/image
	sync
fi
check "modules" modprobe rnbd_server
signal ready
wait_for end 3600
# Of 32 MiB the client has written 19 at most; the rest is still a hole.
check "the file is still sparse" test "$(stat -c %b /back/image)" -lt $((20 << 11))
check "unload" eval "modprobe -r rnbd_server && modprobe -r rtrs_server"
check "nothing has the file" wait_until 10 umount /back
check "the file system is sound" e2fsck -fn /dev/vda
summary
