#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# Builds the debug kernel from the same linux-source as the stock kernel, with
# debug-kernel.config: about 15 minutes on two cores, once. An interrupted build
# is taken up where it stopped. The result, in $CACHE/debug-<stock release>:
# vmlinuz, release, modules/, and kbuild/ (a KDIR with Rust metadata).

. "$(dirname "$0")/lib.sh"
need_root
KV=$(kernel_release)
[ -e "$CACHE/$KV/.prepared" ] || "$TOP/scripts/lab/kernel.sh"
OUT=$CACHE/debug-$KV
LIST=$TOP/scripts/lab/debug-kernel.config
HASH=$(sha256sum "$LIST" | cut -c1-16)

# A lock of its own: this one is held for long and disturbs no other build.
mkdir -p "$OUT"
exec 9>"$OUT/lock"
flock -w 5400 9 || die "another build of the debug kernel goes on for too long"

kmake() { in_root nice -n 19 make -C "/cache/$KV/source" "O=/cache/debug-$KV/kbuild" LLVM=1 -j"$JOBS" "$@"; }

configure() {
	mkdir -p "$OUT/kbuild"
	kmake KCONFIG_ALLCONFIG=/src/scripts/lab/debug-kernel.config allnoconfig
	# Kconfig drops silently what lacks a dependency or has another name by now.
	local line lost=()
	while read -r line; do
		grep -qxF "$line" "$OUT/kbuild/.config" || lost+=("$line")
	done < <(grep -E '^CONFIG_[A-Z0-9_]+=[^n]' "$LIST")
	printf 'not in this kernel as asked for: %s\n' "${lost[*]:-nothing}"
	for line in RUST KASAN PROVE_LOCKING DEBUG_ATOMIC_SLEEP DEBUG_OBJECTS DEBUG_KMEMLEAK FAULT_INJECTION; do
		grep -qx "CONFIG_$line=y" "$OUT/kbuild/.config" || { echo "CONFIG_$line is lost"; return 1; }
	done
}

build() { kmake bzImage modules; }

install_it() {
	rm -rf --one-file-system "$OUT/modules"
	kmake INSTALL_MOD_PATH="/cache/debug-$KV/modules" modules_install
	cp "$OUT/kbuild/arch/x86/boot/bzImage" "$OUT/vmlinuz"
	cp "$OUT/kbuild/include/config/kernel.release" "$OUT/release"
	test -s "$OUT/kbuild/rust/libkernel.rmeta"
}

[ "$(cat "$OUT/.built" 2>/dev/null)" = "$HASH" ] && exit 0
rm -f "$OUT/.built"
step "configure the debug kernel" configure
step "debug kernel from linux-source for $KV (about 15 minutes)" build
step "install the debug kernel" install_it
printf '%s\n' "$HASH" >"$OUT/.built.tmp"
mv "$OUT/.built.tmp" "$OUT/.built"
