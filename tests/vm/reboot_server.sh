#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The server of reboot_client.sh: it is killed and booted again, and then runs this from
# the start. Its disk is the same each time. Environment: AI=Y|N.

. /lab/lib/guest.sh
. /lab/lib/rnbd.sh
AI=${AI:-Y}

check "network" setup_pair_rxe
modprobe virtio_blk
check "the disk" wait_until 20 test -b /dev/vda
check "rtrs_server loads" modprobe rtrs_server always_invalidate="$AI"
check "rnbd_server loads" modprobe rnbd_server
signal ready
check "the client is done" wait_for end 3600
check "unload" eval "modprobe -r rnbd_server && modprobe -r rtrs_server"
summary
