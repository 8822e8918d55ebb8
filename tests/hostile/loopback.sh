# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The hostile client against a server in the same VM, while an honest client
# keeps verifying a device of its own. Runs inside a lab VM:
#
#   make -C tests/hostile OUT=DIR          (in the lab root)
#   scripts/lab/vm.sh run --name hostile --mem 4096 --timeout 1200 --ko MODULES \
#       --file DIR/hostile:/lab/hostile --script tests/hostile/loopback.sh \
#       [--env 'HOSTILE_CASES=name-empty half-open' (path-129 not as the only one)] [--env HOSTILE_CASES=some] \
#       [--env 'HOSTILE_ARGS=--halfopen 15'] \
#       [--env SLOW_CASES=1 (the cases that wait for a slow backend for long: some minutes)]
#       [--append 'rtrs_server.sess_queue_depth=500' (for index-outside)]
#       [--append 'rtrs_server.setup_timeout_ms=8000 rtrs_server.always_invalidate=N']
#
# Each case of the client is one check here; so are the log's length, the
# memory, the honest client and the unloading of all modules. Warnings in the
# kernel log are noticed by the lab itself.

# shellcheck source=/dev/null
. /lab/lib/guest.sh
# shellcheck source=/dev/null
. /lab/lib/rnbd.sh

# A backend with 4 KiB blocks and a volatile cache: flushes really reach it, and
# a flush with a senseless sector would be refused.
flush_backend() {
	local dir=/sys/kernel/config/nullb/hostile
	modprobe null_blk nr_devices=0 || return 1
	[ -d /sys/kernel/config/nullb ] || mount -t configfs none /sys/kernel/config || return 1
	mkdir "$dir" && echo 4096 >"$dir/blocksize" && echo 1 >"$dir/memory_backed" &&
		echo 16 >"$dir/size" && echo 4 >"$dir/cache_size" && echo 1 >"$dir/power" &&
		test -b /dev/hostile
}

# A backend that takes four seconds for everything.
slow_backend() {
	local dir=/sys/kernel/config/nullb/slow
	mkdir "$dir" && echo 512 >"$dir/blocksize" && echo 1 >"$dir/memory_backed" &&
		echo 16 >"$dir/size" && echo 2 >"$dir/irqmode" && echo 4000000000 >"$dir/completion_nsec" &&
		echo 1 >"$dir/power" && test -b /dev/slow
}

# The honest client verifies until the file appears, and leaves time to the others: most cases only
# wait. A failure stays visible.
honest_client() {
	while [ ! -e /tmp/honest.stop ]; do
		fio_verify "$1" 4 --size=12m --iodepth=4 --thinktime=20ms >/tmp/honest.log 2>&1 || return 1
	done
}

# log_lines MARK: kernel messages since then that some peer's behaviour caused.
log_lines() { dmesg_since "$1" | grep -cv 'speed is unknown'; }

run_cases() {
	results_of /lab/hostile --dst 10.0.0.1 --dst2 fd00:1::1 --device /dev/ram1 --device2 /dev/ram2 \
		--flush-device /dev/hostile --files /tmp/many/f --slow-device /dev/slow ${SLOW_CASES:+--slow} --sessions 12 "$@"
}

# So many paths need little memory each, and differ by their addresses.
small_sessions() {
	local i
	modprobe -r rnbd_client && modprobe -r rnbd_server && modprobe -r rtrs_server || return 1
	modprobe rtrs_server sess_queue_depth=16 max_chunk_size=32768 && modprobe rnbd_server || return 1
	for ((i = 1; i <= 129; i++)); do ip addr add "10.0.1.$i/24" dev dummy0 || return 1; done
	wait_until 60 has_gid rxe0 0a00:0181
}

modules_gone() {
	modprobe -r rnbd_client && modprobe -r rnbd_server && modprobe -r rtrs_client &&
		modprobe -r rtrs_server && modprobe -r rtrs_core
}

check "loopback network" setup_loopback_rxe
check "user-space verbs" modprobe -a ib_uverbs rdma_ucm
check "RAM disks" modprobe brd rd_nr=3 rd_size=16384
check "backend for flushes" flush_backend
check "slow backend" slow_backend
# Memory-backed devices take their memory when they are first written.
for disk in ram0 ram1 ram2 hostile; do
	check "fill $disk" dd if=/dev/urandom of="/dev/$disk" bs=1M count=16 conv=fsync status=none
done
many_files() {
	# shellcheck disable=SC2046
	mkdir /tmp/many && (cd /tmp/many && truncate -s 4096 $(seq -f f%g 0 1024))
}
check "many files" many_files
check "server" modprobe rnbd_server
check "client" modprobe rnbd_client
check "an honest client maps /dev/ram0" rnbd_map honest /dev/ram0
[ "$LAB_FAILED" = 0 ] || bail "set-up"

honest_client "/dev/$RNBD_DEV" &
HONEST=$!
sleep 2

# Those where memory, locks and lifetimes are at stake, for a kernel that watches them and on which
# each takes its time.
SOME="info-twice-at-once second-path fence-crossed fence-other-path index-on-two-paths-vanish session-uuid-race
	path-comes-again session-take-over chunk-burst no-receives vanish connect-churn io-with-info key-stale
	race-close-open race-vanish open-io-mode answer-tail name-empty name-unterminated message-at-chunk-end
	answer-too-long id-stale read-only io-sizes message-short open-unterminated
	io-operations flush-sector"
[ "${HOSTILE_CASES:-all}" != some ] || HOSTILE_CASES=$SOME
CASES=()
for name in ${HOSTILE_CASES:-all}; do
	CASES+=(--case "$name")
done
# A first round of honest traffic, so that caches of all kinds are there.
run_cases --case honest-flow
MEMORY=$(used_kib)
dmesg_mark hostile
# shellcheck disable=SC2086
run_cases "${CASES[@]}" ${HOSTILE_ARGS:-}

# Thousands of wrong messages may leave some lines, not one each.
if [ "${HOSTILE_CASES:-all}" = all ]; then
	dmesg_mark flood
	run_cases --case immediate-flood --case refusal-flood --case heartbeat-flood
	LINES=$(log_lines flood)
	check "5000 wrong messages leave $LINES lines in the log, at most 150" test "$LINES" -le 150
fi

touch /tmp/honest.stop
check "the honest client verified all the time" wait "$HONEST"
[ -e /tmp/honest.log ] && cat /tmp/honest.log

# One path's pool alone is 64 MiB, and a slow request keeps it for four seconds.
sleep 5
GROWN=$(($(used_kib) - MEMORY))
# KASAN keeps what was freed for a while.
MOST=32768
[ ! -e /sys/kernel/debug/kmemleak ] || MOST=98304
check "memory has come back (grown by $GROWN KiB, at most $MOST)" test "$GROWN" -le "$MOST"
check "unmap" rnbd_unmap "$RNBD_DEV"
case ${HOSTILE_CASES:-all} in
all | *path-129*)
	check "a server with small sessions, at 129 addresses" small_sessions
	results_of /lab/hostile --dst 10.0.0.1 --device /dev/ram1 --many 10.0.1.
	;;
esac
check "kmemleak finds nothing" kmemleak_scan
check "all modules unload" modules_gone
summary
