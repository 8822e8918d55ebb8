#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# The main job, from nothing: builds the lab and the modules, boots two machines
# with the unmodified Debian kernel, maps a disk of one on the other, uses it and
# compares every byte. Ends with `demo: ok`.

. "$(dirname "$0")/lab/lib.sh"
need_root
"$TOP/scripts/lab/root.sh"
pin_kernel
"$TOP/scripts/lab/kernel.sh"
"$TOP/scripts/lab/initramfs.sh"
"$TOP/scripts/lab/modules.sh"
KV=$(kernel_release)

say "two machines boot Linux $KV ..."
status=0
"$TOP/scripts/lab/vm.sh" pair --name demo --timeout 240 --mem 1024 --ko "$TOP/build/$KV" \
	--server-script "$TOP/tests/vm/demo_server.sh" --client-script "$TOP/tests/vm/demo_client.sh" \
	-v >"$TOP/build/demo.out" 2>&1 </dev/null &
run=$!
# The transcript as it grows; its end is the end of the run.
mkdir -p "$TOP/build"
tail --pid="$run" -n +1 -F "$TOP/build/demo.out" 2>/dev/null |
	sed -unE 's/\r$//; s/^.*@(server|client) ?(.*)$/\1 | \2/p' || true
wait "$run" || status=$?
if [ "$status" != 0 ]; then
	tail -n 30 "$TOP/build/demo.out" >&2
	die "the demonstration ended with status $status; its logs are build/logs/demo.*.log"
fi
echo "demo: ok"
