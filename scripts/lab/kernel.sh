#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# Prepares Rust metadata for the lab's stock kernel: the distribution's
# linux-source with the distribution's configuration and symbol list, made with
# the very compiler that built the kernel. What comes out is a KDIR against
# which modules build that load into the unmodified kernel.

. "$(dirname "$0")/lib.sh"
need_root
lock_cache
KV=$(kernel_release)
OUT=$CACHE/$KV

# Inside the root: /cache/$KV/source and /cache/$KV/kbuild.
unpack() {
	local base
	base=$(printf '%s' "$KV" | sed -E 's/^([0-9]+\.[0-9]+).*/\1/')
	# Of this kernel, and not of another one with the same first two numbers.
	if [ "$(in_root dpkg-query -W -f '${Version}\n' "linux-source-$base" "linux-headers-$KV" | uniq | wc -l)" != 1 ]; then
		rm -f "$ROOT/.lab-kernel-$KV"
		die "linux-source-$base has become that of another kernel than $KV; run the command again, which installs it"
	fi
	rm -rf --one-file-system "$OUT/source" "$OUT/source.tmp"
	mkdir -p "$OUT/source.tmp"
	in_root tar -C "/cache/$KV/source.tmp" --strip-components=1 -xf "/usr/src/linux-source-$base.tar.xz"
	mv "$OUT/source.tmp" "$OUT/source"
}

prepare() {
	mkdir -p "$OUT/kbuild"
	cp "$ROOT/usr/src/linux-headers-$KV/.config" "$OUT/kbuild/.config"
	cp "$ROOT/usr/src/linux-headers-$KV/Module.symvers" "$OUT/kbuild/Module.symvers"
	in_root make -C "/cache/$KV/source" "O=/cache/$KV/kbuild" CC=x86_64-linux-gnu-gcc-14 HOSTCC=gcc-14 \
		KERNELRELEASE="$KV" -j"$JOBS" olddefconfig modules_prepare
	# A tree that lost Rust on the way (another rustc, no bindgen) is of no use.
	grep -q '^CONFIG_RUST=y' "$OUT/kbuild/.config"
	test -s "$OUT/kbuild/rust/libkernel.rmeta"
}

once "unpack linux-source for $KV" "$OUT/.unpacked" unpack
once "Rust metadata for $KV (about 90 s)" "$OUT/.prepared" prepare
