#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Verified IO over two paths to another machine, while networks are cut and the machine
# is frozen. Client and server may each be this project's or upstream's.
# Environment: CLIENT=rust|c, SERVER=rust|c, TROUBLES (how many), FREEZE (seconds, 0 for none).

. /lab/lib/guest.sh
. /lab/lib/rnbd.sh
. /lab/lib/trouble.sh
CLIENT=${CLIENT:-rust} SERVER=${SERVER:-rust} TROUBLES=${TROUBLES:-4} FREEZE=${FREEZE:-10}
in_clt() { "$@"; }

check "network" setup_pair_rxe
check "the server is ready" wait_for ready 180 || bail "no server"
for i in 0 1; do check "the server answers on network $i" wait_until 20 ping -c 1 -W 1 "10.0.$i.1"; done
check "rnbd_client loads" modprobe rnbd_client
clt_map fo /dev/ram0 2 || { sleep 2; check "map, second attempt" clt_map fo /dev/ram0 2; }
disk=$RNBD_DEV
[ -b "/dev/$disk" ] || bail "no disk appeared"
session=$CLT_CLASS/fo
check "both paths are up" wait_until 20 paths_up fo 2
# Upstream's other policies now and then find no path where there is one.
clt_write "$session/mpath_policy" round-robin
for file in "$session/no_path_timeout" "/sys/block/$disk/rnbd/no_path_timeout"; do
	[ ! -e "$file" ] || check "$file" clt_write "$file" -1
done
kinds=(netem disconnect reconnect)
# With upstream's client the death of all paths at once is the end of the IO.
[ "$CLIENT" = c ] || [ "$FREEZE" = 0 ] || kinds=(netem freeze disconnect reconnect)

RATE=${RATE:-60} load_start "/dev/$disk" 32
for ((n = 0; n < TROUBLES; n++)); do
	kind=${kinds[n % ${#kinds[@]}]} i=$((RANDOM % 2))
	started=$SECONDS
	case $kind in
	netem) what="tc qdisc add dev net$i root netem loss 100% && sleep 4 && tc qdisc del dev net$i root" ;;
	freeze) what="host_cmd peer freeze && sleep $FREEZE && host_cmd peer thaw" ;;
	*) what="trouble $kind fo $i 2" ;;
	esac
	check "$n: $kind on path $i" eval "$what"
	check "IO goes on" io_moves "$disk" 60
	check "path $i comes back" path_back fo "$i" 90
	check "the other path is up as well" path_back fo "$((1 - i))" 90
	note "$kind on path $i: $((SECONDS - started)) s"
	load_alive || break
done
check "no error and no miscompare" load_stop
check "unmap" rnbd_unmap "$disk"
check "unload" modprobe -r rnbd_client
signal end
summary
