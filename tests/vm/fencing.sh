#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# No stale write and no stale read lands. The backend holds operations back: the
# path they came over is cut, and what the client sends again must not be
# executed while the first is still to come. Environment: AI=Y|N, HOWS (paths are cut),
# ROUNDS (of the random part), SECS (of load in each).

. /lab/lib/guest.sh
. /lab/lib/rnbd.sh
. /lab/lib/slow.sh
. /lab/lib/trouble.sh
AI=${AI:-Y} ROUNDS=${ROUNDS:-2} SECS=${SECS:-4}

check "two hosts, two paths, modules" trouble_setup 2 always_invalidate="$AI" || bail "no network"
check "the backend that can wait" slow_start 32 || bail "no backend"
check "map over two paths" clt_map fence "$SLOW_DEV" 2
disk=$RNBD_DEV
[ -b "/dev/$disk" ] || bail "no disk appeared"
check "both paths are up" wait_until 10 paths_up fence 2
for half in "$CLT_CLASS/fence" "$SRV_CLASS/fence"; do
	clt_write "$half/heartbeat_interval_ms" 500
	clt_write "$half/heartbeat_missed_max" 3
done

# fill LETTER OFFSET: 4 KiB of that letter, through the disk.
fill() { head -c 4096 /dev/zero | tr '\0' "$1" | dd of="/dev/$disk" bs=4k iflag=fullblock seek="$2" oflag=direct conv=notrunc status=none; }
# letter OFFSET: what the disk has there.
letter() { dd if="/dev/$disk" bs=4k skip="$1" count=1 iflag=direct status=none | tr -s '[:upper:]' | head -c 8; }
held_is() { [ "$(slow_count held)" = "$1" ]; }
# only_path I: that path alone is up, so that the next operation takes it.
only_path() {
	clt_write "$(path_dir fence $((1 - $1)))/disconnect" 1
	path_is fence $((1 - $1)) disconnected
}

# cut_path HOW I
cut_path() {
	case $1 in
	disconnect) clt_write "$(path_dir fence "$2")/disconnect" 1 & ;;
	srv-disconnect) trouble srv-disconnect fence "$2" 0 ;;
	netem) cut "$2" ;;
	rdma) rdma_gone "$2" clt ;;
	esac
}

# late_write HOW: a write is held in the server, its path is cut, the client sends it
# again, a newer write follows; then the old one is let go.
late_write() {
	local how=$1 writes
	check "$how: one path" only_path 0
	check "$how: the sector has a first content" fill A 5
	slow hold w
	fill B 5 &
	local writer=$!
	check "$how: a write is held by the server" wait_until 20 held_is 1
	slow pass
	check "$how: the other path is there" path_back fence 1 30
	writes=$(slow_count writes)
	cut_path "$how" 0
	check "$how: the client knows" wait_until 60 path_is fence 0 disconnected
	# Long enough for a replay that waits for nothing but a timer.
	sleep 6
	check_eq "$how: nothing was sent to the backend in the meantime" "$writes" "$(slow_count writes)"
	check "$how: the write has not been answered" kill -0 "$writer"
	check_eq "$how: what is there is still the old" A "$(letter 5)"
	slow release
	check "$how: the write ends" timeout 60 tail --pid="$writer" -f /dev/null
	wait "$writer"
	check_eq "$how: without an error" 0 "$?"
	check_eq "$how: it is there" B "$(letter 5)"
	check "$how: a newer write" fill C 5
	check_eq "$how: the newer is there" C "$(letter 5)"
	check "$how: nothing is held" held_is 0
	sleep 3
	check_eq "$how: and stays" C "$(letter 5)"
}

# pattern [fio options]: writes 600 checked blocks, or reads them back.
pattern() {
	fio --name=x --filename="/dev/$disk" --offset=1m --size=4800k --bs=8k --rw=write --direct=1 --ioengine=libaio \
		--iodepth=32 --verify=crc32c --eta=never --output=/tmp/x.log "$@"
}

# late_read HOW: a read is held in the server and its path is cut. What the disk gets in the
# meantime must not be touched by what it reads later.
late_read() {
	local how=$1 i
	check "$how: one path" only_path 0
	for i in 8 9 10 11; do fill D "$i"; done
	slow hold r
	dd if="/dev/$disk" bs=16k skip=2 count=1 iflag=direct status=none >/tmp/read.out &
	local reader=$!
	check "$how: a read is held by the server" wait_until 20 eval '[ "$(slow_count held)" -ge 1 ]'
	slow pass
	check "$how: the other path is there" path_back fence 1 30
	cut_path "$how" 0
	# What is still sent over it waits for the read.
	check "$how: the client knows" wait_until 60 path_is fence 0 disconnected
	# As many operations as the session has chunks: each of them is used again.
	check "$how: other IO goes on" pattern --do_verify=0
	slow release
	check "$how: the read ends" timeout 60 tail --pid="$reader" -f /dev/null
	wait "$reader"
	check_eq "$how: without an error" 0 "$?"
	check_eq "$how: with the right content" "16384 D" "$(stat -c %s /tmp/read.out) $(tr -s '[:upper:]' </tmp/read.out)"
	check "$how: and no other IO was hurt" pattern --verify_only
}

# late_after_all: all paths are lost while the server holds a write; then another path than the
# one that carried it comes first.
late_after_all() {
	local writes
	check "after all: the disk waits" clt_write "/sys/block/$disk/rnbd/no_path_timeout" -1
	check "after all: one path" only_path 0
	check "after all: the sector has a first content" fill A 5
	slow hold w
	fill B 5 &
	local writer=$!
	check "after all: a write is held by the server" wait_until 20 held_is 1
	slow pass
	writes=$(slow_count writes)
	clt_write "$(path_dir fence 0)/disconnect" 1
	check "after all: no path" wait_until 5 grep -qx closed "/sys/block/$disk/rnbd/state"
	path_back fence 1 120 &
	local back=$!
	sleep 6
	check_eq "after all: nothing was sent to the backend" "$writes" "$(slow_count writes)"
	check "after all: the write has not been answered" kill -0 "$writer"
	slow release
	wait "$back"
	check "after all: the other path is there" path_is fence 1 connected
	check "after all: the write ends" timeout 60 tail --pid="$writer" -f /dev/null
	wait "$writer"
	check_eq "after all: without an error" 0 "$?"
	check_eq "after all: it is there" B "$(letter 5)"
	check "after all: a newer write" fill C 5
	sleep 3
	check_eq "after all: the newer stays" C "$(letter 5)"
	check "after all: the first path comes back" path_back fence 0 60
	check "after all: the disk does not wait any more" clt_write "/sys/block/$disk/rnbd/no_path_timeout" 0
}

restore() {
	case $1 in
	netem) heal 0 ;;
	rdma) rdma_back 0 clt && wait_gids clt 0 ;;
	esac
	path_back fence 0 60
}

for how in ${HOWS:-disconnect srv-disconnect netem rdma}; do
	late_write "$how"
	check "$how: the path comes back" restore "$how"
	late_read "$how"
	check "$how: the path comes back again" restore "$how"
done

late_after_all

# --- at random --------------------------------------------------------------------
# Operations overtake each other by up to two seconds, while paths come and go.
check "both paths are up again" wait_until 60 paths_up fence 2
slow jitter 2000 20
RATE=60 load_start "/dev/$disk" 8 16
for ((round = 0; round < ROUNDS; round++)); do
	for kind in disconnect netem srv-disconnect; do
		i=$((RANDOM % 2))
		check "random $round: $kind on path $i" trouble "$kind" fence "$i" "$SECS"
		check "random $round: path $i comes back" path_back fence "$i" 60
		check "random $round: IO goes on" io_moves "$disk" 60
	done
done
check "no error and no miscompare" load_stop
slow jitter 0 0
check "unmap" rnbd_unmap "$disk"
check "nothing is held" held_is 0
check "unload" unload_all

# --- without fences -----------------------------------------------------------------
# A peer of the C modules cannot confirm anything: a write of a lost path waits for
# failover_hold_ms, though the backend is done with it in no time.
hold_modules() {
	in_srv modprobe rtrs_server always_invalidate="$AI" && in_srv modprobe rnbd_server &&
		in_clt modprobe rtrs_client extensions=N failover_hold_ms=8000 && in_clt modprobe rnbd_client
}
held_back() {
	local writer writes again
	check "hold: one path" only_path 0
	check "hold: the sector has a first content" fill A 5
	slow hold w
	fill B 5 &
	writer=$!
	check "hold: a write is held by the server" wait_until 20 held_is 1
	slow pass
	check "hold: the other path is there" path_back fence 1 30
	again=$(failed_over fence)
	cut_path disconnect 0
	check "hold: the client knows" wait_until 5 path_is fence 0 disconnected
	slow release
	check "hold: the backend has done it" wait_until 5 held_is 0
	writes=$(slow_count writes)
	sleep 5
	check_eq "hold: the backend has had no other write after 5 s" "$writes" "$(slow_count writes)"
	check_eq "hold: nothing was sent again" "$again" "$(failed_over fence)"
	check "hold: the write has not been answered" kill -0 "$writer"
	sleep 7
	check_eq "hold: the write was sent again after 12 s" $((again + 1)) "$(failed_over fence)"
	check_eq "hold: and came to the backend" $((writes + 1)) "$(slow_count writes)"
	check "hold: the write ends" timeout 10 tail --pid="$writer" -f /dev/null
	wait "$writer"
	check_eq "hold: without an error" 0 "$?"
	check_eq "hold: it is there" B "$(letter 5)"
}
check "modules without fences" hold_modules
check "map over two paths without fences" clt_map fence "$SLOW_DEV" 2
disk=$RNBD_DEV
held_back
check "unmap again" rnbd_unmap "$disk"
check "unload again" unload_all
check "the backend goes" slow_stop
summary
