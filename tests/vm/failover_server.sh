#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The server of failover_client.sh, of this project or upstream's. Environment: AI=Y|N.

. /lab/lib/guest.sh
. /lab/lib/rnbd.sh
AI=${AI:-Y}

check "network" setup_pair_rxe
modprobe brd rd_nr=1 rd_size=65536 || bail "ram disk"
check "rtrs_server loads with always_invalidate=$AI" modprobe rtrs_server always_invalidate="$AI"
check "rnbd_server loads" modprobe rnbd_server
signal ready
check "the client is done" wait_for end 3600
check "unload" eval "modprobe -r rnbd_server && modprobe -r rtrs_server"
summary
