#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Runs in a VM: loads the self-test module kx_base (its checks run in init),
# then exercises its sysfs tree, parameters and unloading.
#
#   scripts/lab/vm.sh run --name base --ko DIR --script tests/vm/base/base.sh

# shellcheck source=/dev/null
. /lab/lib/guest.sh

CTL=/sys/devices/virtual/kx-base/ctl
QUIET=/sys/devices/virtual/kx-base/quiet
PARAMETERS=/sys/module/kx_base/parameters
mode() { stat -c %a "$1"; }
log_has() { dmesg | grep -qF "$1"; }

# --- parameters -------------------------------------------------------------

check "the module loads with its defaults" modprobe kx_base
check "its own checks pass" log_has "kx_base: ok"
check_eq "int parameter" 512 "$(cat $PARAMETERS/number)"
check_eq "ushort parameter" 1234 "$(cat $PARAMETERS/port_nr)"
check_eq "bool parameter" Y "$(cat $PARAMETERS/switch_on)"
check_eq "string parameter" / "$(cat $PARAMETERS/dev_search_path)"
check_eq "string parameter with its newline" 2 "$(wc -c <$PARAMETERS/dev_search_path)"
for name in number port_nr switch_on dev_search_path; do
	check_eq "mode of $name" 444 "$(mode $PARAMETERS/$name)"
done
if command -v modinfo >/dev/null; then
	check_eq "modinfo tells type and text" "port_nr:A port (ushort)" \
		"$(modinfo -p kx_base | grep port_nr)"
fi
check "rmmod" rmmod kx_base

long=$(printf 'x%.0s' $(seq 4095))
check_fails "a string of 4096 bytes" modprobe kx_base dev_search_path="x$long"
check_fails "a string the check refuses" modprobe kx_base dev_search_path=bad
check_fails "a number out of range" modprobe kx_base port_nr=65536
check "a string of 4095 bytes" modprobe kx_base dev_search_path="$long"
# A page with a newline, less the byte that sysfs does not allow.
check_eq "it reads back within a page" 4095 "$(wc -c <$PARAMETERS/dev_search_path)"
rmmod kx_base
check "values" modprobe kx_base number=-3 port_nr=7 switch_on=N \
	'dev_search_path="/a/%SESSNAME%'$'\n''junk"'
check_eq "int given" -3 "$(cat $PARAMETERS/number)"
check_eq "ushort given" 7 "$(cat $PARAMETERS/port_nr)"
check_eq "bool given" N "$(cat $PARAMETERS/switch_on)"
check_eq "cut at the newline" /a/%SESSNAME% "$(cat $PARAMETERS/dev_search_path)"
check "the room sees the same" log_has "number -3 port_nr 7 switch_on false dev_search_path /a/%SESSNAME%"

# --- files --------------------------------------------------------------------

check_eq "mode of a read-write file" 644 "$(mode $CTL/value)"
check_eq "mode of a read-only file" 444 "$(mode $CTL/long)"
check_eq "mode of a write-only file" 200 "$(mode $CTL/make)"
check "it is in the class" test -e /sys/class/kx-base/ctl/value
check_write "a write" ok $CTL/value $'hello\n'
check_eq "raw bytes come back" 6 "$(wc -c <$CTL/value)"
check_write "an error of store" EINVAL $CTL/value '!'
check_fails "an error of show" cat $CTL/fail
check_eq "a long show is cut below a page" 4095 "$(wc -c <$CTL/long)"
check_fails "a read-only file cannot be written" sh -c "echo x >$CTL/long"
check_fails "a write-only file cannot be read" cat $CTL/make

# --- directories, links, removal from inside ------------------------------------

check_write "make a directory" ok $CTL/make one
check_eq "its file" child "$(cat $CTL/sub/one/self)"
check_eq "through the link" child "$(cat $CTL/links/one/self)"
check_write "the same name again" EEXIST $CTL/make one
check_write "another" ok $CTL/make two
check_write "it removes itself" ok $CTL/sub/one/suicide x
check_fails "it is gone when write returns" test -e $CTL/sub/one
check_fails "its link too" test -L $CTL/links/one
check "the data lived until the end" log_has "removed one"
check "the other is there" test -e $CTL/sub/two/self
check_write "the name is free again" ok $CTL/make one

# Many writers, one winner; a reader that holds the file open.
for round in 1 2 3 4 5; do
	echo "race$round" >$CTL/make
	cat "$CTL/sub/race$round/slow" >/dev/null 2>&1 &
	for _ in 1 2 3 4; do
		(echo x >"$CTL/sub/race$round/suicide" && echo won >>/tmp/won$round) 2>/dev/null &
	done
	wait
	check_eq "one writer of four wins ($round)" 1 "$(wc -l </tmp/won$round)"
	check_fails "removed ($round)" test -e "$CTL/sub/race$round"
done

# The owner removes a directory while its files remove themselves or are read.
for round in $(seq 20); do
	for name in a b c d; do echo $name >$CTL/make; done
	for name in a b c d; do
		(echo x >$CTL/sub/$name/suicide) 2>/dev/null &
		cat $CTL/sub/$name/slow >/dev/null 2>&1 &
	done
	echo x >$CTL/reap &
	wait
done
check_eq "all are gone after reaping" "" "$(find $CTL/sub $CTL/links -name '[abcd]')"

# The module cannot go while such a function still runs.
echo last >$CTL/make
(echo slow >$CTL/sub/last/suicide) &
check "its directory goes first" wait_until 5 test ! -e $CTL/sub/last
check_fails "rmmod while it runs" rmmod kx_base
wait

# --- announcing -------------------------------------------------------------------

check_eq "an unannounced device has its files" quiet "$(cat $QUIET/state)"
check_write "announce it" ok $CTL/announce x
check_write "and once more" ok $CTL/announce x
if command -v udevadm >/dev/null; then
	check "it still answers" test -e $QUIET/uevent
fi

# --- unloading with everything in place ---------------------------------------------

for i in $(seq 20); do echo "dir$i" >$CTL/make; done
(while cat $CTL/sub/dir3/slow $CTL/long; do :; done) >/dev/null 2>&1 &
reader=$!
sleep 0.1
for _ in 1 2 3 4 5; do
	rmmod kx_base && break
	sleep 0.2
done
check_fails "the tree is gone" test -e /sys/devices/virtual/kx-base
check_fails "the class is gone" test -e /sys/class/kx-base
wait $reader

cycles=0
for _ in $(seq 30); do
	if ! { modprobe kx_base && echo "cycle" >$CTL/make && rmmod kx_base; }; then break; fi
	cycles=$((cycles + 1))
done
check_eq "30 loads and unloads" 30 "$cycles"

kmemleak_scan
summary
