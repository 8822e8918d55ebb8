#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# Does the lab notice what it is there to notice? Boots small VMs that end in
# every way a VM can end, and two that use the pair's signals, links and power.
# About a minute. The C peers' run over both paths comes last.

. "$(dirname "$0")/lib.sh"
need_root
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
PASSED=0 FAILED=0

# expect STATUS NAME SCRIPT [vm.sh argument...]: one VM must end so.
expect() {
	local want=$1 name=$2 status=0
	printf '%s\n' "$3" >"$WORK/$name"
	shift 3
	"$TOP/scripts/lab/vm.sh" run --name "selftest-$name" --script "$WORK/$name" "$@" >"$WORK/out" 2>&1 || status=$?
	verdict "$name" "$want" "$status"
}

verdict() {
	if [ "$2" = "$3" ]; then
		PASSED=$((PASSED + 1))
		echo "ok - $1"
	else
		FAILED=$((FAILED + 1))
		echo "not ok - $1: wanted status $2, got $3"
		cat "$WORK/out"
	fi
}

expect 0 success 'true' --timeout 60
expect 5 status 'exit 5' --timeout 60
expect 97 complaint 'echo "WARNING: CPU: 0 something is wrong" >/dev/kmsg' --timeout 60
expect 0 allowed '. /lab/lib/guest.sh
allow_dmesg "something is wrong"
echo "WARNING: CPU: 0 something is wrong" >/dev/kmsg' --timeout 60
expect 98 panic 'echo c >/proc/sysrq-trigger' --timeout 60
expect 99 timeout 'cat /dev/zero >/dev/null' --timeout 15
if ! grep -q 'sysrq: Show backtrace of all active CPUs' "$TOP/build/logs/selftest-timeout.log"; then
	verdict "a hanging VM shows its tasks" 0 1
fi

cat >"$WORK/server" <<'IN'
. /lab/lib/guest.sh
check "network" setup_pair_rxe
signal ready
# The first life ends here by a power cut, the second by the client's word.
check "end" wait_for end 60
summary
IN
cat >"$WORK/client" <<'IN'
. /lab/lib/guest.sh
check "network" setup_pair_rxe
check "server is ready" wait_for ready 60
check "IPv4, jumbo" ping -c 1 -W 5 -s 8900 10.0.0.1
check "IPv6, second path" ping -c 1 -W 5 fd00:1::1
check "link off" host_cmd link n0 off
check_fails "cut" ping -c 1 -W 1 10.0.0.1
check "link on" host_cmd link n0 on
check "restored" wait_until 10 ping -c 1 -W 1 10.0.0.1
check "peer's link off" host_cmd peer link n1 off
check_fails "cut there" ping -c 1 -W 1 10.0.1.1
check "peer's link on" host_cmd peer link n1 on
check "freeze" host_cmd peer freeze
check_fails "frozen" ping -c 1 -W 1 10.0.0.1
check "thaw" host_cmd peer thaw
check "thawed" wait_until 10 ping -c 1 -W 1 10.0.0.1
check "kill" host_cmd peer kill
check "boot" host_cmd peer boot
check "server is ready again" wait_for ready 60
check "reconnected" wait_until 10 ping -c 1 -W 1 10.0.0.1
signal end
summary
IN
status=0
"$TOP/scripts/lab/vm.sh" pair --name selftest-pair --timeout 120 \
	--server-script "$WORK/server" --client-script "$WORK/client" >"$WORK/out" 2>&1 || status=$?
verdict "pair: signals, links, power" 0 "$status"

"$TOP/scripts/lab/peers.sh"
cat >"$WORK/server" <<'IN'
. /lab/lib/guest.sh
. /lab/lib/rnbd.sh
check "network" setup_pair_rxe
check "backend" modprobe brd rd_nr=1 rd_size=65536
check "server module" modprobe rnbd_server
signal ready
check "client is done" wait_for end 120
check "unload" modprobe -r rnbd_server
summary
IN
cat >"$WORK/client" <<'IN'
. /lab/lib/guest.sh
. /lab/lib/rnbd.sh
check "network" setup_pair_rxe
check "client module" modprobe rnbd_client
check "server is ready" wait_for ready 60
check "map over two paths" rnbd_map s1 /dev/ram0 path=ip:10.0.0.1 path=ip:10.0.1.1
check "verified IO" fio_verify "/dev/$RNBD_DEV" 5
check "unmap" rnbd_unmap "$RNBD_DEV"
check "unload" modprobe -r rnbd_client
signal end
summary
IN
PEERS=$CACHE/$(kernel_release)/peers
status=0
"$TOP/scripts/lab/vm.sh" pair --name selftest-peers --timeout 180 --ko "$PEERS" \
	--server-script "$WORK/server" --client-script "$WORK/client" >"$WORK/out" 2>&1 || status=$?
verdict "C client and C server in two VMs" 0 "$status"

echo "$PASSED passed, $FAILED failed"
[ "$FAILED" = 0 ]
