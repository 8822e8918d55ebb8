# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A lying server for the client in the same VM, while an honest server serves an
# honest mapping of the same client. Runs inside a lab VM:
#
#   make -C tests/hostile_server OUT=DIR          (in the lab root)
#   scripts/lab/vm.sh run --name hostile-server --virtual-time --mem 3072 --timeout 900 --ko MODULES \
#       --file DIR/hostile_server:/lab/hostile_server --script tests/hostile_server/loopback.sh \
#       [--env 'LIES=inv-claimed rkey-short'] [--env LIES=some] [--env 'LIAR_ARGS=--slow']
#
# Each case is one check here; so are the memory, the honest mapping and the
# unloading of all modules. Warnings in the kernel log are noticed by the lab itself.

# shellcheck source=/dev/null
. /lab/lib/guest.sh
# shellcheck source=/dev/null
. /lab/lib/rnbd.sh

# The honest mapping is verified until the file appears; a failure stays visible.
honest_mapping() {
	while [ ! -e /tmp/honest.stop ]; do
		fio_verify "$1" 2 --size=4m --iodepth=2 --thinktime=20ms >/tmp/honest.log 2>&1 || return 1
		sleep 2
	done
}

run_lies() { results_of /lab/hostile_server --dst 10.0.0.1 --dst2 fd00:1::1 --honest dev/ram1 "$@"; }

modules_gone() {
	modprobe -r rnbd_client && modprobe -r rnbd_server && modprobe -r rtrs_client &&
		modprobe -r rtrs_server && modprobe -r rtrs_core
}

check "loopback network" setup_loopback_rxe
check "user-space verbs" modprobe -a ib_uverbs rdma_ucm
check "RAM disks" modprobe brd rd_nr=2 rd_size=8192
check "a server with small sessions" modprobe rtrs_server sess_queue_depth=16
check "server" modprobe rnbd_server
check "client" modprobe rnbd_client
check "an honest mapping of /dev/ram0" rnbd_map honest /dev/ram0
[ "$LAB_FAILED" = 0 ] || bail "set-up"
DISK=$RNBD_DEV

# Those where memory, locks and lifetimes are at stake, for a kernel that watches them and on which
# each takes its time.
SOME="inv-claimed key-stale answer-twice other-carrier hang-up-io die second-depth-larger
	key-other-path fence-never-unmap info-good-bye rep-noise scan-good-bye ext-open-noise reopen reconnect-depth
	notice-sizes"
[ "${LIES:-all}" != some ] || LIES=$SOME
CASES=()
for name in ${LIES:-all}; do
	CASES+=(--case "$name")
done
# A first round, so that caches of all kinds are there.
run_lies --case honest
MEMORY=$(used_kib)
honest_mapping "/dev/$DISK" &
HONEST=$!
# shellcheck disable=SC2086
run_lies "${CASES[@]}" ${LIAR_ARGS:-}

touch /tmp/honest.stop
check "the honest mapping was verified all the time" wait "$HONEST"
[ -e /tmp/honest.log ] && cat /tmp/honest.log
sleep 2
GROWN=$(($(used_kib) - MEMORY))
# KASAN keeps what was freed for a while.
MOST=16384
[ ! -e /sys/kernel/debug/kmemleak ] || MOST=98304
check "memory has come back (grown by $GROWN KiB, at most $MOST)" test "$GROWN" -le "$MOST"
check "kmemleak finds nothing" kmemleak_scan
check "only the honest disk is left" test "$(rnbd_list)" = "$DISK"
check "unmap" rnbd_unmap "$DISK"
check "all modules unload" modules_gone
summary
