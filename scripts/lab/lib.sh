# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What every lab script shares: where the cache is, how progress is shown, and
# how a command is run inside the lab root. Sourced, never run.

set -euo pipefail

# The clone this script belongs to.
TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# Heavy artefacts live outside the clone, so that a fresh clone finds them.
CACHE=${RNBD_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/rnbd-lab}
# The Debian release the lab root is made of.
SUITE=trixie
ROOT=$CACHE/root-$SUITE
# shellcheck disable=SC2034  # For the scripts that source this.
JOBS=$(nproc)

say() { printf '%s  %s\n' "$(date +%H:%M:%S)" "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# step NAME COMMAND...: runs a long command with its output in a log, in LOGS or else in
# the cache; shows one line before, one after, and the log's end if it fails.
step() {
	local name=$1 log start status
	shift
	mkdir -p "${LOGS:=$CACHE/log}"
	log=$LOGS/${name//[^A-Za-z0-9._-]/_}.log
	start=$(date +%s)
	say "$name ..."
	# Not as a condition: in one, bash goes on after a command that failed.
	set +e
	(set -e; "$@") >"$log" 2>&1 </dev/null
	status=$?
	set -e
	if [ "$status" = 0 ]; then
		say "$name: done in $(($(date +%s) - start)) s"
	else
		tail -n 40 "$log" >&2
		die "$name failed; the whole output is in $log"
	fi
}

# once NAME STAMP COMMAND...: `step`, unless STAMP exists; makes it afterwards.
# A build that is interrupted leaves no stamp and is simply done again.
once() {
	local name=$1 stamp=$2
	shift 2
	[ -e "$stamp" ] && return 0
	step "$name" "$@"
	mkdir -p "$(dirname "$stamp")"
	: >"$stamp"
}

# One lab build at a time: two clones may share the cache.
lock_cache() {
	mkdir -p "$CACHE"
	exec 9>"$CACHE/lock"
	flock -w 5400 9 || die "another lab build holds $CACHE/lock for too long"
}

need_root() {
	[ "$(id -u)" = 0 ] || die "the lab needs root (it makes a Debian root with mmdebstrap and enters it with chroot)"
}

# in_root COMMAND...: runs COMMAND inside the lab root, in a mount namespace of
# its own, with the clone at /src and the cache at /cache.
in_root() {
	# shellcheck disable=SC2016  # The inner shell expands these.
	RNBD_ROOT=$ROOT RNBD_TOP=$TOP RNBD_CACHE_DIR=$CACHE \
	unshare --mount --propagation private -- bash -c '
		set -e
		mkdir -p "$RNBD_ROOT/src" "$RNBD_ROOT/cache"
		mount --rbind /dev "$RNBD_ROOT/dev"
		mount -t proc proc "$RNBD_ROOT/proc"
		mount --rbind /sys "$RNBD_ROOT/sys" 2>/dev/null || true
		mount --bind "$RNBD_TOP" "$RNBD_ROOT/src"
		mount --bind "$RNBD_CACHE_DIR" "$RNBD_ROOT/cache"
		if [ -e /etc/resolv.conf ]; then
			[ -e "$RNBD_ROOT/etc/resolv.conf" ] || : >"$RNBD_ROOT/etc/resolv.conf"
			mount --bind "$(readlink -f /etc/resolv.conf)" "$RNBD_ROOT/etc/resolv.conf"
		fi
		cd /
		exec chroot "$RNBD_ROOT" /usr/bin/env -i \
			PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
			HOME=/root LC_ALL=C.UTF-8 TERM="${TERM:-dumb}" DEBIAN_FRONTEND=noninteractive \
			${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} \
			"$@"' in_root "$@"
}

# The release of the lab's stock kernel, once the root knows it.
kernel_release() {
	if [ -n "${LAB_KERNEL:-}" ]; then
		printf '%s\n' "$LAB_KERNEL"
	else
		[ -s "$CACHE/kernel-release" ] || die "the lab has no kernel yet: run 'make lab'"
		cat "$CACHE/kernel-release"
	fi
}

# pin_kernel: a run goes on with the kernel it began with, even if another clone meanwhile
# makes a newer one the lab's.
pin_kernel() {
	LAB_KERNEL=$(kernel_release)
	export LAB_KERNEL
}
