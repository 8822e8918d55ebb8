#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The server of the demonstration: a RAM disk to export, and two modules.

. /lab/lib/guest.sh
. /lab/lib/show.sh

say "The server: a stock kernel, a disk, an RDMA network."
show uname -r
show_quiet setup_pair_rxe
show modprobe brd rd_nr=1 rd_size=131072
show modprobe rnbd_server
show lsblk -o NAME,SIZE,TYPE /dev/ram0
signal ready
wait_for unmapped 300 || exit 1
say "The server: whatever the client wrote is on its disk."
show e2fsck -fn /dev/ram0
show rmmod rnbd_server rtrs_server
signal end
exit "$SHOW_STATUS"
