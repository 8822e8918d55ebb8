#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# Builds this clone's modules for the lab's kernel, inside the lab root, and
# leaves *.ko in build/<kernel release>/, or in build/$INTO/.
#
# usage: scripts/lab/modules.sh [stock|debug] [MAKE ARGUMENT...]

. "$(dirname "$0")/lib.sh"
need_root
KV=$(kernel_release)
KIND=${1:-stock}
[ $# = 0 ] || shift

case $KIND in
stock)
	RELEASE=$KV KBUILD=/cache/$KV/kbuild
	# The very compiler and release the kernel was built with, or vermagic differs.
	VARS=(CC=x86_64-linux-gnu-gcc-14 HOSTCC=gcc-14 KERNELRELEASE="$KV")
	[ -e "$CACHE/$KV/.prepared" ] || "$TOP/scripts/lab/kernel.sh"
	;;
debug)
	[ -e "$CACHE/debug-$KV/.built" ] || die "the debug kernel is not there: run scripts/lab/debug-kernel.sh"
	RELEASE=$(cat "$CACHE/debug-$KV/release") KBUILD=/cache/debug-$KV/kbuild
	VARS=(LLVM=1)
	;;
*) die "usage: $0 [stock|debug] [MAKE ARGUMENT...]" ;;
esac

INTO=${INTO:-$RELEASE}
OUT=$TOP/build/$INTO
mkdir -p "$OUT"
exec 9>"$OUT/.lock"
flock -w 1800 9 || die "another build in $OUT goes on for too long"
build() {
	in_root make -C "$KBUILD" M=/src MO="/src/build/$INTO" "${VARS[@]}" -j"$JOBS" "$@" modules
}
# Another clone may be building at the same time.
LOGS=$TOP/build/logs
NAME="modules for $RELEASE"
[ "$INTO" = "$RELEASE" ] || NAME="$NAME in $INTO"
step "$NAME" build "$@"
# A warning is not to be overlooked because the build went well.
LOG=$LOGS/${NAME//[^A-Za-z0-9._-]/_}.log
grep -E '(^|: )warning:|^WARNING' "$LOG" >&2 || true
for ko in "$OUT"/*.ko; do
	[ -e "$ko" ] || die "no module came out; see $LOG"
	# A module that was renamed or removed must not live on.
	if ! grep -qE "(^|/)$(basename "$ko" .ko)\.o$" "$OUT/modules.order"; then
		rm -f "$ko"
		continue
	fi
	printf '%s\n' "${ko#"$TOP"/}"
done
