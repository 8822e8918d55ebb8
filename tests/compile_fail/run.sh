#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# Programs that misuse the safe layer must not compile, and for the right reason.
#
# Each *.rs here says in its first lines with which crate's externs it is compiled
# (`//@ like: rtrs/client/rtrs_client`) and which error the compiler must give
# (`//@ error: TEXT`); one with `//@ compiles` is the control that the harness works.
# Needs the modules built for the lab's kernel. Ends with `N passed, N failed`.

. "$(dirname "$0")/../../scripts/lab/lib.sh"
need_root
KV=$(kernel_release)
BUILD=$TOP/build/$KV
passed=0
failed=0

directive() { sed -n "s,^//@ $1: ,,p" "$2" | head -n 1; }

# compile FILE LIKE: the command that compiled LIKE, for FILE instead.
compile() {
	local dir cmd saved
	dir=$(dirname "$2")
	saved=$BUILD/$dir/.$(basename "$2").o.cmd
	[ -e "$saved" ] || die "$2 is not built: run 'make lab-modules'"
	cmd=$(sed -n 's/^savedcmd_[^ ]* := //p' "$saved")
	# What follows the compiler's call is objtool.
	cmd=${cmd%% ; *}
	# No object and no stamp: only the types matter. The source is the last word.
	cmd=$(sed -E "s, --emit=(obj|metadata|dep-info)=[^ ]*,,g; s, --out-dir [^ ]*, --emit=metadata=/tmp/misuse.rmeta,; s, [^ ]*\.rs *\$, /src/tests/compile_fail/$(basename "$1")," <<<"$cmd")
	in_root env RUSTC_BOOTSTRAP=1 sh -c "cd /src/build/$KV && $cmd"
}

for file in "$TOP"/tests/compile_fail/*.rs; do
	name=$(basename "$file" .rs)
	like=$(directive like "$file")
	want=$(directive error "$file")
	status=0
	out=$(compile "$file" "$like" 2>&1) || status=$?
	if grep -q '^//@ compiles' "$file"; then
		verdict=$((status != 0))
	else
		verdict=0
		if [ "$status" = 0 ] || [ -z "$want" ] || ! grep -qF -- "$want" <<<"$out"; then
			verdict=1
		fi
	fi
	if [ "$verdict" = 0 ]; then
		passed=$((passed + 1))
		echo "ok - $name"
	else
		failed=$((failed + 1))
		echo "not ok - $name: status $status, wanted '$want'"
		printf '%s\n' "$out" | head -n 30
	fi
done
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
