# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The disk that can be held by the hand (tests/tools/slowdisk.c) as a backend.
# Sourced after guest.sh.

SLOW_DIR=/run/slow
# shellcheck disable=SC2034
SLOW_DEV=/dev/nbd0

# slow_start MIB: the backend appears as $SLOW_DEV.
slow_start() {
	modprobe nbd nbds_max=1 max_part=0 || return 1
	mkdir -p "$SLOW_DIR"
	/lab/slowdisk "$SLOW_DEV" "$1" "$SLOW_DIR" 9>&- &
	SLOW_PID=$!
	wait_until 20 slow_ready "$1"
}

slow_ready() { [ -p "$SLOW_DIR/ctl" ] && [ "$(blockdev --getsz "$SLOW_DEV")" = "$(($1 * 2048))" ]; }

# slow COMMAND...: see slowdisk.c; returns when it has been obeyed.
slow() {
	# A random number: subshells would count on their own.
	local number=$((RANDOM * 32768 + RANDOM))
	printf '%d %s\n' "$number" "$*" >"$SLOW_DIR/ctl"
	wait_until 20 grep -q "^$number " "$SLOW_DIR/stat"
}

# slow_count reads|writes|flushes|held|biggest
slow_count() {
	local number reads writes flushes held biggest
	slow stat || return 1
	# shellcheck disable=SC2034  # Chosen by name.
	read -r number reads writes flushes held biggest <"$SLOW_DIR/stat"
	echo "${!1}"
}

slow_stop() { kill "$SLOW_PID"; wait "$SLOW_PID" 2>/dev/null; wait_until 10 modprobe -r nbd; }
