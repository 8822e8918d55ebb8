#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# md RAID1 over two servers: another machine, and a server in this one; with dm-crypt, LVM and XFS
# on it. The other machine loses its power under verified load and is reborn, CYCLES times; the RAID
# goes on without it and takes it back. Environment: CYCLES, DOWN (seconds without power, besides the boot).
#
# The server of the other machine is reboot_server.sh.

. /lab/lib/guest.sh
. /lab/lib/rnbd.sh
. /lab/lib/trouble.sh
. /lab/lib/tower.sh
CYCLES=${CYCLES:-1} DOWN=${DOWN:-3}

modprobe brd rd_nr=1 rd_size=131072 || bail "ram disk"
modprobe -a raid1 dm-crypt xfs dm-mod
check "network" pair_setup
check "a server here" modprobe rnbd_server
check "the other server is ready" wait_for ready 180 || bail "no server"
check "it answers" wait_until 20 ping -c 1 -W 1 10.0.0.1
check "rnbd_client loads" modprobe rnbd_client
clt_map far /dev/vda 1 || check "map the other server's disk" clt_map far /dev/vda 1
far=$RNBD_DEV
check "map this server's disk" rnbd_map near /dev/ram0 path=ip:10.0.1.2@ip:10.0.1.2
near=$RNBD_DEV
[ -b "/dev/$far" ] && [ -b "/dev/$near" ] || bail "disks are missing"
# That a server is lost is seen by what is under way to it. Heartbeats that are less patient than
# by default would lose it whenever this machine is short of processors, and the RAID with it.
check "a second between attempts to connect" clt_write "$CLT_CLASS/far/reconnect_delay_ms" 1000

check "RAID1 of both" eval "mdadm --create /dev/md0 --run --level=1 --raid-devices=2 --bitmap=internal \
	--metadata=1.2 --assume-clean /dev/$far /dev/$near 2>&1 | grep -v '^mdadm: array'; [ -b /dev/md0 ]"
degraded() { grep -qx "$1" /sys/block/md0/md/degraded; }
synced() { degraded 0 && [ "$(cat /sys/block/md0/md/sync_action)" = idle ]; }
tower_up /dev/md0 96
check "something on it" dd if=/dev/urandom of=/mnt/xfs/load bs=1M count=24 conv=fsync status=none
check "both are in use" degraded 0

RATE=80 load_start /mnt/xfs/load 24
for ((i = 0; i < CYCLES; i++)); do
	check "$i: IO moves" io_moves md0 30
	check "$i: one server loses its power" host_cmd peer kill
	check "$i: the RAID goes on without it" wait_until 90 degraded 1
	check "$i: and so does the load" io_moves md0 60 80
	sleep "$DOWN"
	check "$i: power is back" host_cmd peer boot
	check "$i: the server is ready again" wait_for ready 180
	check "$i: the session comes back by itself" wait_until 90 paths_up far 1
	check "$i: and its disk" wait_until 60 grep -qx open "/sys/block/$far/rnbd/state"
	check "$i: the RAID lets go of what it was" wait_until 20 mdadm -q /dev/md0 --remove "/dev/$far"
	check "$i: it joins again" wait_until 20 mdadm -q /dev/md0 --re-add "/dev/$far"
	check "$i: and is synchronised" wait_until 180 synced
	check "$i: the load goes on" io_moves md0 60 80
	load_alive || break
done
check "no error and no miscompare" load_stop
tower_down
check "compare both sides" eval "echo check >/sys/block/md0/md/sync_action && wait_until 120 synced"
check_eq "they are the same" 0 "$(cat /sys/block/md0/md/mismatch_cnt)"
check "stop the RAID" mdadm -q --stop /dev/md0
for disk in "$far" "$near"; do check "unmap $disk" rnbd_unmap "$disk"; done
check "unload" unload_all
signal end
summary
