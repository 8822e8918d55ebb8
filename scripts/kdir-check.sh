#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Says in one sentence why a kernel tree cannot build these modules, and what to
# do about it. Silent and successful when it can.
#
# usage: scripts/kdir-check.sh KDIR

KDIR=$1

refuse() {
	echo "error: $*" >&2
	exit 1
}

[ -d "$KDIR" ] || refuse "there is no kernel tree at $KDIR: install the headers of this kernel (on Debian: linux-headers-$(uname -r)) or give KDIR=..."
[ -e "$KDIR/include/config/auto.conf" ] || refuse "the kernel tree at $KDIR is not configured: run 'make modules_prepare' in it"
grep -q '^CONFIG_RUST=y' "$KDIR/include/config/auto.conf" ||
	refuse "the kernel of $KDIR was built without CONFIG_RUST: boot one that has it, or build your own"
[ -e "$KDIR/rust/libkernel.rmeta" ] || [ -e "$KDIR/rust/kernel.rmeta" ] ||
	refuse "$KDIR has no Rust metadata, as most header packages do not: run 'make kernel-metadata' and use the KDIR it prints"
grep -q '^CONFIG_INFINIBAND=[ym]' "$KDIR/include/config/auto.conf" ||
	refuse "the kernel of $KDIR has no InfiniBand core (CONFIG_INFINIBAND): RNBD cannot run on it"
command -v "${RUSTC:-rustc}" >/dev/null ||
	refuse "there is no rustc: install the one the kernel was built with ($(sed -n 's/^CONFIG_RUSTC_VERSION_TEXT="\(.*\)"/\1/p' "$KDIR/include/config/auto.conf"))"
want=$(sed -n 's/^CONFIG_RUSTC_VERSION_TEXT="\(.*\)"/\1/p' "$KDIR/include/config/auto.conf")
have=$("${RUSTC:-rustc}" --version)
[ -z "$want" ] || [ "$want" = "$have" ] ||
	refuse "the kernel was built with '$want', but rustc here is '$have': modules of another compiler do not load; install that one or give RUSTC=..."
