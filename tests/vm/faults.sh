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
#   others      what work items and the other host allocate because of it; and, of what the task
#               has shown already, a sample
#   pages       whole pages that it, work items, and the other host take because of it
#   chance      pages, and whatever else, by chance
#   plain       a sample of the first two with a server whose keys are never invalidated
#
# Not failed: pages that vmalloc() collects one by one, since it fails as a whole with the first
# of its own allocations; and what kmemleak allocates for itself.

. /lab/lib/guest.sh
. /lab/lib/rnbd.sh
. /lab/lib/trouble.sh
AI=${AI:-Y} STEP=${STEP:-1} RANDOM_ROUNDS=${RANDOM_ROUNDS:-20}
PARTS=${PARTS:-"map paths others pages chance plain"}
# One of so many, beginning anywhere, of what was looked at closely elsewhere.
SAMPLE=$((STEP * 15))
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
SERVER=(sess_queue_depth=8)
check "two hosts, two paths, modules" trouble_setup 2 always_invalidate="$AI" "${SERVER[@]}" || bail "no network"

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
FAILED=0 MODULES="rtrs_client rtrs_server rtrs_core rnbd_server rnbd_client"

# sweep DESCRIPTION own|any|pages WHAT...: the 1st, the 2nd, ... of its allocations fails.
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
# sample DESCRIPTION own|any|pages WHAT...: the same with one of SAMPLE.
sample() {
	local STEP=$SAMPLE
	sweep "$@"
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
# below HOW KIND DESCRIPTION WHAT...: a sweep or sample for each module of MODULES.
below() {
	local how=$1 kind=$2 what=$3 module
	shift 3
	for module in $MODULES; do
		only_below "$module"
		"$how" "$what, below $module" "$kind" "$@"
	done
}
# The client's modules allocate for the most part in the writing task.
others() {
	MODULES="rtrs_server rnbd_server" below sweep any "map" "${map[@]}"
	MODULES="rtrs_client rtrs_core rnbd_client" below sample any "map" "${map[@]}"
	check "map" clt_write "$RNBD_CTL/map_device" "$MAP"
	MODULES="rtrs_server" below sweep any "add_path" "${add_path[@]}"
	MODULES="rtrs_client rtrs_core rnbd_client" below sample any "add_path" "${add_path[@]}"
	MODULES="rtrs_server" below sweep any "reconnect" "${reconnect[@]}"
	MODULES="rtrs_client rtrs_core" below sample any "reconnect" "${reconnect[@]}"
	MODULES="rtrs_client rnbd_client rnbd_server" below sweep any "the server drops the path" "${dropped[@]}"
	MODULES="rtrs_server rtrs_core" below sample any "the server drops the path" "${dropped[@]}"
}
pages() {
	MODULES="rtrs_client rtrs_server rnbd_server" below sweep pages "pages of map" "${map[@]}"
	check "map" clt_write "$RNBD_CTL/map_device" "$MAP"
	MODULES="rtrs_client rtrs_server" below sweep pages "pages of add_path" "${add_path[@]}"
	MODULES="rtrs_client rtrs_server" below sweep pages "pages of reconnect" "${reconnect[@]}"
}
for name in others pages; do
	part $name || continue
	before=$FAILED
	$name
	check "$name: some have failed" test "$FAILED" -gt "$before"
	anywhere
	check "the disk still works" fio_verify "/dev/$(rnbd_list | head -n 1)" 2 --size=4m --iodepth=4
	check "undone" unmap_all
done

# --- by chance --------------------------------------------------------------------------
# chance PERCENT [TIMES [BYTES]]: so many of a hundred allocations fail, from BYTES on.
chance() {
	fault interval 1 && fault times "${2:-1}" && fault space "${3:-0}" && fault probability "$1"
}
# chance_of_pages PERCENT: pages alone, which are few.
chance_of_pages() { chance 0 2 && echo "$1" >$FAIL/fail_page_alloc/probability; }
# hit KIND: one of them has failed since then.
hit() { [ "$(cat "$FAIL/$1/times")" != 2 ]; }
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
	all_hits=0 all_pages=0
	for module in $MODULES; do
		only_below "$module"
		hits=0 pages=0
		for ((round = 0; round < RANDOM_ROUNDS; round++)); do
			if [ $((round % 3)) = 2 ]; then
				chance_of_pages $((10 + RANDOM % 60))
			else
				chance $((1 + RANDOM % 20)) 2 $((RANDOM % 4 * 4096))
			fi
			try_everything
			! hit failslab && ! hit fail_page_alloc || hits=$((hits + 1))
			! hit fail_page_alloc || pages=$((pages + 1))
			chance 0
			unmap_all || {
				lab_result "faults below $module, round $round: back to nothing" 1 "something hangs"
				break
			}
		done
		check "faults below $module: $RANDOM_ROUNDS rounds" test "$round" = "$RANDOM_ROUNDS"
		note "$module: in $hits rounds something failed, in $pages pages"
		all_hits=$((all_hits + hits)) all_pages=$((all_pages + pages))
	done
	check "something has failed by chance" test "$all_hits" -gt 0
	check "pages have failed by chance" test "$all_pages" -gt 0
fi

# --- plain keys -------------------------------------------------------------------------
plain() {
	check "unload" unload_all
	in_srv modprobe rtrs_server always_invalidate=N "${SERVER[@]}" && in_srv modprobe rnbd_server &&
		in_clt modprobe rnbd_client || return
	sample "plain map" own "${map[@]}"
	only_below rtrs_server
	sample "plain map, below rtrs_server" any "${map[@]}"
	anywhere
	check "map" clt_write "$RNBD_CTL/map_device" "$MAP"
	sample "plain add_path" own "${add_path[@]}"
	sample "plain reconnect" own "${reconnect[@]}"
	only_below rtrs_server
	sample "plain add_path, below rtrs_server" any "${add_path[@]}"
	anywhere
	check "the disk works with plain keys" fio_verify "/dev/$(rnbd_list | head -n 1)" 2 --size=4m --iodepth=4
	check "undone" unmap_all
}
if part plain; then
	chance 0
	anywhere
	check "modules with plain keys" plain
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
