#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# The way to the modules on a real host: what `make` and `make kernel-metadata` say of a
# kernel that will not do, and what `make` and `make modules_install` leave where.
#
# Works on a copy of the clone, in the lab root and without a VM. Needs the lab's Rust
# metadata. Ends with `N passed, N failed`.

if [ -z "${SUITE_KV:-}" ]; then
	. "$(dirname "$0")/../../scripts/lab/lib.sh"
	need_root
	in_root env SUITE_KV="$(kernel_release)" bash /src/tests/kdir/run.sh
	exit
fi

set -u
KV=$SUITE_KV
KBUILD=/cache/$KV/kbuild
WORK=$(mktemp -d)
TREE=$WORK/tree
trap 'rm -rf --one-file-system "$WORK"' EXIT
passed=0
failed=0

# result NAME STATUS [OUTPUT]
result() {
	if [ "$2" = 0 ]; then
		passed=$((passed + 1))
		echo "ok - $1"
	else
		failed=$((failed + 1))
		echo "not ok - $1"
		[ -z "${3:-}" ] || tail -n 20 <<<"$3" | sed 's/^/    /'
	fi
}

# succeeds NAME COMMAND...
succeeds() {
	local out status=0
	out=$("${@:2}" 2>&1) || status=$?
	result "$1" "$status" "$out"
}

# refuses TEXT COMMAND...: fails with one line, an error that has TEXT in it.
refuses() {
	local out status=0
	out=$("${@:2}" 2>&1) || status=$?
	[ "$status" != 0 ] && [ "$(wc -l <<<"$out")" = 1 ] && [[ $out == "error: "*"$1"* ]]
	result "refused: $1" $? "$out"
}

# same NAME WANTED GOT
same() {
	[ "$2" = "$3" ]
	result "$1" $? "wanted '$2', got '$3'"
}

mkdir "$TREE"
tar -C /src --exclude=./build --exclude=./.git -cf - . | tar -C "$TREE" -xf -
cd "$TREE" || exit 1
CHECK=scripts/kdir-check.sh
RUSTC_TEXT=$(rustc --version)

# --- a kernel tree that will not do ----------------------------------------------------
K=$WORK/kdir
conf() { printf '%s\n' "$@" >"$K/include/config/auto.conf"; }
# The text of another compiler.
OTHER="rustc 1.2.3 (made up)"

refuses "there is no kernel tree at $K" $CHECK "$K"
mkdir -p "$K/include/config" "$K/rust"
refuses "not configured: run 'make modules_prepare'" $CHECK "$K"
conf CONFIG_INFINIBAND=m
refuses "built without CONFIG_RUST" $CHECK "$K"
conf CONFIG_RUST=y CONFIG_INFINIBAND=m "CONFIG_RUSTC_VERSION_TEXT=\"$RUSTC_TEXT\""
refuses "no Rust metadata, as most header packages do not: run 'make kernel-metadata'" $CHECK "$K"
: >"$K/rust/libkernel.rmeta"
succeeds "a tree that will do" $CHECK "$K"
same "of which nothing is said" "" "$($CHECK "$K" 2>&1)"
refuses "install the one the kernel was built with ($RUSTC_TEXT)" env RUSTC=/nonexistent/rustc $CHECK "$K"
conf CONFIG_RUST=y CONFIG_INFINIBAND=m "CONFIG_RUSTC_VERSION_TEXT=\"$OTHER\""
refuses "built with '$OTHER', but rustc here is '$RUSTC_TEXT'" $CHECK "$K"
conf CONFIG_RUST=y "CONFIG_RUSTC_VERSION_TEXT=\"$RUSTC_TEXT\""
refuses "no InfiniBand core" $CHECK "$K"

out=$(make KDIR="$K" 2>&1)
same "make says the same sentence first" "$($CHECK "$K" 2>&1)" "$(head -n 1 <<<"$out")"
succeeds "and builds nothing" test ! -e build

# --- metadata for a Debian kernel, of packages that may be missing --------------------------
metadata() { RNBD_CACHE=$WORK/cache scripts/lab/host-kdir.sh "$@"; }
version=$(dpkg-query -W -f '${Version}' "linux-headers-$KV")

refuses "'apt install linux-headers-9.9.9-none' is missing" metadata 9.9.9-none
# The metadata itself takes minutes; the lab's own is made in the same way.
mkdir -p "$WORK/cache/host-$KV"
: >"$WORK/cache/host-$KV/.unpacked-$version"
: >"$WORK/cache/host-$KV/.prepared-$version"
same "make kernel-metadata ends with what to do" "ready: make KDIR=$WORK/cache/host-$KV/kbuild" \
	"$(RNBD_CACHE=$WORK/cache make -s kernel-metadata KERNEL="$KV" 2>&1)"

# From here on other kernels' headers lie in this mount namespace, which nobody else sees.
mount -t tmpfs kdir-suite /usr/src
H=/usr/src/linux-headers-9.9.9-none
mkdir -p "$H"
# As the lab's kernel, but for what the arguments (of sed) change.
configured() { sed "$@" "$KBUILD/.config" >"$H/.config"; }
configured 's/^CONFIG_RUST=y/# CONFIG_RUST is not set/'
refuses "9.9.9-none was built without CONFIG_RUST" metadata 9.9.9-none
configured ''
refuses "headers are missing: 'apt install linux-headers-9.9.9-none'" metadata 9.9.9-none
: >"$H/Module.symvers"
refuses "packages are missing: 'apt install linux-source-9.9 rust-src" metadata 9.9.9-none
: >/usr/src/linux-source-9.9.tar.xz
configured 's/^CONFIG_RUSTC_VERSION_TEXT=.*/CONFIG_RUSTC_VERSION_TEXT="rustc 1.2.3 (made up)"/'
refuses "was built with rustc 1.2.3 and this machine has" metadata 9.9.9-none
umount /usr/src

# --- five modules, built and installed --------------------------------------------------------
FIVE="rnbd_client rnbd_server rtrs_client rtrs_core rtrs_server"
# names FOLDER: the modules in it, of whatever compression.
names() { find "$1" -name '[!.]*.ko*' -printf '%f\n' 2>/dev/null | sed 's/\.ko.*//' | sort | xargs; }
# ours FOLDER: what there is of this project in it.
ours() { find "$1" -name 'rnbd_*.ko*' -o -name 'rtrs_*.ko*'; }
elsewhere=$(ours "/lib/modules/$KV")

succeeds "make builds" make -j"$(nproc)" KDIR="$KBUILD"
same "five modules, in build/$KV" "$FIVE" "$(cd "build/$KV" && find . -maxdepth 1 -name '*.ko' | sed 's,^./,,; s,\.ko$,,' | sort | xargs)"
same "and nowhere else" "" "$(diff -rq --exclude=.git --exclude=build /src "$TREE")"
for name in $FIVE; do
	same "$name is for that kernel" "$KV" "$(modinfo -F vermagic "build/$KV/$name.ko" | cut -d' ' -f1)"
done
mkdir "$WORK/target"
succeeds "make modules_install" make KDIR="$KBUILD" INSTALL_MOD_PATH="$WORK/target" modules_install
same "installs the five below INSTALL_MOD_PATH" "$FIVE" "$(names "$WORK/target/lib/modules/$KV/updates")"
same "and only there" "$elsewhere" "$(ours "/lib/modules/$KV")"
# depmod has run: modprobe knows the way from the name to the files, lowest first.
same "modprobe finds rnbd_client and what it needs" "rtrs_core rtrs_client rnbd_client" \
	"$(modprobe -d "$WORK/target" -S "$KV" --show-depends rnbd_client | sed -nE 's,.*/([a-z_]+)\.ko.*,\1,p' | xargs)"
succeeds "make clean" make clean
same "leaves no module" "" "$(names "$TREE")"

printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" = 0 ]
