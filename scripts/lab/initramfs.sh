#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# Makes the base initramfs of lab VMs for a kernel, unless it is cached, and
# prints its folder as seen inside the lab root.
#
# usage: scripts/lab/initramfs.sh [stock|debug]

. "$(dirname "$0")/lib.sh"
need_root
KV=$(kernel_release)

case ${1:-stock} in
stock) MODULES=/usr/lib/modules/$KV RELEASE=$KV ;;
debug)
	[ -e "$CACHE/debug-$KV/.built" ] || die "the debug kernel is not there: run scripts/lab/debug-kernel.sh"
	RELEASE=$(cat "$CACHE/debug-$KV/release")
	MODULES=/cache/debug-$KV/modules/lib/modules/$RELEASE
	;;
*) die "usage: $0 [stock|debug]" ;;
esac
mkdir -p "$CACHE/initramfs"
# A base is made once, by whoever comes first.
exec 8>"$CACHE/initramfs/lock"
flock -w 600 8 || die "another clone is making an initramfs for too long"
in_root python3 -B /src/scripts/lab/image.py base /cache/initramfs "$MODULES" "$RELEASE"
