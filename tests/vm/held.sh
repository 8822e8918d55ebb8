#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A backend that holds its requests: who closes a device on it waits, and nobody else does. And
# whoever closes a device twice, from both sides at once. One VM, both roles. Environment:
# CLOSES (how many races).

. /lab/lib/guest.sh
. /lab/lib/rnbd.sh
CLOSES=${CLOSES:-30}
SRV=/sys/devices/virtual/rnbd-server/ctl/devices

check "network" setup_loopback_rxe
modprobe brd rd_nr=4 rd_size=16384 && modprobe dm-mod || bail "backends"
dmsetup create held --table "0 32768 linear /dev/ram0 0" || bail "a backend to be held"
check "modules" modprobe -a rnbd_server rnbd_client
check "map the one that is to be held" rnbd_map a /dev/dm-0
held=$RNBD_DEV
check "another disk of its session" rnbd_map a /dev/ram1
beside=$RNBD_DEV
check "a disk of another session" rnbd_map b /dev/ram2
other=$RNBD_DEV
[ "$LAB_FAILED" = 0 ] || bail "set-up"

read_some() { timeout "${2:-5}" dd if="/dev/$1" of=/dev/null bs=64k count=16 iflag=direct status=none 2>/dev/null; }
# closer DEVICE SESSION: force_close in the background; its answer is in /run/closed.DEVICE.
closer() {
	rm -f "/run/closed.$1"
	{ write_error "$SRV/$1/sessions/$2/force_close" 1 >/run/closed.tmp."$1" && mv /run/closed.tmp."$1" /run/closed."$1"; } &
}
closed() { [ -s "/run/closed.$1" ]; }
gone() { [ ! -e "$SRV/$1/sessions/$2" ]; }

# --- while a backend holds its requests -------------------------------------------------------
check "the backend stops" dmsetup suspend --noflush --nolockfs held
dd if="/dev/$held" of=/dev/null bs=64k count=16 iflag=direct status=none 2>/dev/null &
reader=$!
sleep 1
check "it holds a request" kill -0 $reader
closer dm-0 a
sleep 1
check_fails "whoever closes the device waits" closed dm-0
check "IO on another disk of the session goes on" read_some "$beside"
check "IO of another session goes on" read_some "$other"
check "another session opens a device" timeout 10 dd of=$RNBD_CTL/map_device status=none <<<"sessname=b path=ip:10.0.0.1 device_path=/dev/ram3"
check "and closes it" rnbd_unmap "$(rnbd_list | tail -n 1)"
closer ram1 a
sleep 1
# It waits for the first, or is over: never does it say that something is closed that is not.
honest() { ! closed ram1 || gone ram1 a; }
check "what is said to be closed is" honest
sleep 5
check_eq "both sessions are up" 2 "$(cat /sys/class/rtrs-client/*/paths/*/state | grep -cx connected)"
check "the backend goes on" dmsetup resume held
check "the first close ends" wait_until 20 closed dm-0
check "and the second" wait_until 20 closed ram1
check_eq "both closed something" "ok ok" "$(cat /run/closed.dm-0 /run/closed.ram1 | paste -sd' ')"
check "the one is closed" gone dm-0 a
check "so is the other" gone ram1 a
wait "$reader"
check_fails "its IO fails from now on" read_some "$beside"
check "that of others does not" read_some "$other"
check "unmap" eval "rnbd_unmap $held && rnbd_unmap $beside && rnbd_unmap $other"

# --- closed from both sides at once --------------------------------------------------------------
race() {
	local i n=0 client
	for ((i = 0; i < CLOSES; i++)); do
		rnbd_map race /dev/ram1 || return 1
		# The client says it after its disk is gone, which takes a moment.
		rnbd_unmap "$RNBD_DEV" &
		client=$!
		sleep "0.0$((i % 10))"
		closer ram1 race
		wait "$client" || return 1
		wait_until 10 closed ram1 || return 1
		# The shell finds no file where the client was quicker.
		case $(cat /run/closed.ram1) in ok) n=$((n + 1)) ;; ENODEV | ENOENT | EACCES | EALREADY) ;; *) return 1 ;; esac
		wait_until 10 gone ram1 race || return 1
	done
	note "force_close was the first $n times of $CLOSES"
}
check "the device is closed by its client and by an administrator at once" race
check_eq "nothing is left open" "" "$(ls $SRV)"
check "unload" modprobe -r rnbd_client rnbd_server
check "no leak" kmemleak_scan
summary
