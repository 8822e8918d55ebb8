#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# Runs the test suites and adds up their counts.
#
# usage: scripts/test.sh quick|debug|soak|host [SUITE...]
#
#   quick  what a change has to pass: host tests, VM tests, interop, hostile peers
#   debug  the VM tests on the debug kernel (KASAN, lockdep, kmemleak)
#   soak   the VM tests in long forms, again and again for MINUTES (default 60; from 60 on
#          every suite runs at least once, in its full form)
#   host   the pure crates only
#
# With SUITE names only those run; ALL=1 runs also what has no place in the time of the mode.
# What is left out is said, and how many checks a suite had to skip. Ends with `N passed, N failed`.
#
# Suites of one VM run two at a time, on the VM's own clock (see vm.sh --virtual-time): how
# slow or busy this machine is does not make their timers expire. Pairs of VMs keep real
# time, and this machine for themselves.

. "$(dirname "$0")/lab/lib.sh"
need_root
MODE=${1:-quick}
MINUTES=${MINUTES:-60}
[ $# = 0 ] || shift
ONLY="$*"
[[ $MINUTES =~ ^[1-9][0-9]*$ ]] || die "MINUTES has to be a whole number from 1 on"

# --- how long everything is ---------------------------------------------------------------
KERNEL=stock
SECS=4 INTEROP_SECS=20 CYCLES=200 SLAB_KIB=2048 DEPTH=1500 SLOW=1 LIES=all LIAR_ARGS=
# Of the transport's suites: cuts per policy, rounds, connects, paths, short loads.
TROUBLES=3 CUTS=1 CONNECTS=60 PATHS=16 LOAD=4 REBOOTS=1 STEP=1 STRESS=4
# longer LENGTH: it, or that part of it which the soak's time is of an hour.
longer() { echo $((MINUTES >= 60 ? $1 : $1 * MINUTES < 60 ? 1 : $1 * MINUTES / 60)); }
case $MODE in
quick | host) ;;
debug) KERNEL=debug LIES=some SECS=2 CYCLES=10 SLAB_KIB=16384 DEPTH=60 SLOW=4
	TROUBLES=1 CONNECTS=10 PATHS=6 LOAD=2 STEP=5 ;;
soak) LIAR_ARGS=--slow TROUBLES=$(longer 20) CUTS=$(longer 5) CONNECTS=$(longer 1000) PATHS=$(longer 200)
	LOAD=$(longer 120) REBOOTS=$(longer 3) STRESS=$(longer 300)
	SECS=$(longer 30) INTEROP_SECS=$(longer 45) CYCLES=$(longer 400) ;;
*) die "usage: $0 quick|debug|soak|host [SUITE...]" ;;
esac

VM=$TOP/scripts/lab/vm.sh
WORK=$(mktemp -d)
WORKERS=()
# leave: nothing of what was begun goes on when this script ends, however it ends.
leave() {
	local group
	for group in "${WORKERS[@]}"; do kill -- -"$group" 2>/dev/null || true; done
	rm -rf "$WORK"
}
trap leave EXIT
: >"$WORK/results"
KO='' PEERS='' KV=''
# shellcheck source-path=SCRIPTDIR source=suites.sh
. "$TOP/scripts/suites.sh"
LEFT_OUT=${LEFT_OUT_OF[$MODE]:-}
[ -z "${ALL:-}" ] || LEFT_OUT="" LIES=all
[ "$KERNEL" = stock ] || LEFT_OUT="$LEFT_OUT $NOT_ON_DEBUG"

# --- running and counting -------------------------------------------------------------------
# contains "WORD..." WORD
contains() { [[ " ${1//[[:space:]]/ } " == *" $2 "* ]]; }

# wanted NAME: whether it is to run at all.
wanted() {
	if [ -n "$ONLY" ]; then
		contains "$ONLY" "$1"
	elif contains "$LEFT_OUT" "$1"; then
		return 1
	fi
}

# count SUITE STATUS LOG SECONDS: takes the counts out of a suite's last line. A suite
# that ends badly without a failed check, or without any check, is a failure of its own.
count() {
	local line passed failed skipped
	line=$(grep -E '^[0-9]+ passed, [0-9]+ failed' "$3" | tail -n 1 || true)
	passed=${line%% *} failed=$(sed -E 's/.*, ([0-9]+) failed.*/\1/' <<<"$line")
	: "${passed:=0}" "${failed:=0}"
	if [ "$failed" = 0 ] && { [ "$2" != 0 ] || [ "$passed" = 0 ]; }; then
		failed=1
		say "$1: ended with status $2 and $passed checks passed; its log is $3"
		tail -n 25 "$3" >&2
	elif [ "$failed" != 0 ]; then
		grep -A 3 '^not ok' "$3" | head -n 40 >&2 || true
	fi
	skipped=$(grep -cE '^([a-z]+\| )?skip - ' "$3" || true)
	[ "$skipped" = 0 ] && skipped='' || skipped=", $skipped skipped"
	printf '%-34s %5d passed %3d failed %5d s%s\n' "$1" "$passed" "$failed" "$4" "$skipped" | tee -a "$WORK/results"
}

# suite NAME: runs it with its output in a log.
suite() {
	local name=$1 status=0 began=$SECONDS log=$TOP/build/logs/suite-$1.log
	mkdir -p "$TOP/build/logs"
	say "$name ..."
	run_suite "$name" >"$log" 2>&1 </dev/null || status=$?
	count "$name" "$status" "$log" $((SECONDS - began))
}

# next: takes the next suite from the list, if there is one and time for it.
next() {
	local name
	exec 5>"$WORK/lock"
	flock 5
	[ "$SECONDS" -lt "$UNTIL" ] || return 1
	name=$(head -n 1 "$WORK/list")
	[ -n "$name" ] || return 1
	sed -i 1d "$WORK/list"
	printf '%s\n' "$name"
}

worker() {
	local name
	while name=$(next); do suite "$name"; done
}

# work WORKERS UNTIL SUITE...: runs the suites that are wanted, so many at a time, and begins
# none after that second.
work() {
	local workers=$1 name i
	UNTIL=$2
	shift 2
	: >"$WORK/list"
	for name in "$@"; do
		if wanted "$name"; then echo "$name" >>"$WORK/list"; fi
	done
	# Each is a group of its own, which can be ended with its machines; see leave.
	set -m
	for ((i = 0; i < workers; i++)); do
		worker &
		WORKERS+=("$!")
	done
	set +m
	wait
	WORKERS=()
	cat "$WORK/list" >>"$WORK/late"
}

NEVER=1000000000
"$TOP/scripts/lab/root.sh"
pin_kernel
[ "$MODE" = debug ] || work 1 $NEVER host
if [ "$MODE" != host ]; then
	"$TOP/scripts/lab/kernel.sh"
	KV=$(kernel_release)
	[ "$MODE" != debug ] || "$TOP/scripts/lab/debug-kernel.sh"
	"$TOP/scripts/lab/initramfs.sh"
	"$TOP/scripts/lab/peers.sh"
	PEERS=$CACHE/$KV/peers
	"$TOP/scripts/lab/modules.sh" "$KERNEL" KX_TESTS=m
	if [ "$KERNEL" = debug ]; then
		KO=$TOP/build/$(cat "$CACHE/debug-$KV/release")
	else
		KO=$TOP/build/$KV
		# shellcheck disable=SC2086
		work 1 $NEVER ${HOST_SUITES#host }
	fi
	step "hostile peer" hostile_build
	step "tools for tests" tools_build
	: >"$WORK/late"
	BEGAN=$SECONDS round=0
	while true; do
		round=$((round + 1))
		# A short soak divides its time between the two kinds; a long one begins with a
		# whole round.
		single=$NEVER pairs=$NEVER
		if [ "$MODE" = soak ] && { [ "$MINUTES" -lt 60 ] || [ "$round" -gt 1 ]; }; then
			pairs=$((BEGAN + MINUTES * 60))
			single=$((SECONDS + (pairs - SECONDS) * 2 / 3))
		fi
		# shellcheck disable=SC2086
		work 2 "$single" $SINGLE_SUITES
		# shellcheck disable=SC2086
		work 1 "$pairs" $PAIR_SUITES
		[ "$MODE" = soak ] && [ "$SECONDS" -lt $((BEGAN + MINUTES * 60)) ] || break
	done
	[ -n "$ONLY" ] || [ -z "$LEFT_OUT" ] || say "left out: $(xargs <<<"$LEFT_OUT")"
	[ ! -s "$WORK/late" ] || say "not begun for want of time: $(sort -u "$WORK/late" | xargs)"
fi

printf '\n%s\n' "suite                                  result                time"
cat "$WORK/results"
awk '{ p += $2; f += $4 } END { printf "%d passed, %d failed\n", p, f; exit f || !p }' "$WORK/results"
