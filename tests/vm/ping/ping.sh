#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Runs in a VM: loads the self-test module rdx_ping, whose scenario runs in its
# init over soft-RoCE, and looks for leftovers.
#
#   scripts/lab/vm.sh run --name ping --ko DIR --script tests/vm/ping/ping.sh

. /lab/lib/guest.sh

log_has() { dmesg | grep -qF "$1"; }
# Objects of a kind that are ours: they go by the name of the module that carries
# the C helpers, rtrs_core or this one.
leftovers() { rdma resource show "$1" 2>/dev/null | grep -cE '\[(rtrs_core|rdx_ping)\]'; }

check "soft-RoCE on a dummy interface" setup_loopback_rxe
check "the module loads" timeout 200 modprobe rdx_ping
check "the scenario runs to its end" log_has "rdx_ping: ok"
# The queue pairs themselves go by the name of rdma_cm.
check_eq "two completion queues stay" 2 "$(leftovers cq)"
check "it unloads" rmmod rdx_ping
for kind in cq pd mr cm_id; do
	# Protection domains are given back in the background.
	check "no $kind left" wait_until 10 eval "[ \"\$(leftovers $kind)\" = 0 ]"
done
check "and loads again" timeout 200 modprobe rdx_ping
check "the device can be removed under a connection" timeout 60 rdma link del rxe0
check "which ends it" log_has "the device is gone, and so is the connection"
check "it unloads again" rmmod rdx_ping

summary
