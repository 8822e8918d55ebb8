#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A single path whose server loses power under load and comes back, CYCLES times: the
# session and its disk come back by themselves, the load waits, nothing is lost.
# Prints the time it takes. Environment: CYCLES, DOWN (seconds without power, besides the boot).

. /lab/lib/guest.sh
. /lab/lib/rnbd.sh
. /lab/lib/trouble.sh
CYCLES=${CYCLES:-1} DOWN=${DOWN:-3}

check "network" pair_setup
check "the server is ready" wait_for ready 180 || bail "no server"
check "the server answers" wait_until 20 ping -c 1 -W 1 10.0.0.1
check "rnbd_client loads" modprobe rnbd_client
clt_map boot /dev/vda 1 || check "map" clt_map boot /dev/vda 1
disk=$RNBD_DEV
[ -b "/dev/$disk" ] || bail "no disk appeared"
session=$CLT_CLASS/boot rnbd=/sys/block/$disk/rnbd
check "the disk waits for a path for ever" clt_write "$rnbd/no_path_timeout" -1
# With these, an attempt two seconds after each that has failed.
check "a second between attempts to connect" clt_write "$session/reconnect_delay_ms" 1000
check "and no random time" clt_write "$session/reconnect_jitter_ms" 0
size=$(blockdev --getsz "/dev/$disk")
RATE=80 load_start "/dev/$disk" 24
for ((i = 0; i < CYCLES; i++)); do
	check "IO moves" io_moves "$disk" 30
	check "the server loses its power" host_cmd peer kill
	killed=$(date +%s%N)
	check "the disk notices" wait_until 60 grep -qx closed "$rnbd/state"
	note "noticed after $((($(date +%s%N) - killed) / 1000000)) ms"
	sleep "$DOWN"
	check "the load waits" load_alive
	check "power is back" host_cmd peer boot
	check "the server is ready again" wait_for ready 180
	ready=$(date +%s%N)
	# attempts.sh shows that the delay is kept.
	check "IO resumes by itself" io_moves "$disk" 60 80
	note "time to resume: $((($(date +%s%N) - ready) / 1000000)) ms after the server was ready," \
		"$((($(date +%s%N) - killed) / 1000000)) ms after it lost its power"
	check_eq "the disk is open" open "$(cat "$rnbd/state")"
	check_eq "its size is the same" "$size" "$(blockdev --getsz "/dev/$disk")"
	load_alive || break
done
check "no error and no miscompare" load_stop
check "unmap" rnbd_unmap "$disk"
check "unload" modprobe -r rnbd_client
signal end
summary
