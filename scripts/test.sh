#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# Runs the test suites and adds up their counts.
#
# usage: scripts/test.sh quick|debug|soak|host [SUITE...]
#
#   quick  what a change has to pass: host tests, VM tests, interop, hostile peers
#   debug  the VM tests on the debug kernel (KASAN, lockdep, kmemleak)
#   soak   the VM tests in their long forms, in proportion to MINUTES (default 60), and again
#          while another round fits into that time
#   host   the pure crates only
#
# With SUITE names only those run; ALL=1 runs also what has no place in the time of a debug run.
# Ends with `N passed, N failed`.
#
# Suites of one VM run in two lanes side by side, on the VM's own clock (see vm.sh
# --virtual-time): how slow or busy this machine is does not make their timers expire.
# Pairs of VMs keep real time, and this machine for themselves.

. "$(dirname "$0")/lab/lib.sh"
need_root
MODE=${1:-quick}
MINUTES=${MINUTES:-60}
[ $# = 0 ] || shift
ONLY=" $* "
KERNEL=stock
SECS=8 INTEROP_SECS=20 CYCLES=200 SLAB_KIB=2048 DEPTH=1500 ROUNDS=1 SLOW=1 LIES=all LIAR_ARGS=
# Of the transport's suites: cuts per policy, rounds, connects, paths, short loads.
TROUBLES=3 CUTS=1 CONNECTS=60 PATHS=16 LOAD=4 REBOOTS=1 STEP=1 STRESS=8
case $MODE in
quick | host) ;;
debug) KERNEL=debug LIES=some SECS=2 CYCLES=20 SLAB_KIB=16384 DEPTH=60 SLOW=4
	TROUBLES=1 CONNECTS=10 PATHS=6 LOAD=2 STEP=5 ;;
soak) LIAR_ARGS=--slow TROUBLES=7 CUTS=5 CONNECTS=1000 PATHS=200 LOAD=120 REBOOTS=3 STRESS=300
	SECS=$MINUTES INTEROP_SECS=$((2 * MINUTES)) CYCLES=1000 ROUNDS=1000000 ;;
*) die "usage: $0 quick|debug|soak|host [SUITE...]" ;;
esac
[[ $MINUTES =~ ^[1-9][0-9]*$ ]] || die "MINUTES has to be a whole number from 1 on"
DEADLINE=$((SECONDS + MINUTES * 60))
VM=$TOP/scripts/lab/vm.sh
RESULTS=$(mktemp)
trap 'rm -f "$RESULTS"' EXIT

# What has no place in the time of this mode; ALL=1, or its name, runs it all the same.
LEFT_OUT=
if [ "$MODE" = debug ]; then
	LEFT_OUT="stats heartbeat loopback-N paths-N failover-N fencing-N outage powercut cycles swap stack faults"
fi
[ -z "${ALL:-}" ] || LEFT_OUT=

wanted() {
	[ "$ONLY" = "  " ] || { [[ $ONLY == *" $1 "* ]]; return; }
	[[ " $LEFT_OUT " != *" $1 "* ]]
}

# count SUITE STATUS OUTPUT: takes the counts out of a suite's last line. A suite
# that ends badly without a failed check is a failure of its own.
count() {
	local line passed failed
	line=$(grep -E '^[0-9]+ passed, [0-9]+ failed' "$3" | tail -n 1 || true)
	passed=${line%% *} failed=$(sed -E 's/.*, ([0-9]+) failed.*/\1/' <<<"$line")
	: "${passed:=0}" "${failed:=0}"
	if [ "$2" != 0 ] && [ "$failed" = 0 ]; then
		failed=1
		say "$1: ended with status $2; its log is $3"
		tail -n 25 "$3" >&2
	elif [ "$failed" != 0 ]; then
		grep -A 3 '^not ok' "$3" | head -n 40 >&2 || true
	fi
	printf '%-34s %5d passed %3d failed %5d s\n' "$1" "$passed" "$failed" "$((SECONDS - BEGAN))" |
		tee -a "$RESULTS"
}

# suite NAME COMMAND...: runs a suite with its output in a log.
suite() {
	local name=$1 status=0
	shift
	wanted "$name" || return 0
	BEGAN=$SECONDS
	mkdir -p "$TOP/build/logs"
	say "$name ..."
	"$@" >"$TOP/build/logs/suite-$name.log" 2>&1 </dev/null || status=$?
	count "$name" "$status" "$TOP/build/logs/suite-$name.log"
}

# --- host tests ---------------------------------------------------------------------
# Cargo's own closing lines become ours.
cargo_tests() {
	local log status=0
	log=$(mktemp)
	mkdir -p "$CACHE/cargo"
	# The certificates that this machine trusts, which are perhaps more than Debian's.
	cp -L /etc/ssl/certs/ca-certificates.crt "$CACHE/cargo/ca.crt"
	in_root env CARGO_HOME=/cache/cargo CARGO_TARGET_DIR=/src/build/host CARGO_HTTP_CAINFO=/cache/cargo/ca.crt \
		cargo test --manifest-path /src/tests/host/Cargo.toml 2>&1 | tee "$log" || status=$?
	awk '/^test result:/ { p += $4; f += $6 } END { printf "%d passed, %d failed\n", p, f }' "$log"
	rm -f "$log"
	return "$status"
}

# --- VM suites ------------------------------------------------------------------------
KO=
vm() {
	local name=$1 script=$2
	shift 2
	"$VM" run --name "$name" --kernel "$KERNEL" --virtual-time --ko "$KO" --script "$TOP/tests/vm/$script" "$@"
}

# pair SERVER CLIENT AI: an interop run; SERVER and CLIENT are rust or c.
pair() {
	local server=$KO client=$KO
	[ "$1" = rust ] || server=$PEERS
	[ "$2" = rust ] || client=$PEERS
	"$VM" pair --name "interop-$1-$2-$3" --kernel "$KERNEL" --timeout $((300 * SLOW)) --mem 1536 \
		--server-ko "$server" --client-ko "$client" \
		--server-script "$TOP/tests/vm/interop_server.sh" --client-script "$TOP/tests/vm/interop_client.sh" \
		--env AI="$3" --env SECS="$INTEROP_SECS" --env CLIENT="$2"
}

# hostile AI: a peer that breaks every rule, beside an honest one. The depth is
# no power of two, so that an index can be out of range; and where there is time, there are
# more chunks than registrations fit into the info exchange's queue at once.
hostile() {
	"$VM" run --name "hostile-$1" --kernel "$KERNEL" --virtual-time --ko "$KO" --mem 4096 --timeout $((600 * SLOW)) \
		--file "$TOP/build/hostile/hostile:/lab/hostile" --script "$TOP/tests/hostile/loopback.sh" \
		--append "rtrs_server.setup_timeout_ms=8000 rtrs_server.always_invalidate=$1 rtrs_server.sess_queue_depth=$DEPTH rtrs_server.max_chunk_size=65536" \
		--env 'HOSTILE_ARGS=--halfopen 20' --env "SLOW_CASES=$(slow_cases "$1")"
}

# slow_cases AI: who waits for whom does not depend on the keys, so once is enough.
slow_cases() { [ "$1" != Y ] || echo 1; }

# stamp: a build of the same sources that was stamped otherwise.
stamp() {
	in_root make -C "/cache/$KV/kbuild" M=/src MO=/src/build/other CC=x86_64-linux-gnu-gcc-14 \
		KERNELRELEASE="$KV" RNBD_STAMP=other -j"$JOBS" modules >"$TOP/build/logs/other.log" 2>&1
	vm stamp stamp.sh --timeout 120 --file "$TOP/build/other/rtrs_client.ko:/lab/other/rtrs_client.ko"
}

# stats_c: the same checks against the C modules, so that the formats are theirs.
stats_c() {
	"$VM" run --name stats-c --virtual-time --ko "$PEERS" --script "$TOP/tests/vm/stats.sh" \
		--timeout 180 --mem 1536 --env IMPL=c
}

client_abi_c() {
	"$VM" run --name client-abi-c --virtual-time --ko "$PEERS" --script "$TOP/tests/vm/client_abi.sh" \
		--timeout 200 --mem 2048 --env CLIENT=c
}

hostile_build() {
	in_root make -C /src/tests/hostile OUT=/src/build/hostile
	in_root make -C /src/tests/hostile_server OUT=/src/build/hostile
}

# hostile_server: a server that lies to the client, beside an honest one.
hostile_server() {
	"$VM" run --name hostile-server --kernel "$KERNEL" --virtual-time --ko "$KO" --mem 3072 --timeout $((900 * SLOW)) \
		--file "$TOP/build/hostile/hostile_server:/lab/hostile_server" --script "$TOP/tests/hostile_server/loopback.sh" \
		--env "LIAR_ARGS=$LIAR_ARGS" --env "LIES=$LIES"
}

loopback() {
	vm "loopback-$1" loopback.sh --timeout $((600 * SLOW + SECS * 5)) --mem 3072 \
		--env AI="$1" --env SECS="$SECS" --env CYCLES="$CYCLES" --env SLAB_KIB="$SLAB_KIB"
}

# paths EXTENSIONS AI: paths come and go under IO.
paths() {
	vm "paths-$1" paths.sh --timeout $((300 * SLOW)) --mem 2048 --env EXT="$1" --env AI="$2"
}

tools_build() {
	in_root make -C /src/tests/tools OUT=/src/build/tools
}

# transport NAME SCRIPT [NAME=VALUE...]: a suite of the two hosts in one VM.
transport() {
	local name=$1 script=$2 word env=()
	shift 2
	for word in "$@"; do env+=(--env "$word"); done
	vm "$name" "$script" --timeout $((300 * SLOW + TROUBLES * 120 + LOAD * 20)) --mem "${MEM:-2048}" \
		--smp "${SMP:-2}" --file "$TOP/build/tools/slowdisk:/lab/slowdisk" --env SLAB_KIB="$SLAB_KIB" "${env[@]}"
}

failover() { transport "failover-$1" failover.sh AI="$1" TROUBLES="$TROUBLES"; }
fencing() { transport "fencing-$1" fencing.sh AI="$1" ROUNDS="$CUTS" SECS=3; }
cycles() { transport cycles cycles.sh CYCLES="$((CONNECTS / 2))" PATHS="$PATHS" SECS="$LOAD"; }
outage() { transport outage outage.sh ROUNDS="$CUTS"; }
# Little memory to begin with.
swap() { MEM=1024 transport swap swap.sh SECS="$LOAD"; }
stack() { transport stack stack.sh SECS="$LOAD" STRESS="$STRESS" ROUNDS="$CUTS"; }
powercut() { transport powercut powercut.sh ROUNDS=$((CUTS * 2)); }
# One CPU: fewer connections, fewer allocations.
faults() { SMP=1 transport faults faults.sh STEP="$STEP" RANDOM_ROUNDS="$((TROUBLES * 4))"; }

# pair_of NAME SERVER CLIENT SCRIPT [NAME=VALUE...]: SCRIPT_server.sh and SCRIPT_client.sh.
pair_of() {
	local name=$1 server=$KO client=$KO script=$4 word env=(--env CLIENT="$3" --env SERVER="$2")
	[ "$2" = rust ] || server=$PEERS
	[ "$3" = rust ] || client=$PEERS
	shift 4
	for word in "$@"; do env+=(--env "$word"); done
	"$VM" pair --name "$name" --kernel "$KERNEL" --timeout $((300 + TROUBLES * 60 + REBOOTS * 120)) --mem 1536 --disk 64 \
		--server-ko "$server" --client-ko "$client" "${env[@]}" \
		--server-script "$TOP/tests/vm/${script}_server.sh" --client-script "$TOP/tests/vm/${script}_client.sh"
}

# On the debug kernel fewer orders of opening, since each is a connect.
server_abi() {
	local modes='ro rw migration'
	[ "$KERNEL" = stock ] || modes='rw migration'
	vm server-abi server_abi.sh --timeout $((300 * SLOW)) --mem 2048 --env SECS=2 --env MODES="$modes"
}

# Two lanes of about the same length.
lane_1() {
	suite hostile-Y hostile Y
	suite hostile-server hostile_server
	suite server-abi server_abi
	suite loopback-N loopback N
	suite paths-N paths N N
	suite failover-Y failover Y
	suite outage outage
	suite powercut powercut
	[ "$MODE" = quick ] || suite failover-N failover N
}

lane_2() {
	suite base vm base base/base.sh --timeout $((180 * SLOW))
	suite disks vm disks nullrx/null.sh --timeout $((180 * SLOW)) --mem 1536
	suite verbs vm verbs ping/ping.sh --timeout $((180 * SLOW)) --mem 1536
	suite stats vm stats stats.sh --timeout $((180 * SLOW)) --mem 1536
	suite netns vm netns netns.sh --timeout $((180 * SLOW)) --mem 1536
	suite heartbeat vm heartbeat heartbeat.sh --timeout $((360 * SLOW)) --mem 2048 --env CYCLES=$((CYCLES / 200 + 1)) \
		--env LIMIT_MS=$((SLOW == 1 ? 2000 : 3000))
	suite client-abi vm client-abi client_abi.sh --timeout $((300 * SLOW)) --mem 2048
	suite force vm force force.sh --timeout $((300 * SLOW)) --mem 2048
	suite errors vm errors errors.sh --timeout $((240 * SLOW)) --mem 2048
	suite server_paths vm server_paths server_paths.sh --timeout $((240 * SLOW)) --mem 2048
	suite loopback-Y loopback Y
	suite paths-Y paths Y Y
	suite fencing-Y fencing Y
	suite cycles cycles
	suite swap swap
	suite stack stack
	[ "$MODE" = quick ] || suite fencing-N fencing N
	[ "$KERNEL" = stock ] || suite faults faults
	[ "$KERNEL" = stock ] || return 0
	suite stats-c stats_c
	suite client-abi-c client_abi_c
	suite stamp stamp
	suite hostile-N hostile N
}

pairs() {
	local ai server client
	for server in rust c; do
		for client in rust c; do
			for ai in Y N; do
				suite "interop-$server-$client-$ai" pair "$server" "$client" "$ai"
			done
		done
	done
	suite reboot pair_of reboot rust rust reboot CYCLES="$REBOOTS"
	suite failover-rust-rust pair_of failover-rust-rust rust rust failover TROUBLES="$((TROUBLES + 1))"
	suite failover-c-rust pair_of failover-c-rust c rust failover TROUBLES="$((TROUBLES + 1))"
	suite failover-rust-c pair_of failover-rust-c rust c failover TROUBLES="$TROUBLES"
}

run_all() {
	lane_1 &
	local first=$!
	lane_2
	wait "$first"
	if [ "$KERNEL" = stock ]; then
		pairs
	else
		say "left out: ${LEFT_OUT:+$LEFT_OUT (time; ALL=1 runs them), }hostile-N (time), stamp (the stock kernel's), pairs (virtual clocks drift apart)"
	fi
}

"$TOP/scripts/lab/root.sh"
if [ "$MODE" != debug ] && [ "$MODE" != soak ]; then
	suite host cargo_tests
fi
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
	fi
	step "hostile peer" hostile_build
	step "tools for tests" tools_build
	if [ -e "$TOP/tests/compile_fail/run.sh" ] && [ "$KERNEL" = stock ]; then
		suite compile_fail "$TOP/tests/compile_fail/run.sh"
	fi
	round=0 took=0
	while [ "$round" -lt "$ROUNDS" ] && { [ "$round" = 0 ] || [ $((SECONDS + took)) -lt "$DEADLINE" ]; }; do
		round=$((round + 1)) began=$SECONDS
		run_all
		took=$((SECONDS - began))
	done
fi

printf '\n%s\n' "suite                                  result                time"
cat "$RESULTS"
awk '{ p += $2; f += $4 } END { printf "%d passed, %d failed\n", p, f; exit f || !p }' "$RESULTS"
