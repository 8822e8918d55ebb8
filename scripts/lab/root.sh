#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# Builds the lab root: a Debian release with its backports kernel, the
# toolchain that kernel was built with, QEMU, fio and the RDMA user space.
# Does nothing when the root is there and has every package.
#
# LAB_KERNEL=RELEASE takes that one of the kernels that backports still has, instead of the
# newest; it needs a cache of its own (RNBD_CACHE), as a root has one kernel.

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

# Packages come in two groups: the kernel's from backports (libelf-dev too: the
# kernel's build tools are linked with it), the rest from the release itself.
install_kernel() {
	local kv base
	in_root apt-get update
	kv=${LAB_KERNEL:-$(in_root apt-cache -t "$SUITE-backports" depends linux-image-amd64 |
		sed -n 's/.*Depends: linux-image-\([0-9].*\)$/\1/p' | head -n 1)}
	[ -n "$kv" ] || { echo "backports has no linux-image-amd64"; return 1; }
	base=$(printf '%s' "$kv" | sed -E 's/^([0-9]+\.[0-9]+).*/\1/')
	# Not linux-image-*: its initramfs hook needs a machine that boots.
	in_root apt-get install -y --no-install-recommends -t "$SUITE-backports" \
		"linux-source-$base" "linux-headers-$kv" "linux-modules-$kv" "linux-binary-$kv" libelf-dev
	printf '%s\n' "$kv" >"$CACHE/kernel-release.tmp"
	mv "$CACHE/kernel-release.tmp" "$CACHE/kernel-release"
}

install_tools() {
	in_root apt-get update
	in_root apt-get install -y --no-install-recommends "${TOOLS[@]}"
	in_root apt-get clean
}

once "host tools" "$CACHE/stamp/host-$(hostname)" host_tools
once "Debian $SUITE root" "$ROOT/.lab-bootstrapped" bootstrap
list=$(printf '%s\n' "${TOOLS[@]}" | sha256sum | cut -c1-12)
once "tools in the root (about 3 minutes)" "$ROOT/.lab-tools-$list" install_tools
once "stock kernel from backports" "$ROOT/.lab-kernel" install_kernel
[ "${LAB_KERNEL:-$(kernel_release)}" = "$(kernel_release)" ] ||
	die "$CACHE is for $(kernel_release): give RNBD_CACHE=... for $LAB_KERNEL"
