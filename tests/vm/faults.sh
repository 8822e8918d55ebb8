#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Every allocation that map, session open, add_path and reconnect make fails once,
# and nothing leaks or hangs. Needs a kernel with fault injection (the debug kernel) and one
# processor. Environment: AI=Y|N, STEP (1: each allocation, 2: every second, ...), PARTS,
# RANDOM_ROUNDS.
#
# Parts:
#   map, paths  what the writing task allocates itself, wherever that is
#   others      what work items and the other host allocate because of it
#   chance      pages, and whatever else, by chance
#
# Not failed: pages that vmalloc() collects one by one, since it fails as a whole with the first
# of its own allocations; and what kmemleak allocates for itself.

. /lab/lib/guest.sh
. /lab/lib/rnbd.sh
. /lab/lib/trouble.sh
AI=${AI:-Y} STEP=${STEP:-1} RANDOM_ROUNDS=${RANDOM_ROUNDS:-20}
PARTS=${PARTS:-"map paths others chance"}
FAIL=/sys/kernel/debug LIMIT=4000

[ -d $FAIL/failslab ] && [ -e /proc/self/fail-nth ] || bail "this kernel has no fault injection"
# The kernel shows where memory was asked for in vain; that is no complaint here. Whatever is
# one has a line of its own.
allow_dmesg 'Call Trace:'
allow_dmesg 'page allocation failure'

# fault ATTRIBUTE VALUE: of both kinds of faults.
fault() {
	local dir
	for dir in $FAIL/failslab $FAIL/fail_page_alloc; do
		[ ! -e "$dir/$1" ] || echo "$2" >"$dir/$1" || return 1
	done
}

faults_setup() {
	local range
	fault verbose 0 && fault ignore-gfp-wait N && fault ignore-gfp-highmem Y && fault min-order 0 &&
		fault stacktrace-depth 32 || return 1
	# Where kmemleak allocates, up to the next function.
	range=$(awk '$3 == "__alloc_object" { from = $1; next } from { print "0x" from, "0x" $1; exit }' /proc/kallsyms)
	[ -z "$range" ] || { fault reject-start "${range% *}" && fault reject-end "${range#* }"; }
}
check "faults" faults_setup || bail "no faults"

# only_below MODULE: faults hit only when one of its functions is on the stack.
only_below() {
	local first last
	first=$(grep -E " [tT] .*\[$1\]$" /proc/kallsyms | cut -d' ' -f1 | sort | sed -n '1p;$p')
	last=${first##*$'\n'} first=${first%%$'\n'*}
	# The last function has some length, too.
	fault require-start "0x$first" && fault require-end "$(printf '0x%x' $((0x$last + 4096)))"
}
anywhere() { fault require-start 0 && fault require-end 0xffffffffffffffff; }

modprobe brd rd_nr=1 rd_size=16384 || bail "ram disk"
check "two hosts, two paths, modules" trouble_setup 2 always_invalidate="$AI" sess_queue_depth=8 || bail "no network"

part() { [[ " $PARTS " == *" $1 "* ]]; }

session=$CLT_CLASS/f
path0="$session/paths/*@ip:10.0.0.1" path1="$session/paths/*@ip:10.0.1.1"
MAP="sessname=f $(path_words 1)device_path=/dev/ram0"
# What each is, and the way back; see failnth.c.
map=("$RNBD_CTL/map_device" "$MAP" "write:/sys/block/rnbd*/rnbd/unmap_device=force"
	"gone:$CLT_CLASS/*" "gone:$SRV_CLASS/*")
add_path=("$session/add_path" ip:10.0.1.2@ip:10.0.1.1 "write:$path1/remove_path=1"
	"gone:$path1" "gone:$SRV_CLASS/f/paths/*@ip:10.0.1.1")
back=("write:$path0/reconnect=1" "is:$path0/state=connected" "is:/sys/block/rnbd*/rnbd/state=open")
reconnect=("$path0/reconnect" 1 "${back[@]}")
disconnect=("$path0/disconnect" 1 "${back[@]}")
dropped=("$SRV_CLASS/f/paths/*@ip:10.0.0.1/disconnect" 1 pause:300 "${back[@]}")
policy=("$session/mpath_policy" rr)
FAILED=0

# sweep DESCRIPTION own|any WHAT...: the 1st, the 2nd, ... of its allocations fails.
sweep() {
	local what=$1 out status=0 began=$SECONDS
	shift
	out=$(in_clt /lab/failnth "$1" "$STEP" $LIMIT "${@:2}") || status=$?
	note "$what: $out, $((SECONDS - began)) s"
	lab_result "$what: allocations have failed one by one" "$status" "$out"
	out=$(sed -n 's/.*allocations \([0-9]*\) have failed.*/\1/p' <<<"$out")
	FAILED=$((FAILED + ${out:-0}))
	return "$status"
}

unmap_all() {
	local disk
	for disk in $(rnbd_list); do rnbd_unmap "$disk" force || return 1; done
	wait_until 30 eval "! ls -d $CLT_CLASS/*/ 2>/dev/null | grep -q ." || return 1
	wait_until 60 eval "! ls -d $SRV_CLASS/*/ 2>/dev/null | grep -q ."
}

check "once without faults" clt_write "$RNBD_CTL/map_device" "$MAP"
check "undone" unmap_all
slab=$(slab_kib)

# --- the task's own allocations ---------------------------------------------------------
if part map; then
	sweep "map" own "${map[@]}"
fi
if part paths; then
	check "map" clt_write "$RNBD_CTL/map_device" "$MAP"
	sweep "add_path" own "${add_path[@]}"
	sweep "reconnect" own "${reconnect[@]}"
	sweep "disconnect" own "${disconnect[@]}"
	sweep "change the policy" own "${policy[@]}"
	check "the disk still works" fio_verify "/dev/$(rnbd_list | head -n 1)" 2 --size=4m --iodepth=4
	check "undone" unmap_all
fi

# --- those of work items, and of the other host -----------------------------------------
if part others; then
	for module in rtrs_server rnbd_server; do
		only_below $module
		sweep "map, below $module" any "${map[@]}"
	done
	check "map" clt_write "$RNBD_CTL/map_device" "$MAP"
	only_below rtrs_server
	sweep "add_path, below rtrs_server" any "${add_path[@]}"
	for module in rtrs_client rnbd_client rnbd_server; do
		only_below $module
		sweep "the server drops the path, below $module" any "${dropped[@]}"
	done
	check "the disk still works" fio_verify "/dev/$(rnbd_list | head -n 1)" 2 --size=4m --iodepth=4
	check "undone" unmap_all
fi

# --- by chance --------------------------------------------------------------------------
# chance PERCENT [TIMES [BYTES]]: so many of a hundred allocations fail, from BYTES on.
chance() {
	fault interval 1 && fault times "${2:-1}" && fault space "${3:-0}" && fault probability "$1"
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
if part chance; then
	for module in rtrs_client rtrs_server rtrs_core rnbd_server rnbd_client; do
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
fi

note "$FAILED allocations have failed, each once"
check "some have failed" test "$FAILED" -gt 0
chance 0
anywhere
check "a session still opens" clt_write "$RNBD_CTL/map_device" "$MAP"
check "the disk works" fio_verify "/dev/$(rnbd_list | head -n 1)" 2 --size=4m --iodepth=4
check "undone" unmap_all
note "slab $slab -> $(slab_kib) KiB"
check "no leak" kmemleak_scan
check "unload" unload_all
check "no leak after unloading" kmemleak_scan
summary
