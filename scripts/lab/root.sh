#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# Builds the lab root: a Debian release with its backports kernel, the
# toolchain that kernel was built with, QEMU, fio and the RDMA user space.
# Does nothing when the root is there and has every package.
#
# Backports is asked once a day for its newest kernel. What was made for the one before stays
# where it is, under its release. LAB_KERNEL=RELEASE takes that one of the kernels that
# backports still has, or that the root has already, and asks for no other.

. "$(dirname "$0")/lib.sh"
need_root
lock_cache

TOOLS=(rustc rust-src rustfmt rust-clippy cargo bindgen clang libclang-dev llvm lld
	gcc gcc-14 make bc flex bison libssl-dev pahole kmod cpio xz-utils zstd perl python3
	rsync qemu-system-x86 fio iproute2 ethtool ibverbs-providers ibverbs-utils rdma-core
	rdmacm-utils libibverbs-dev librdmacm-dev e2fsprogs fdisk util-linux busybox-static
	strace stress-ng shellcheck ca-certificates xfsprogs cryptsetup-bin mdadm lvm2
	dmsetup keyutils git)

# The Debian mirror this machine's apt uses, never one of our own.
# shellcheck disable=SC2016  # $(REPO_URI) is apt's, not the shell's.
mirror() {
	local uri
	uri=$(apt-get indextargets --format '$(REPO_URI)|$(LABEL)' 'Created-By: Packages' 2>/dev/null |
		awk -F'|' '$2 == "Debian" { print $1; exit }')
	if [ -z "$uri" ]; then
		apt-get update >&2
		uri=$(apt-get indextargets --format '$(REPO_URI)|$(LABEL)' 'Created-By: Packages' |
			awk -F'|' '$2 == "Debian" { print $1; exit }')
	fi
	[ -n "$uri" ] || die "this machine's apt configuration names no Debian mirror"
	printf '%s\n' "${uri%/}"
}

host_tools() {
	local missing=()
	command -v mmdebstrap >/dev/null || missing+=(mmdebstrap)
	[ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || missing+=(debian-archive-keyring)
	command -v unshare >/dev/null || missing+=(util-linux)
	[ ${#missing[@]} = 0 ] && return 0
	apt-get update
	DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"
}

bootstrap() {
	local tmp=$ROOT.tmp m proxy opts=()
	m=$(mirror)
	proxy=$(apt-config dump --format '%v%n' Acquire::http::Proxy)
	[ -z "$proxy" ] || opts+=(--aptopt="Acquire::http::Proxy \"$proxy\"")
	rm -rf --one-file-system "$tmp"
	run() {
		mmdebstrap --mode=root --variant=apt "${opts[@]}" "$@" "$SUITE" "$tmp" \
			"deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $m $SUITE main" \
			"deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $m $SUITE-backports main"
	}
	if ! run 2>"$tmp.err"; then
		cat "$tmp.err"
		# A mirror that lags has a Release file past its date: say so, go on.
		grep -qiE 'valid-until|expired|not valid' "$tmp.err" || return 1
		echo "the mirror's Release file is past its Valid-Until date; going on without that check"
		rm -rf --one-file-system "$tmp"
		run --aptopt='Acquire::Check-Valid-Until "false"'
	fi
	rm -f "$tmp.err"
	rm -rf --one-file-system "$ROOT"
	mv "$tmp" "$ROOT"
}

# An install that was killed leaves packages half-way, and neither dpkg nor apt goes on then.
repair() {
	in_root dpkg --configure -a &&
		in_root apt-get install -y --no-install-recommends --fix-broken
}

# newest_kernel: the release that backports has now. Without any kernel yet, what apt knew last will do.
newest_kernel() {
	mkdir -p "$CACHE/log"
	{ in_root timeout 120 apt-get update --error-on=any -o Acquire::Retries=1 -o Acquire::http::Timeout=20 \
		>"$CACHE/log/newest_kernel.log" 2>&1 || ! has_kernel "$1"; } &&
		in_root apt-cache -t "$SUITE-backports" depends linux-image-amd64 |
		sed -n 's/.*Depends: linux-image-\([0-9].*\)$/\1/p' | tail -n 1
}

# Packages come in two groups: the kernel's from backports (libelf-dev too: the
# kernel's build tools are linked with it), the rest from the release itself.
# Each command says whether it went well: this runs as a condition.
install_kernel() {
	local kv=$1 base version
	base=$(printf '%s' "$kv" | sed -E 's/^([0-9]+\.[0-9]+).*/\1/')
	repair && in_root apt-get update || return
	# Several kernels share the name of a source package, and its text has to be this one's.
	version=$(in_root apt-cache -t "$SUITE-backports" show --no-all-versions "linux-headers-$kv" | sed -n 's/^Version: //p')
	[ -n "$version" ] || { echo "backports has no linux-headers-$kv"; return 1; }
	# Not linux-image-*: its initramfs hook needs a machine that boots.
	in_root apt-get install -y --no-install-recommends -t "$SUITE-backports" \
		--allow-downgrades "linux-source-$base=$version" "linux-headers-$kv" "linux-modules-$kv" "linux-binary-$kv" libelf-dev
}

install_tools() {
	repair
	in_root apt-get update
	in_root apt-get install -y --no-install-recommends "${TOOLS[@]}"
	in_root apt-get clean
}

# has_kernel RELEASE; take_kernel RELEASE: whether the root has its packages; sees to it.
has_kernel() { [ -n "$1" ] && [ -e "$ROOT/.lab-kernel-$1" ]; }
take_kernel() { once "stock kernel $1 from backports" "$ROOT/.lab-kernel-$1" install_kernel "$1"; }

# The next kernel's source package takes the place of the present one's, so that is unpacked first.
asked=$CACHE/stamp/kernel-asked
may_stay() {
	has_kernel "$1" || return
	[ -n "$(find "$asked" -mmin -1440 2>/dev/null)" ] || [ ! -e "$CACHE/$1/.unpacked" ]
}

# follow_backports PRESENT: goes on with the newest kernel, or with PRESENT if there is no way.
follow_backports() {
	local newest
	newest=$(newest_kernel "$1") || newest=
	if [ -n "$newest" ] && (take_kernel "$newest"); then
		printf '%s\n' "$newest" >"$CACHE/kernel-release.tmp"
		mv "$CACHE/kernel-release.tmp" "$CACHE/kernel-release"
		[ "$newest" = "${1:-$newest}" ] || say "the lab's kernel is $newest from now on; $1 stays in the cache"
	elif has_kernel "$1"; then
		say "no newer kernel can be had from backports today, so $1 stays (see $CACHE/log)"
	else
		die "no kernel can be had from backports; see $CACHE/log"
	fi
	: >"$asked"
}

once "host tools" "$CACHE/stamp/host-$(hostname)" host_tools
once "Debian $SUITE root" "$ROOT/.lab-bootstrapped" bootstrap
list=$(printf '%s\n' "${TOOLS[@]}" | sha256sum | cut -c1-12)
once "tools in the root (about 3 minutes)" "$ROOT/.lab-tools-$list" install_tools
present=$(cat "$CACHE/kernel-release" 2>/dev/null || true)
if [ -n "${LAB_KERNEL:-}" ]; then
	take_kernel "$LAB_KERNEL"
elif ! may_stay "$present"; then
	follow_backports "$present"
fi
