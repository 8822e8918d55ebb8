#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# Builds the upstream C modules (rtrs-core, rtrs-client, rtrs-server,
# rnbd-client, rnbd-server) from the kernel's own source, as the interop peers
# of ours. The result is five *.ko in $CACHE/<release>/peers.
#
# usage: scripts/lab/peers.sh [stock|debug]

. "$(dirname "$0")/lib.sh"
need_root
KV=$(kernel_release)

case ${1:-stock} in
stock)
	OUT=$CACHE/$KV/peers
	KBUILD=/cache/$KV/kbuild
	MAKE=(make -C "$KBUILD" CC=x86_64-linux-gnu-gcc-14 HOSTCC=gcc-14 KERNELRELEASE="$KV")
	[ -e "$CACHE/$KV/.prepared" ] || "$TOP/scripts/lab/kernel.sh"
	;;
debug)
	OUT=$CACHE/debug-$KV/peers
	KBUILD=/cache/debug-$KV/kbuild
	MAKE=(make -C "$KBUILD" LLVM=1)
	[ -e "$CACHE/debug-$KV/.built" ] || die "the debug kernel is not there: run scripts/lab/debug-kernel.sh"
	;;
*) die "usage: $0 [stock|debug]" ;;
esac
lock_cache
IN_ROOT_OUT=/cache/${OUT#"$CACHE"/}

build() {
	local src=$CACHE/$KV/source tmp=$OUT.tmp m=$IN_ROOT_OUT.tmp
	rm -rf --one-file-system "$tmp" "$OUT"
	mkdir -p "$tmp"
	cp -r "$src/drivers/infiniband/ulp/rtrs" "$src/drivers/block/rnbd" "$tmp/"
	# The kernel's Makefile finds the RTRS headers in the kernel tree; here
	# they are the copy next door.
	# shellcheck disable=SC2016  # $(src) is make's, not the shell's.
	sed -i 's,^ccflags-y.*,ccflags-y := -I$(src)/../rtrs,' "$tmp/rnbd/Makefile"
	in_root "${MAKE[@]}" M="$m/rtrs" -j"$JOBS" CONFIG_INFINIBAND_RTRS=m \
		CONFIG_INFINIBAND_RTRS_CLIENT=m CONFIG_INFINIBAND_RTRS_SERVER=m modules
	in_root "${MAKE[@]}" M="$m/rnbd" -j"$JOBS" CONFIG_BLK_DEV_RNBD=y \
		CONFIG_BLK_DEV_RNBD_CLIENT=m CONFIG_BLK_DEV_RNBD_SERVER=m \
		KBUILD_EXTRA_SYMBOLS="$m/rtrs/Module.symvers" modules
	cp "$tmp"/rtrs/rtrs-{core,client,server}.ko "$tmp"/rnbd/rnbd-{client,server}.ko "$tmp/"
	rm -rf --one-file-system "$tmp/rtrs" "$tmp/rnbd"
	mv "$tmp" "$OUT"
}

once "C peers for ${1:-stock} $KV" "$OUT/.built" build
