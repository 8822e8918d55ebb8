#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# Prepares a KDIR with Rust metadata for this machine's own Debian kernel from
# Debian's linux-source package, outside any VM; needs no root. Changes no
# package: if one is missing, one sentence says which command brings it.
#
# usage: scripts/lab/host-kdir.sh [KERNEL RELEASE]     (default: the running one)

. "$(dirname "$0")/lib.sh"

KV=${1:-$(uname -r)}
HEADERS=/usr/src/linux-headers-$KV
BASE=$(printf '%s' "$KV" | sed -E 's/^([0-9]+\.[0-9]+).*/\1/')
TARBALL=/usr/src/linux-source-$BASE.tar.xz
OUT=$CACHE/host-$KV

ID=
# shellcheck disable=SC1091
[ -r /etc/os-release ] && . /etc/os-release
[ "$ID" = debian ] ||
	die "this is not Debian: give the modules a kernel tree of your own that was built with CONFIG_RUST=y ('make KDIR=<build tree>')"
CONFIG=$HEADERS/.config
[ -r "$CONFIG" ] || CONFIG=/boot/config-$KV
[ -r "$CONFIG" ] ||
	die "there is neither $HEADERS nor /boot/config-$KV: $KV is not a Debian kernel, or 'apt install linux-headers-$KV' is missing"
grep -qx 'CONFIG_RUST=y' "$CONFIG" ||
	die "the kernel $KV was built without CONFIG_RUST: install one with it, for example 'apt install -t trixie-backports linux-image-amd64 linux-headers-amd64', and boot it"
[ -r "$HEADERS/Module.symvers" ] || die "the kernel's headers are missing: 'apt install linux-headers-$KV'"

# The first word of the compiler's version text is the command it was called by.
CC=$(sed -n 's/^CONFIG_CC_VERSION_TEXT="\([^ ]*\) .*/\1/p' "$CONFIG")
GCC=${CC##*-linux-gnu-}
MISSING=()
for pair in "$CC:${GCC}" make:make bc:bc flex:flex bison:bison bindgen:bindgen rustc:rustc pahole:pahole xz:xz-utils; do
	command -v "${pair%%:*}" >/dev/null || MISSING+=("${pair#*:}")
done
[ -e /usr/include/openssl/ssl.h ] || MISSING+=(libssl-dev)
[ -e /usr/include/libelf.h ] || MISSING+=(libelf-dev)
[ -e "$TARBALL" ] || MISSING+=("linux-source-$BASE")
[ ${#MISSING[@]} = 0 ] || die "packages are missing: 'apt install ${MISSING[*]} rust-src clang libclang-dev'"

WANT=$(sed -n 's/^CONFIG_RUSTC_VERSION_TEXT="\(rustc [^ ]*\).*/\1/p' "$CONFIG")
HAVE=$(rustc --version | cut -d' ' -f1-2)
[ "$HAVE" = "$WANT" ] ||
	die "the kernel $KV was built with $WANT and this machine has $HAVE: Rust modules need the same compiler, so install that one"
[ -e "$(rustc --print sysroot)/lib/rustlib/src/rust/library/core/src/lib.rs" ] ||
	die "the source of Rust's core library is missing: 'apt install rust-src'"
SOURCE_VERSION=$(dpkg-query -W -f '${Version}' "linux-source-$BASE" 2>/dev/null || true)
HEADER_VERSION=$(dpkg-query -W -f '${Version}' "linux-headers-$KV" 2>/dev/null || true)
[ "$SOURCE_VERSION" = "$HEADER_VERSION" ] ||
	die "linux-source-$BASE is version '$SOURCE_VERSION' but the kernel $KV is '$HEADER_VERSION': install that version of linux-source-$BASE"

mkdir -p "$OUT"
exec 9>"$OUT/.lock"
flock -w 1800 9 || die "another run of this script goes on for too long"

unpack() {
	rm -rf --one-file-system "$OUT/source" "$OUT/source.tmp"
	mkdir -p "$OUT/source.tmp"
	tar -C "$OUT/source.tmp" --strip-components=1 -xf "$TARBALL"
	mv "$OUT/source.tmp" "$OUT/source"
}

prepare() {
	mkdir -p "$OUT/kbuild"
	cp "$CONFIG" "$OUT/kbuild/.config"
	cp "$HEADERS/Module.symvers" "$OUT/kbuild/Module.symvers"
	make -C "$OUT/source" O="$OUT/kbuild" CC="$CC" HOSTCC="$GCC" KERNELRELEASE="$KV" -j"$JOBS" \
		olddefconfig modules_prepare
	# A tree that lost Rust on the way is of no use; nor one of another release.
	grep -qx 'CONFIG_RUST=y' "$OUT/kbuild/.config"
	test -s "$OUT/kbuild/rust/libkernel.rmeta"
	test "$(cat "$OUT/kbuild/include/config/kernel.release")" = "$KV"
}

# The stamps carry the package's version: an upgrade under the same release counts.
once "unpack linux-source-$BASE $SOURCE_VERSION" "$OUT/.unpacked-$SOURCE_VERSION" unpack
once "Rust metadata for $KV (about 90 s)" "$OUT/.prepared-$SOURCE_VERSION" prepare
printf 'ready: make KDIR=%s\n' "$OUT/kbuild"
