#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Runs in a VM: loads the self-test module kx_null (with rtrs_core, in which the
# foundation lives) and drives its disks through the block layer.
#
#   scripts/lab/vm.sh run --name null --ko DIR --script tests/vm/nullrx/null.sh

. /lab/lib/guest.sh

limit() { cat "/sys/block/kx0/queue/$1"; }
io() { fio --name=io --direct=1 --time_based --runtime=2 --output-format=terse "$@" >/dev/null; }
# order SECTOR: a write of three sectors, which kx0 understands as an order.
order() {
	dd if=/dev/zero of=/dev/kx0 bs=1536 count=1 seek=$(($1 * 512)) oflag=direct,seek_bytes conv=notrunc 2>&1
}
log_has() { dmesg | grep -qF "$1"; }

check "the module loads" modprobe kx_null
check_eq "three disks" "kx0 kx1 kx2" "$(cd /sys/block && echo kx*)"
check_eq "max_hw_sectors_kb" 124 "$(limit max_hw_sectors_kb)"
check_eq "optimal_io_size" 126976 "$(limit optimal_io_size)"
check_eq "max_segments" 128 "$(limit max_segments)"
check_eq "virt_boundary_mask" 4095 "$(limit virt_boundary_mask)"
check_eq "discard_granularity" 4096 "$(limit discard_granularity)"
check_eq "discard_max_hw_bytes" 2097152 "$(limit discard_max_hw_bytes)"
check_eq "write_zeroes_max_bytes" 4194304 "$(limit write_zeroes_max_bytes)"
check_eq "write cache" "write back" "$(limit write_cache)"
check_eq "fua" 1 "$(limit fua)"
check_eq "polling" 1 "$(limit io_poll)"
check_eq "requests" 64 "$(limit nr_requests)"
check_eq "read-only" 1 "$(cat /sys/block/kx2/ro)"
check_write "writers are refused" EPERM /dev/kx2 x
check_eq "geometry" "/dev/kx0: 2048 cylinders, 4 heads, 16 sectors/track" "$(sfdisk -g /dev/kx0)"

check "requests that end at once" io --filename=/dev/kx0 --rw=randrw --bs=64k --ioengine=libaio --iodepth=16
check "requests that end later" io --filename=/dev/kx1 --rw=randrw --bsrange=512-256k --blockalign=512 --ioengine=libaio --iodepth=32 --numjobs=2
check "polled requests" io --filename=/dev/kx1 --rw=randread --bs=4k --ioengine=io_uring --hipri --iodepth=8 --runtime=1
check "trim" io --filename=/dev/kx1 --rw=randtrim --bs=64k
check "flush" io --filename=/dev/kx1 --rw=randwrite --bs=4k --fsync=1
check "discard" blkdiscard -f /dev/kx1
check "secure erase" blkdiscard -f -s /dev/kx1
check "zero out" blkdiscard -f -z /dev/kx1
order 8 | grep -q "Link has been severed"
check_eq "a refused request" 0 $?
order 16 | grep -q "Input/output error"
check_eq "a forgotten request" 0 $?

exec 5</dev/kx2
order 24 >/dev/null
check "an open disk is dropped" wait_until 10 log_has "dropping kx2"
check "it goes" wait_until 10 test ! -e /sys/block/kx2
check_fails "its data stays" log_has "a queue is released"
check_fails "the module stays" rmmod kx_null
exec 5<&-
check "the last close releases it" wait_until 10 log_has "a queue is released, openers 0"
io --filename=/dev/kx1 --rw=randrw --bs=4k --ioengine=libaio --iodepth=32 2>/dev/null &
sleep 1
order 24 >/dev/null
check "a busy disk is dropped" wait_until 20 test ! -e /sys/block/kx1
wait
check "the module unloads" rmmod kx_null
check "and nothing was wrong" log_has "kx_null: wrong: 0"
again() { modprobe kx_null && rmmod kx_null; }
check "it loads and unloads again" again
before=$(slab_kib)
for _ in $(seq 40); do again || break; done
sleep 1
grown=$(($(slab_kib) - before))
note "40 rounds took $grown KiB"
# One leaked disk, tag set or table of segments per round would be 4 MiB or so.
check "nothing leaks" [ "$grown" -lt 1500 ]
summary
