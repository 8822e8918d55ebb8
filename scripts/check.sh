#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# Everything that can be said about the tree without running it: formatting,
# compiler and clippy warnings, the three walls, licences, shell scripts, and what
# the documents say of the sources. Ends with `N passed, N failed`.

. "$(dirname "$0")/lab/lib.sh"
need_root
"$TOP/scripts/lab/root.sh"
pin_kernel
"$TOP/scripts/lab/kernel.sh"
cd "$TOP"
passed=0
failed=0

# verdict NAME OUTPUT: no output is a pass.
verdict() {
	if [ -z "$2" ]; then
		passed=$((passed + 1))
		printf 'ok - %s\n' "$1"
	else
		failed=$((failed + 1))
		printf 'not ok - %s\n' "$1"
		head -n 40 <<<"$2" | sed 's/^/    /'
	fi
}

rust_files() { git ls-files -- '*.rs'; }
# Everything that is compiled into a module; and the rooms of it that are not below rust/.
module_files() { git ls-files -- 'include/*.rs' 'rtrs/*.rs' 'rnbd_client/*.rs' 'rnbd_server/*.rs' 'rust/*.rs'; }
safe_files() { git ls-files -- 'include/*.rs' 'rtrs/*.rs' 'rnbd_client/*.rs' 'rnbd_server/*.rs' 'tests/vm/*.rs'; }
# lines_with REGEX: the lines of the files on stdin where it matches, but for comments.
lines_with() { xargs -r grep -HnE "$1" | grep -vE '^[^:]+:[0-9]+:\s*//' || true; }

format() {
	local files
	mapfile -t files < <(rust_files | sed 's,^,/src/,')
	in_root rustfmt --edition 2021 --check "${files[@]}" 2>&1 | head -n 60
}
verdict "rustfmt" "$(format)"

# --- The unsafe wall: only rust/ contains unsafe ------------------------------
verdict "unsafe only below rust/" "$({ safe_files; git ls-files -- 'tests/host/*.rs'; } |
	lines_with '\bunsafe\b' | grep -v 'forbid(unsafe_code)' || true)"
roots=$(sed -nE 's/^[a-z]+ +:= ((include|rtrs)\/[a-z_\/]+)$/\1.rs/p' Kbuild; echo rnbd_client/rnbd_client.rs; echo rnbd_server/rnbd_server.rs)
verdict "every crate root outside rust/ forbids unsafe" "$(for r in $roots; do
	grep -q '^#!\[forbid(unsafe_code)\]' "$r" || echo "$r"
done)"

# --- The kernel wall: pure crates do not know the kernel ----------------------
verdict "the pure crates name no kernel" "$(git ls-files -- 'include/*.rs' 'rtrs/logic/*.rs' |
	lines_with '\b(kernel|pin_init|kernel_ext|rdma_bindings)::|\buse (::)?(kernel|pin_init)\b')"

# --- Direction: what Kbuild does not hand out, but the kernel's own folder of crates offers ------
verdict "no extern crate outside of rust/" "$(safe_files | lines_with '\bextern\s+crate\b')"
verdict "raw bindings occur below rust/ only" "$(safe_files | lines_with '\b(rdma_)?bindings\b')"

# --- Habits --------------------------------------------------------------------
verdict "no panic in module code" "$(module_files |
	xargs -r awk 'FNR == 1 { test = 0 } /^#\[cfg\(test\)\]/ { test = 1 } !test && !/^[[:space:]]*\/\// &&
		/\.unwrap\(\)|\.expect\(|(^|[^_a-z])(panic|todo|unimplemented|unreachable)!\(/ { print FILENAME ":" FNR ": " $0 }')"
verdict "SAFETY comments argue" "$(rust_files | xargs -r grep -HniE 'SAFETY:\s*(TO[D]O|FIX[M]E|always safe|ok\b|trivial)' || true)"
verdict "nothing left to do in the tree" "$(git ls-files | grep -vE '\.md$' | xargs -r grep -HnE '\b(TO[D]O|FIX[M]E|XX[X])\b' || true)"
verdict "every source has a licence line" "$(git ls-files | grep -vE '\.md$' | xargs -r grep -L 'SPDX-License-Identifier: GPL-2.0' || true)"
verdict "no file over 600 lines" "$(git ls-files -- '*.rs' '*.c' '*.h' '*.sh' '*.py' | xargs -r wc -l | awk '$2 != "total" && $1 > 600')"
verdict "documents and sources agree" "$(in_root sh -c 'cd /src && python3 -B scripts/documented.py' 2>&1)"
shell_scripts() {
	local files
	# What is sourced only has the suffix, what is run only perhaps not.
	mapfile -t files < <({
		git ls-files -- '*.sh'
		git ls-files | xargs -r awk 'FNR == 1 { if (/^#!.*sh$/) print FILENAME; nextfile }'
	} | sort -u | sed 's,^,/src/,')
	# Scripts for the VM source their library by its path there.
	mkdir -p "$ROOT/lab"
	ln -sfn /src/tests/vm/lib "$ROOT/lab/lib"
	in_root shellcheck -x "${files[@]}" 2>&1 | head -n 60
}
verdict "shellcheck" "$(shell_scripts)"

# --- The compiler, with and without clippy ---------------------------------------
# Each has a folder of its own, and a warning is an error there: so what is up to date has
# been compiled by these very rules, and had nothing to say.
mkdir -p "$TOP/build/logs"
lint() {
	local log=$TOP/build/logs/check-$1.log
	if ! INTO=check-$1 "$TOP/scripts/lab/modules.sh" stock KX_TESTS=m KCFLAGS=-Werror KRUSTFLAGS=-Dwarnings "${@:2}" \
		>"$log" 2>&1; then
		tail -n 40 "$log"
		return
	fi
	grep -E '(^|: )(warning|error)|^WARNING' "$log" || true
}
verdict "no clippy warning" "$(lint clippy CLIPPY=1)"
verdict "no compiler warning" "$(lint build)"

printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" = 0 ]
