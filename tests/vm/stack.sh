#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What people put on a disk: md RAID1 over disks of two sessions, dm-crypt, LVM and XFS
# on that, ext4 beside it; while one side is lost, comes back and is synchronised.
#
# The system calls on ext4 are stress-ng's. fsstress, which is usual for that, is in no package of
# the lab's distribution. What fsstress does to a file system at random, stress-ng does with a
# process for each kind of call, all at once: read, write, seek and fsync; truncate, fallocate and
# punching of holes; writing through mmap; create, link, symlink, rename, unlink and mkdir; chmod,
# chown, utime and attributes. And it compares what it wrote where it can, as fsstress does not.
#
# Environment: AI=Y|N, SECS (of load before a side goes and after it is back), STRESS (seconds of many
# kinds of system calls on ext4), ROUNDS (sides lost).

. /lab/lib/guest.sh
. /lab/lib/rnbd.sh
. /lab/lib/trouble.sh
. /lab/lib/tower.sh
AI=${AI:-Y} SECS=${SECS:-4} STRESS=${STRESS:-8} ROUNDS=${ROUNDS:-1}

modprobe brd rd_nr=3 rd_size=98304 || bail "ram disks"
modprobe -a raid1 dm-crypt xfs dm-mod
check "two hosts, two networks, modules" trouble_setup 2 always_invalidate="$AI" || bail "no network"

# map_over I SESSION DEVICE: over network I only.
map_over() {
	local before after
	before=$(rnbd_list)
	clt_write "$RNBD_CTL/map_device" "sessname=$2 path=ip:10.0.$1.2@ip:10.0.$1.1 device_path=$3" || return 1
	after=$(rnbd_list)
	RNBD_DEV=$(comm -13 <(printf '%s\n' "$before") <(printf '%s\n' "$after") | head -n 1)
	[ -n "$RNBD_DEV" ]
}
check "map the left side" map_over 0 left /dev/ram0
left=$RNBD_DEV
check "map the right side" map_over 1 right /dev/ram1
right=$RNBD_DEV

for name in left right; do
	for half in "$CLT_CLASS/$name" "$SRV_CLASS/$name"; do
		clt_write "$half/heartbeat_interval_ms" 500
		clt_write "$half/heartbeat_missed_max" 3
	done
done

# --- the tower ---------------------------------------------------------------------
check "RAID1 of both" eval "mdadm --create /dev/md0 --run --level=1 --raid-devices=2 --bitmap=internal \
	--metadata=1.2 --assume-clean /dev/$left /dev/$right 2>&1 | grep -v '^mdadm: array'; [ -b /dev/md0 ]"
tower_up /dev/md0 80
mkdir -p /mnt/ext4
dd if=/dev/zero of=/mnt/xfs/load bs=1M count=12 conv=fsync status=none || bail "a file to work on"

synced() { [ "$(cat /sys/block/md0/md/degraded)" = 0 ] && [ "$(cat /sys/block/md0/md/sync_action)" = idle ]; }
for ((round = 0; round < ROUNDS; round++)); do
	i=$((round % 2)) name=left side=$left
	[ "$i" = 0 ] || name=right side=$right
	load_start /mnt/xfs/load 12
	sleep "$SECS"
	check "$round: the $name side is lost" cut "$i"
	check "$round: md goes on without it" wait_until 90 grep -q 1 /sys/block/md0/md/degraded
	sleep 2
	check "$round: the load does not notice" load_alive
	check "$round: it comes back" heal "$i"
	check "$round: the path comes back" path_back "$name" "$i" 90
	check "$round: the disk is open" wait_until 30 grep -qx open "/sys/block/$side/rnbd/state"
	check "$round: the RAID lets go of what it was" wait_until 10 mdadm -q /dev/md0 --remove "/dev/$side"
	check "$round: it joins again" wait_until 10 mdadm -q /dev/md0 --re-add "/dev/$side"
	check "$round: and is synchronised" wait_until 120 synced
	sleep "$SECS"
	check "$round: no error in the load, nothing lost and nothing late" load_stop
done
tower_down
check "compare both sides" eval "echo check >/sys/block/md0/md/sync_action && wait_until 120 synced"
check_eq "they are the same" 0 "$(cat /sys/block/md0/md/mismatch_cnt)"
check "stop the RAID" mdadm -q --stop /dev/md0

# --- ext4 and many kinds of system calls ----------------------------------------------
check "map a third" map_over 0 left /dev/ram2
third=$RNBD_DEV
check "mkfs.ext4" mkfs.ext4 -q -F "/dev/$third"
check "mount" mount "/dev/$third" /mnt/ext4
# stress: what it says is shown when it fails.
stress() {
	stress-ng --temp-path /mnt/ext4 --verify --timeout "${STRESS}s" \
		--hdd 1 --hdd-bytes 4m --hdd-opts wr-rnd,rd-rnd,fsync --seek 1 --seek-size 2m \
		--fallocate 1 --fallocate-bytes 4m --fpunch 1 --fpunch-bytes 4m --metamix 1 --metamix-bytes 1m \
		--mmap 1 --mmap-bytes 4m --mmap-file --dentry 1 --dentries 64 --dir 1 --dir-dirs 64 --link 1 --symlink 1 \
		--rename 1 --unlink 1 --chmod 1 --chown 1 --utime 1 --xattr 1 >/tmp/stress 2>&1 && return
	cat /tmp/stress
	return 1
}
check "stress" stress
check "no kind of call was left out" grep -q ' skipped: 0$' /tmp/stress
check "umount" umount /mnt/ext4
check "fsck" e2fsck -fn "/dev/$third"
for disk in "$left" "$right" "$third"; do check "unmap $disk" rnbd_unmap "$disk"; done
check "unload" unload_all
summary
