#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Every allocation that map, session open, add_path and reconnect make fails once,
# and nothing leaks or hangs. Needs a kernel with fault injection (the debug
# kernel). Environment: AI=Y|N, LIMIT (allocations per operation at most), STEP (1: each
# of them, 2: every second), RANDOM_ROUNDS, PARTS.
#
# What a task allocates itself is failed one by one with /proc/self/fail-nth. What work
# items allocate for it fails by chance. In both cases only below our own modules.

. /lab/lib/guest.sh
. /lab/lib/rnbd.sh
. /lab/lib/trouble.sh
AI=${AI:-Y} LIMIT=${LIMIT:-2000} STEP=${STEP:-1} RANDOM_ROUNDS=${RANDOM_ROUNDS:-20}
PARTS=${PARTS:-"map paths chance"}
FAIL=/sys/kernel/debug

[ -d $FAIL/failslab ] && [ -e /proc/self/fail-nth ] || bail "this kernel has no fault injection"
# The kernel shows where a failed vmalloc was asked for; that is no complaint here. Whatever is
# one has a line of its own.
allow_dmesg 'Call Trace:'
allow_dmesg 'page allocation failure'
for dir in $FAIL/failslab $FAIL/fail_page_alloc; do
	echo 0 >"$dir"/verbose
	echo N >"$dir"/ignore-gfp-wait
	[ ! -e "$dir"/ignore-gfp-highmem ] || echo N >"$dir"/ignore-gfp-highmem
	[ ! -e "$dir"/min-order ] || echo 0 >"$dir"/min-order
done

modprobe brd rd_nr=1 rd_size=16384 || bail "ram disk"
check "two hosts, two paths, modules" trouble_setup 2 always_invalidate="$AI" sess_queue_depth=8 || bail "no network"

part() { [[ " $PARTS " == *" $1 "* ]]; }

# only_below MODULE: faults hit only when one of its functions is on the stack.
only_below() {
	local base size dir
	base=$(cat "/sys/module/$1/sections/.text")
	size=$(awk -v m="$1" '$1 == m { print $2 }' /proc/modules)
	for dir in $FAIL/failslab $FAIL/fail_page_alloc; do
		printf '0x%x' "$((base))" >"$dir"/require-start
		printf '0x%x' "$((base + size))" >"$dir"/require-end
		echo 32 >"$dir"/stacktrace-depth
	done
}

# nth N FILE TEXT: one write in which the Nth allocation fails. Status 0: it worked, and
# fewer than N allocations were made; 1: it failed; 2: it worked although one failed.
cat >/tmp/nth.sh <<'END'
# The interpreter allocates, too; but not below our modules.
n=$1 file=$2 text=$3
exec 3>/proc/self/fail-nth
ok=0
echo "$n" >&3
printf '%s' "$text" >"$file" 2>/dev/null || ok=1
read -r left </proc/self/fail-nth
echo 0 >&3
if [ "$left" != 0 ]; then exit 0; fi
[ "$ok" = 0 ] && exit 2
exit 1
END

# sweep DESCRIPTION FILE TEXT UNDO: the write with its 1st, 2nd, ... allocation failing, until all
# succeed. UNDO brings things back to where they were, whatever happened.
sweep() {
	local what=$1 file=$2 text=$3 undo=$4 n status refused=0 survived=0 end=0 slow=0 before
	for ((n = 1 + RANDOM % STEP; n <= LIMIT; n += STEP)); do
		before=$SECONDS
		timeout 120 in_clt_script /tmp/nth.sh "$n" "$file" "$text"
		status=$?
		[ $((SECONDS - before)) -lt 60 ] || slow=$((slow + 1))
		case $status in
		0) end=1 ;;
		1) refused=$((refused + 1)) ;;
		2) survived=$((survived + 1)) ;;
		*)
			lab_result "$what: allocation $n fails" 1 "the write hangs or died: status $status"
			return
			;;
		esac
		eval "$undo" || {
			lab_result "$what: back to where it was after failing allocation $n" 1 "'$undo' failed"
			return
		}
		[ "$end" = 0 ] || break
	done
	note "$what: $n allocations, $refused times refused, $survived times done nevertheless, $slow times slow"
	check "$what: every allocation has failed once" test "$end" = 1
	check "$what: some mattered" test "$refused" -gt 0
	check "$what: none took a minute" test "$slow" = 0
}
in_clt_script() { in_clt bash "$@"; }
export -f in_clt in_clt_script 2>/dev/null

# timeout(1) runs programs, not functions.
timeout() {
	local limit=$1 pid status
	shift
	"$@" &
	pid=$!
	( sleep "$limit"; kill -9 "$pid" 2>/dev/null ) &
	local killer=$!
	wait "$pid"
	status=$?
	kill "$killer" 2>/dev/null
	return "$status"
}

unmap_all() {
	local disk
	for disk in $(rnbd_list); do rnbd_unmap "$disk" force || return 1; done
	wait_until 30 eval "! ls -d $CLT_CLASS/*/ 2>/dev/null | grep -q ." || return 1
	wait_until 60 eval "! ls -d $SRV_CLASS/*/ 2>/dev/null | grep -q ."
}
MAP="sessname=f $(path_words 1)device_path=/dev/ram0"

# --- the task's own allocations -------------------------------------------------------
check "once without faults" clt_write "$RNBD_CTL/map_device" "$MAP"
check "undone" unmap_all
slab=$(slab_kib)
part map && for module in rnbd_client rtrs_client; do
	only_below "$module"
	sweep "map a new session, below $module" "$RNBD_CTL/map_device" "$MAP" unmap_all
done
paths() {
	check "map" clt_write "$RNBD_CTL/map_device" "$MAP"
	only_below rtrs_client
	path_gone() {
		local dir
		dir=$(path_dir f 1)
		[ -z "$dir" ] || clt_write "$dir/remove_path" 1 || return 1
		[ -z "$(path_dir f 1)" ]
	}
	sweep "add_path" "$session/add_path" "ip:10.0.1.2@ip:10.0.1.1" path_gone
	path_is_back() { path_back f 0 60; }
	sweep "reconnect" "$(path_dir f 0)/reconnect" 1 path_is_back
	sweep "disconnect" "$(path_dir f 0)/disconnect" 1 path_is_back
	sweep "change the policy" "$session/mpath_policy" rr true
	check "the disk still works" fio_verify "/dev/$(rnbd_list | head -n 1)" 2 --size=4m --iodepth=4
	check "undone" unmap_all
}
session=$CLT_CLASS/f
part paths && paths

# --- whatever happens in work items ---------------------------------------------------
# One allocation in PERCENT fails while a session opens, gets a path, reconnects and goes.
chance() {
	local dir
	for dir in $FAIL/failslab $FAIL/fail_page_alloc; do
		echo "$1" >"$dir"/probability
		echo "${2:-1}" >"$dir"/times
		echo "${3:-0}" >"$dir"/space
		echo 1 >"$dir"/interval
	done
}
try_everything() {
	local dir
	clt_write "$RNBD_CTL/map_device" "$MAP" || return 0
	clt_write "$session/add_path" "ip:10.0.1.2@ip:10.0.1.1"
	for dir in "$session"/paths/*; do
		[ ! -d "$dir" ] || clt_write "$dir/reconnect" 1
	done
	dd if="/dev/$(rnbd_list | head -n 1)" of=/dev/null bs=64k count=8 iflag=direct status=none 2>/dev/null
	return 0
}
part chance && for module in rtrs_client rtrs_server rtrs_core rnbd_server rnbd_client; do
	only_below "$module"
	hits=0
	for ((round = 0; round < RANDOM_ROUNDS; round++)); do
		chance $((1 + RANDOM % 20)) 2 $((RANDOM % 4 * 4096))
		try_everything
		[ "$(cat $FAIL/failslab/times)$(cat $FAIL/fail_page_alloc/times)" = 22 ] || hits=$((hits + 1))
		chance 0
		unmap_all || {
			lab_result "faults below $module, round $round: back to nothing" 1 "something hangs"
			break
		}
	done
	check "faults below $module: $RANDOM_ROUNDS rounds" test "$round" = "$RANDOM_ROUNDS"
	note "$module: in $hits rounds something failed"
done
chance 0
check "a session still opens" clt_write "$RNBD_CTL/map_device" "$MAP"
check "the disk works" fio_verify "/dev/$(rnbd_list | head -n 1)" 2 --size=4m --iodepth=4
check "undone" unmap_all
note "slab $slab -> $(slab_kib) KiB"
check "no leak" kmemleak_scan
check "unload" unload_all
check "no leak after unloading" kmemleak_scan
summary
