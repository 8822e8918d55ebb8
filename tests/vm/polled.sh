#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Polled IO: requests of a disk with poll queues go over poll connections, end when somebody
# polls, and lose nothing when a path goes or nobody polls any more. Two hosts in one VM.
# Environment: SECS (fio's time per run).

. /lab/lib/guest.sh
. /lab/lib/rnbd.sh
. /lab/lib/hosts.sh
SECS=${SECS:-1}

setup_two_hosts 2 || bail "two hosts in one VM"
modprobe brd rd_nr=2 rd_size=65536 max_part=16 || bail "ram disks"
check "rnbd_server loads in srv" in_srv modprobe rnbd_server
check "rnbd_client loads" modprobe rnbd_client
cpus=$(nproc --all)
PATHS='path=ip:10.0.0.2@ip:10.0.0.1 path=ip:10.0.1.2@ip:10.0.1.1'

# polled SESSION: completions that were found by polling.
polled() { cat "/sys/class/rtrs-client/$1/polled_completions"; }
# ios DISK: reads and writes that the disk has completed.
ios() { awk '{ print $1 + $5 }' "/sys/block/$1/stat"; }
# fio_polled FILE SECONDS [options]
fio_polled() {
	local file=$1 seconds=$2
	shift 2
	fio_verify "$file" "$seconds" --ioengine=io_uring --hipri "$@"
}

# Who ends a request is in the trace: whoever polls is a process of fio's, or one of io_uring's in its
# name, outside of interrupts. The number of completions cannot tell: a request has more than one.
T=/sys/kernel/tracing
mount -t tracefs tracefs $T 2>/dev/null
echo 8192 >$T/buffer_size_kb
trace_ends() {
	echo >$T/trace
	echo 1 >$T/events/rnbd_clt/end_io/enable
}
# ends_by: of the requests since trace_ends, by_poller and by_others.
ends_by() {
	echo 0 >$T/events/rnbd_clt/end_io/enable
	# <process>-<pid> [<cpu>] <interrupts, resched, context, ...> <time>: end_io: ...
	read -r by_poller by_others < <(awk '/ end_io: / {
		if ($1 ~ /^(fio|iou-)/ && $3 !~ /[hHsZz]/) poller++; else others++
	} END { print poller + 0, others + 0 }' $T/trace)
}

# --- a disk with poll queues --------------------------------------------------------
# shellcheck disable=SC2086
check "map with two poll queues" rnbd_map polled /dev/ram0 $PATHS nr_poll_queues=2
disk=$RNBD_DEV
[ -b "/dev/$disk" ] || bail "no disk appeared"
check_eq "the disk says so" 2 "$(cat "/sys/block/$disk/rnbd/nr_poll_queues")"
check_eq "and can be polled" 1 "$(cat "/sys/block/$disk/queue/io_poll")"
check_eq "it has a queue per processor, and two" "$((cpus + 2))" "$(find "/sys/block/$disk/mq" -mindepth 1 -maxdepth 1 | wc -l)"
check_eq "a session with poll queues carries one device" EINVAL \
	"$(in_clt write_error "$RNBD_CTL/map_device" "sessname=polled device_path=/dev/ram1")"

# The block layer does not poll for what it has to split: nothing here is bigger than one request, and
# all begins at a physical block, because the biggest are split at one otherwise.
check "128 KiB are one request" test "$(cat "/sys/block/$disk/queue/max_sectors_kb")" -ge 128
before=$(polled polled) done_before=$(ios "$disk")
trace_ends
check "polled IO: fio verify" fio_polled "/dev/$disk" "$SECS" --iodepth=16 --blockalign=4k \
	--bssplit=4k/40:64k/30:128k/30
ends_by
found=$(($(polled polled) - before)) done=$(($(ios "$disk") - done_before))
note "$done requests, $found completions found by polling; ended by pollers: $by_poller, by others: $by_others"
check_eq "the trace has every request" "$done" "$((by_poller + by_others))"
check "and there were some" test "$done" -gt 100
# A heartbeat of each path in between may find those that are under way.
check "every one was found by polling" test "$by_others" -le $((32 + done / 20))
# Each is one completion at least, its answer.
check "with what polling found" test "$found" -ge "$by_poller"

before=$(polled polled)
trace_ends
check "IO that is not polled: fio verify" fio_verify "/dev/$disk" "$SECS" --iodepth=16
ends_by
check_eq "none of it was found by polling" "$before" "$(polled polled)"
# This also shows that the look at the trace can tell.
note "ended by interrupts: $by_others, otherwise: $by_poller"
check "but ended by interrupts" test "$by_others" -gt 0 -a "$by_poller" = 0

# --- both at once ---------------------------------------------------------------------
fio_polled "/dev/$disk" "$SECS" --iodepth=8 --size=50% >/tmp/polled.out 2>&1 &
job=$!
check "both at once: not polled" fio_verify "/dev/$disk" "$SECS" --iodepth=8 --size=50% --offset=50%
check "both at once: polled" wait "$job"

# --- a path goes and comes back ----------------------------------------------------------
fio_polled "/dev/$disk" "$((SECS + 2))" --iodepth=16 --bssplit=4k >/tmp/polled.out 2>&1 &
job=$!
sleep 0.5
check "one of two paths goes" eval 'echo 1 >/sys/class/rtrs-client/polled/paths/*@ip:10.0.1.1/disconnect'
sleep 0.5
check "and comes back" eval 'echo 1 >/sys/class/rtrs-client/polled/paths/*@ip:10.0.1.1/reconnect'
check "no polled request suffers" wait "$job"
cat /tmp/polled.out
check "both paths are up" wait_until 20 eval '[ "$(grep -lx connected /sys/class/rtrs-client/polled/paths/*/state | wc -l)" = 2 ]'
cmp_disk() { cmp -n 16777216 "/dev/$disk" /dev/ram0; }
check "what was written is on the backend" cmp_disk

# --- somebody who does not poll any more ------------------------------------------------
fio --thread --name=gone --filename="/dev/$disk" --direct=1 --ioengine=io_uring --hipri --rw=randread --bs=4k \
	--iodepth=32 --time_based --runtime=60 >/dev/null 2>&1 &
job=$!
sleep 0.5
kill -9 "$job"
wait "$job" 2>/dev/null
check "after a poller was killed the disk can be unmapped" wait_until 60 rnbd_unmap "$disk"
check_fails "the session is gone" test -e /sys/class/rtrs-client/polled

# --- a path goes under load ---------------------------------------------------------------
check "map over one path" rnbd_map lone /dev/ram0 path=ip:10.0.0.2@ip:10.0.0.1 nr_poll_queues=1
disk=$RNBD_DEV
fio --name=lone --filename="/dev/$disk" --direct=1 --ioengine=io_uring --hipri --rw=randrw --bs=16k \
	--iodepth=32 --time_based --runtime=60 >/tmp/lone.out 2>&1 &
job=$!
sleep 0.5
check "disconnect it" eval 'echo 1 >/sys/class/rtrs-client/lone/paths/*/disconnect'
check "polled requests end" wait_until 20 test ! -e "/proc/$job"
wait "$job"
check "with an error: there is no other path" grep -qE 'err= *[1-9]' /tmp/lone.out
check "unmap" rnbd_unmap "$disk" force

# --- numbers ----------------------------------------------------------------------------
check_eq "more poll queues than processors" EINVAL \
	"$(in_clt write_error "$RNBD_CTL/map_device" "sessname=many path=ip:10.0.0.1 device_path=/dev/ram0 nr_poll_queues=$((cpus + 1))")"
check "as many as processors" rnbd_map most /dev/ram0 path=ip:10.0.0.1 nr_poll_queues="$cpus"
check "polled IO" dd if="/dev/$RNBD_DEV" of=/dev/null bs=64k count=16 iflag=direct status=none
check "unmap" rnbd_unmap "$RNBD_DEV"

for module in rnbd_client rnbd_server rtrs_client rtrs_server rtrs_core; do
	check "rmmod $module" rmmod "$module"
done
check "no leak" kmemleak_scan
summary
