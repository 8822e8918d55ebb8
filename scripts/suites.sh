# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What the test suites are: their names, in the order in which they are begun, and how
# each is run. Sourced by test.sh, which sets the variables that say how long and where:
# MODE, KERNEL, KV, KO, PEERS, VM, SLOW and the lengths.

# shellcheck disable=SC2034  # test.sh takes the lists.
HOST_SUITES="host compile_fail kdir"
# Of one VM each, the long ones first: two of them run side by side.
SINGLE_SUITES="hostile-Y loopback-Y base disks verbs errors loopback-N hostile-N hostile-server faults cycles-debug
	server-abi access backends client-abi force held failover-Y paths-Y paths-N manypaths stack cycles
	fencing-Y swap outage powercut stats heartbeat netns polled server_paths server_limits attempts limits
	selffile failover-N fencing-N stats-c client-abi-c force-c errors-c access-c server-abi-c stamp"
PAIR_SUITES="interop-rust-rust-Y interop-rust-rust-N interop-rust-c-Y interop-rust-c-N
	interop-c-rust-Y interop-c-rust-N interop-c-c-Y interop-c-c-N
	reboot raid fileio failover-rust-rust-Y failover-rust-rust-N failover-c-rust-Y failover-c-rust-N
	failover-rust-c-Y failover-rust-c-N"

# What a mode leaves out. A debug run is to take 25 minutes; a quick one leaves out what another
# shows with the other keys, and what the debug kernel alone can do.
declare -A LEFT_OUT_OF=(
	[quick]="faults cycles-debug paths-N fencing-N failover-N failover-rust-rust-N failover-c-rust-Y failover-rust-c-N"
	[debug]="hostile-N faults manypaths cycles cycles-debug powercut backends stack swap loopback-N paths-N
		fencing-Y fencing-N server_paths server_limits attempts limits selffile stats heartbeat netns
		polled failover-N outage"
)
# What cannot run on the debug kernel: other builds, the C modules of the stock kernel, and
# pairs, because without KVM the two virtual clocks drift apart.
NOT_ON_DEBUG="stamp stats-c client-abi-c force-c errors-c access-c server-abi-c $PAIR_SUITES"

# run_suite NAME: runs it; its last line of output has the counts.
run_suite() {
	local ai=${1##*-} rest
	case $1 in
	host) cargo_tests ;;
	compile_fail | kdir) "$TOP/tests/$1/run.sh" ;;
	base) vm base base/base.sh --timeout $((180 * SLOW)) ;;
	disks) vm disks nullrx/null.sh --timeout $((180 * SLOW)) --mem 1536 ;;
	verbs) vm verbs ping/ping.sh --timeout $((180 * SLOW)) --mem 1536 ;;
	errors) vm errors errors.sh --timeout $((240 * SLOW)) --mem 2048 ;;
	loopback-*) loopback "$ai" ;;
	hostile-server) hostile_server ;;
	hostile-[YN]) hostile "$ai" ;;
	stats) vm stats stats.sh --timeout $((180 * SLOW)) --mem 1536 ;;
	stats-c) on_c stats-c stats.sh ;;
	heartbeat)
		vm heartbeat heartbeat.sh --timeout $((360 * SLOW)) --mem 2048 --env CYCLES=$((CYCLES / 200 + 1)) \
			--env LIMIT_MS=$((SLOW == 1 ? 2000 : 3000))
		;;
	netns) vm netns netns.sh --timeout $((180 * SLOW)) --mem 1536 ;;
	polled) vm polled polled.sh --timeout $((240 * SLOW)) --mem 1536 ;;
	client-abi)
		vm client-abi client_abi.sh --timeout $((300 * SLOW)) --mem 2048 --file "$TOP/build/tools/uevents:/lab/uevents"
		;;
	client-abi-c) on_c client-abi-c client_abi.sh ;;
	force-c) on_c force-c force.sh ;;
	held) vm held held.sh --timeout $((240 * SLOW)) --mem 1536 --env CLOSES=$((30 / SLOW)) ;;
	force) vm force force.sh --timeout $((300 * SLOW)) --mem 2048 ;;
	server-abi) vm server-abi server_abi.sh --timeout $((300 * SLOW)) --mem 2048 --env SECS=2 ;;
	access) access ;;
	errors-c) on_c errors-c errors.sh ;;
	access-c) on_c access-c access.sh ;;
	server-abi-c) on_c server-abi-c server_abi.sh ;;
	backends) backends ;;
	limits) vm limits limits.sh --timeout $((240 * SLOW)) --mem 2048 ;;
	selffile) vm selffile selffile.sh --timeout $((240 * SLOW)) --mem 1024 --disk 128 ;;
	server_paths) vm server_paths server_paths.sh --timeout $((240 * SLOW)) --mem 2048 ;;
	server_limits) vm server_limits server_limits.sh --timeout $((240 * SLOW)) --mem 2048 ;;
	attempts) vm attempts attempts.sh --timeout $((600 * SLOW)) --mem 1536 ;;
	paths-*) paths "$ai" "$ai" ;;
	failover-[YN]) failover "$ai" ;;
	fencing-*) fencing "$ai" ;;
	cycles) cycles cycles ;;
	faults) on_debug_kernel faults ;;
	cycles-debug) on_debug_kernel cycles cycles-debug ;;
	manypaths | outage | swap | stack | powercut | stamp) "$1" ;;
	interop-*)
		rest=${1#interop-} rest=${rest%-*}
		pair "${rest%-*}" "${rest#*-}" "$ai"
		;;
	reboot) pair_of reboot rust rust reboot CYCLES="$REBOOTS" ;;
	raid) pair_of raid rust rust reboot:raid CYCLES="$REBOOTS" ;;
	fileio) pair_of fileio rust rust fileio CYCLES="$REBOOTS" ;;
	failover-rust-c-*) pair_of "$1" rust c failover AI="$ai" TROUBLES="$TROUBLES" ;;
	failover-*-*)
		rest=${1#failover-} rest=${rest%-*}
		pair_of "$1" "${rest%-*}" "${rest#*-}" failover AI="$ai" TROUBLES="$((TROUBLES + 2))"
		;;
	*) die "there is no suite $1" ;;
	esac
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

# --- suites of one VM --------------------------------------------------------------------
vm() {
	local name=$1 script=$2 queue=()
	shift 2
	# On the debug kernel every chunk costs time with every connect: few suites need as many as by default.
	case $MODE-$name in
	debug-loopback-* | debug-server-abi | debug-client-abi | debug-stats) ;;
	debug-*) queue=(--append rtrs_server.sess_queue_depth=128) ;;
	esac
	"$VM" run --name "$name" --kernel "$KERNEL" --virtual-time --ko "$KO" --script "$TOP/tests/vm/$script" \
		"${queue[@]}" "$@"
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
	"$VM" run --name "hostile-$1" --kernel "$KERNEL" --virtual-time --ko "$KO" --mem 4096 --timeout $((1200 * SLOW)) \
		--file "$TOP/build/hostile/hostile:/lab/hostile" --script "$TOP/tests/hostile/loopback.sh" \
		--append "rtrs_server.setup_timeout_ms=8000 rtrs_server.always_invalidate=$1 rtrs_server.sess_queue_depth=$DEPTH rtrs_server.max_chunk_size=65536" \
		--env 'HOSTILE_ARGS=--halfopen 20' --env "HOSTILE_CASES=$(hostile_cases "$1")" --env "SLOW_CASES=$(slow_cases "$1")"
}

# hostile_cases AI: a quick run asks once everything, and again what may depend on the keys.
hostile_cases() {
	if [ "$MODE$1${ALL:-}" = quickN ]; then
		echo "invalidate-nothing invalidate-region invalidate-honest key-stale key-beyond-pool key-foreign
			message-at-chunk-end offset-outside answer-too-long answer-tail descriptor-lies descriptor-count
			user-length no-receives vanish io-with-info race-vanish chunk-burst chunk-two-cons" | xargs
	else
		echo "$LIES"
	fi
}

# slow_cases AI: who waits for whom takes minutes, and does not depend on the keys.
slow_cases() { [ "$MODE$1" != soakY ] || [ "$MINUTES" -lt 30 ] || echo 1; }

# stamp: a build of the same sources that was stamped otherwise.
stamp() {
	in_root make -C "/cache/$KV/kbuild" M=/src MO=/src/build/other CC=x86_64-linux-gnu-gcc-14 \
		KERNELRELEASE="$KV" RNBD_STAMP=other -j"$JOBS" modules >"$TOP/build/logs/other.log" 2>&1 || return
	vm stamp stamp.sh --timeout 120 --file "$TOP/build/other/rtrs_client.ko:/lab/other/rtrs_client.ko"
}

# on_c NAME SCRIPT: the checks of what C has, too, against the modules of C, so that the formats are theirs.
on_c() {
	"$VM" run --name "$1" --virtual-time --ko "$PEERS" --script "$TOP/tests/vm/$2" --timeout 300 --mem 2048 \
		--env IMPL=c --file "$TOP/build/tools/uevents:/lab/uevents"
}

hostile_build() {
	in_root make -C /src/tests/hostile OUT=/src/build/hostile &&
		in_root make -C /src/tests/hostile_server OUT=/src/build/hostile
}

# hostile_server: a server that lies to the client, beside an honest one.
hostile_server() {
	"$VM" run --name hostile-server --kernel "$KERNEL" --virtual-time --ko "$KO" --mem 3072 --timeout $((1200 * SLOW)) \
		--file "$TOP/build/hostile/hostile_server:/lab/hostile_server" --script "$TOP/tests/hostile_server/loopback.sh" \
		--env "LIAR_ARGS=$LIAR_ARGS" --env "LIES=$LIES"
}

loopback() {
	vm "loopback-$1" loopback.sh --timeout $((600 * SLOW + SECS * 15 + CYCLES)) --mem 3072 \
		--env AI="$1" --env SECS="$SECS" --env CYCLES="$CYCLES" --env SLAB_KIB="$SLAB_KIB"
}

# paths EXTENSIONS AI: paths come and go under IO.
paths() {
	vm "paths-$1" paths.sh --timeout $((300 * SLOW)) --mem 2048 --env EXT="$1" --env AI="$2" \
		--env CYCLES=$((SLOW == 1 ? 2 : 1))
}

tools_build() {
	in_root make -C /src/tests/tools OUT=/src/build/tools
}

# transport NAME SCRIPT [NAME=VALUE...]: a suite of the two hosts in one VM.
transport() {
	local name=$1 script=$2 word env=()
	shift 2
	for word in "$@"; do env+=(--env "$word"); done
	vm "$name" "$script" --timeout $((${LIMIT:-300} * SLOW + TROUBLES * 120 + LOAD * 20)) --mem "${MEM:-2048}" \
		--smp "${SMP:-2}" --file "$TOP/build/tools/slowdisk:/lab/slowdisk" \
		--file "$TOP/build/tools/failnth:/lab/failnth" --env SLAB_KIB="$SLAB_KIB" "${env[@]}"
}

failover() { transport "failover-$1" failover.sh AI="$1" TROUBLES="$TROUBLES"; }
fencing() { transport "fencing-$1" fencing.sh AI="$1" ROUNDS="$CUTS" SECS=3; }
# on_debug_kernel COMMAND...: what is shown there alone, whatever the mode: allocations fail, leaks
# are found, locks are watched.
on_debug_kernel() {
	local KERNEL=debug KO SLOW=4 SLAB_KIB=16384 LIMIT=900
	"$TOP/scripts/lab/debug-kernel.sh" && "$TOP/scripts/lab/modules.sh" debug KX_TESTS=m || return
	KO=$TOP/build/$(cat "$CACHE/debug-$KV/release")
	"$@"
}
# cycles NAME. On the debug kernel every request of the queue costs time with every connect, and
# every bit of load takes time from the rest; and KASAN keeps a 32nd of all memory of what was freed:
# it is kmemleak that tells there.
cycles() {
	local slow=()
	[ "$KERNEL" = stock ] || slow=(DEPTH=16 RATE=50 SLAB_KIB=$((SLAB_KIB + 65536)))
	transport "$1" cycles.sh CYCLES="$((CONNECTS / 2))" PATHS="$PATHS" SECS="$LOAD" "${slow[@]}"
}
# One CPU: fewer connections.
manypaths() { SMP=1 MEM=3072 transport manypaths manypaths.sh PATHS=128; }
outage() { transport outage outage.sh ROUNDS="$CUTS"; }
# Little memory to begin with.
swap() { MEM=1024 transport swap swap.sh SECS="$LOAD"; }
# Its load only frames what happens; the stress is what is long in a soak.
stack() { transport stack stack.sh SECS="$((LOAD < 10 ? LOAD : 10))" STRESS="$STRESS" ROUNDS="$CUTS"; }
powercut() { transport powercut powercut.sh ROUNDS=$((CUTS * 2)); }
# One CPU: fewer connections, fewer allocations.
faults() {
	SMP=1 transport faults faults.sh STEP="$STEP" RANDOM_ROUNDS="$((CUTS * 3))"
}

# pair_of NAME SERVER CLIENT SCRIPT[:SCRIPT] [NAME=VALUE...]: SCRIPT_server.sh and SCRIPT_client.sh.
pair_of() {
	local name=$1 server=$KO client=$KO script=$4 word env=(--env CLIENT="$3")
	[ "$2" = rust ] || server=$PEERS
	[ "$3" = rust ] || client=$PEERS
	shift 4
	for word in "$@"; do env+=(--env "$word"); done
	"$VM" pair --name "$name" --kernel "$KERNEL" --timeout $((300 + TROUBLES * 60 + REBOOTS * 120)) --mem 1536 --disk 128 \
		--server-ko "$server" --client-ko "$client" "${env[@]}" \
		--server-script "$TOP/tests/vm/${script%:*}_server.sh" --client-script "$TOP/tests/vm/${script#*:}_client.sh"
}

# On the debug kernel fewer orders of opening, since each is a connect.
access() {
	local modes='ro rw migration'
	[ "$KERNEL" = stock ] || modes='rw migration'
	vm access access.sh --timeout $((300 * SLOW)) --mem 2048 --env MODES="$modes"
}

# backends: disks of QEMU whose names and limits are known, beside those the VM makes itself. The
# debug kernel lacks some kinds of devices.
backends() {
	local full=Y null=driver=null-co,read-zeroes=on,size=33554432
	[ "$KERNEL" = stock ] || full=N
	vm backends backends.sh --timeout $((300 * SLOW)) --mem 1536 --env FULL="$full" --qemu "
		-blockdev $null,node-name=v0 -device virtio-blk-pci,drive=v0,serial=LAB-SERIAL-7,physical_block_size=4096,min_io_size=16384,opt_io_size=65536
		-device nvme,id=nvme,serial=LAB-NVME
		-blockdev $null,node-name=n1 -device nvme-ns,bus=nvme,drive=n1,nsid=1,logical_block_size=4096,physical_block_size=4096
		-blockdev $null,node-name=n2 -device nvme-ns,bus=nvme,drive=n2,nsid=2"
}
