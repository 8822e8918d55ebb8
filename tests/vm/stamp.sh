#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Modules of different builds must refuse to load together: /lab/other holds
# rtrs_client.ko of another build.

. /lab/lib/guest.sh

unknown_symbols() { dmesg | grep -c 'rtrs_client: Unknown symbol _R'; }

check "rtrs_core of this build loads" modprobe rtrs_core
check_eq "nothing is unknown so far" 0 "$(unknown_symbols)"
check_fails "rtrs_client of another build does not" insmod /lab/other/rtrs_client.ko
check "because it looks for other symbols" test "$(unknown_symbols)" -gt 0
check "rtrs_client of this build loads" modprobe rtrs_client
check "unload" rmmod rtrs_client rtrs_core
summary
