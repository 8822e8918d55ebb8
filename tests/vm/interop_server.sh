#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The server's side of an interop run; interop_client.sh is the other. The modules
# of either project may be loaded here: their names are the same to modprobe.

. /lab/lib/guest.sh
. /lab/lib/rnbd.sh
AI=${AI:-Y}

check "network" setup_pair_rxe
modprobe brd rd_nr=1 rd_size=131072 || bail "ram disks"
modprobe loop
check "rtrs_server loads with always_invalidate=$AI" modprobe rtrs_server always_invalidate="$AI"
check "rnbd_server loads" modprobe rnbd_server
# A client of C sends a senseless sector with a flush, which a server of C fails if blocks have
# 4 KiB. It is enough that one of them is ours.
block=4096
[ -e /sys/module/rnbd_server/parameters/export_files ] || [ "${CLIENT:-rust}" = rust ] || block=512
truncate -s 64M /file && loop=$(losetup -f --show -b $block /file) || bail "loop device"
signal ready "$loop"
check "the client waits for the device to grow" wait_for grow 300
check "it grows" eval "truncate -s 80M /file && losetup -c $loop"
signal grown
check "the client is done with its disks" wait_for mapped 300
check "rnbd_server unloads with a client connected" rmmod rnbd_server
signal unloaded
check "the client is done" wait_for end 120
check "rtrs_server unloads" rmmod rtrs_server
summary
