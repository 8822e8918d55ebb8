#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# An interactive shell in a VM on the lab's kernel, with this clone's modules to
# be loaded by name and tests/vm/lib at /lab/lib. Needs a terminal.
#
# usage: scripts/lab/shell.sh [stock|debug] [vm.sh option...]

. "$(dirname "$0")/lib.sh"
need_root
KIND=${1:-stock}
[ $# = 0 ] || shift
KV=$(kernel_release)
case $KIND in
stock) RELEASE=$KV ;;
debug) RELEASE=$(cat "$CACHE/debug-$KV/release" 2>/dev/null) || die "the debug kernel is not there: run scripts/lab/debug-kernel.sh" ;;
*) die "usage: $0 [stock|debug] [vm.sh option...]" ;;
esac
OPTIONS=()
if compgen -G "$TOP/build/$RELEASE/*.ko" >/dev/null; then
	OPTIONS+=(--ko "$TOP/build/$RELEASE")
else
	say "build/$RELEASE holds no modules ('make lab-modules' makes them); the kernel's own are there"
fi
say "booting; leave with 'exit', or kill the VM with Ctrl-a x"
exec "$TOP/scripts/lab/vm.sh" shell --name "shell-$$" --kernel "$KIND" "${OPTIONS[@]}" "$@"
