#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Memory pressure: swap on a mapped device, and write-back under a memory limit.
# A device that needs memory to free memory stops here. A path goes and comes back in
# the middle of it. Environment: AI=Y|N, SECS.

. /lab/lib/guest.sh
. /lab/lib/rnbd.sh
. /lab/lib/trouble.sh
AI=${AI:-Y} SECS=${SECS:-10}

# The backends are kept small: their pages come from the same memory.
modprobe brd rd_nr=2 rd_size=98304 || bail "ram disks"
# What brd holds cannot be swapped; allocate it now.
for ram in /dev/ram0 /dev/ram1; do dd if=/dev/zero of="$ram" bs=1M count=96 oflag=direct status=none; done
check "two hosts, two paths, modules" trouble_setup 2 always_invalidate="$AI" sess_queue_depth=128 || bail "no network"
check "map the swap" clt_map swap /dev/ram0 2
swap=$RNBD_DEV
check "map the file system" clt_map swap /dev/ram1 2
fs=$RNBD_DEV
[ -b "/dev/$swap" ] && [ -b "/dev/$fs" ] || bail "no disks"

# --- swap ----------------------------------------------------------------------------
check "mkswap" eval "mkswap /dev/$swap >/dev/null"
check "swapon" swapon "/dev/$swap"
swapped() { awk '$1 == "pswpout" { print $2 }' /proc/vmstat; }
before=$(swapped)
# More than is there, by half of the swap.
want=$(($(meminfo MemAvailable) + 48 * 1024))
note "available $(meminfo MemAvailable) KiB, stress-ng takes $want KiB"
stress-ng --vm 1 --vm-bytes "${want}k" --vm-keep --vm-method write64 --verify --timeout "$((SECS + 10))s" >/tmp/stress.log 2>&1 &
pressure=$!
# more_than PAGES: so many have been swapped out.
more_than() { [ "$(swapped)" -gt "$((before + $1))" ]; }
check "memory is short" wait_until 60 more_than 1000
sleep $((SECS / 3 + 1))
check "a path goes meanwhile" trouble disconnect swap 0 2
check "and comes back" path_back swap 0 120
check "memory is still short" kill -0 "$pressure"
check "stress-ng ends" timeout $((SECS * 6 + 120)) tail --pid="$pressure" -f /dev/null
wait "$pressure" || { cat /tmp/stress.log; false; }
check_eq "without an error" 0 "$?"
note "pages swapped out: $(($(swapped) - before)), in: $(awk '$1 == "pswpin" { print $2 }' /proc/vmstat)"
check "swapoff reads it all back" timeout 120 swapoff "/dev/$swap"

# --- write-back under a limit -----------------------------------------------------------
mkdir -p /mnt /sys/fs/cgroup
mountpoint -q /sys/fs/cgroup || mount -t cgroup2 none /sys/fs/cgroup
echo +memory >/sys/fs/cgroup/cgroup.subtree_control 2>/dev/null
mkdir -p /sys/fs/cgroup/small && echo 40M >/sys/fs/cgroup/small/memory.max || bail "no memory cgroup"
echo +io >/sys/fs/cgroup/cgroup.subtree_control 2>/dev/null
check "mkfs.ext4" mkfs.ext4 -q -F "/dev/$fs"
check "mount" mount "/dev/$fs" /mnt
# shellcheck disable=SC2016
limited() { bash -c 'echo $$ >/sys/fs/cgroup/small/cgroup.procs; exec "$@"' limited "$@"; }
# Without a backlog fio remembers each write, and in time needs all of that memory for itself.
limited fio --name=back --directory=/mnt --size=20m --nrfiles=2 --numjobs=2 --rw=randwrite --bs=16k --ioengine=psync \
	--verify=crc32c --verify_backlog=64 --fsync=64 --time_based --runtime="$SECS" --eta=never --do_verify=1 >/tmp/back.log 2>&1 &
writer=$!
sleep $((SECS / 3 + 1))
check "a path goes during write-back" trouble netem swap 1 3
check "and comes back" path_back swap 1 60
check "the writer ends" timeout $((SECS * 10 + 180)) tail --pid="$writer" -f /dev/null
wait "$writer" || { cat /tmp/back.log; false; }
check_eq "without an error" 0 "$?"
check "sync" timeout 60 sync
check "umount" umount /mnt
check "fsck" e2fsck -fn "/dev/$fs"
check "unmap both" eval "rnbd_unmap $swap && rnbd_unmap $fs"
check "unload" unload_all
summary
