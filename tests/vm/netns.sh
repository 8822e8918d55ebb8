#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Network namespaces: server and client each in one of their own, neither in the initial
# one; listening in more than one; who keeps a namespace, and that it goes when nobody does.
# Environment: SECS (fio's time per run).

. /lab/lib/guest.sh
. /lab/lib/rnbd.sh
. /lab/lib/hosts.sh
SECS=${SECS:-1}
LISTEN=/sys/devices/virtual/rnbd-server/ctl/listen

# --- two hosts --------------------------------------------------------------------
setup_two_hosts 2 || bail "two hosts in one VM"
check_fails "the initial namespace does not know the addresses" \
	grep -q net0 /proc/net/dev
modprobe brd rd_nr=2 rd_size=65536 max_part=16 || bail "ram disks"
check "rtrs_server loads" modprobe rtrs_server
check "rnbd_server loads in srv" in_srv modprobe rnbd_server
check "rnbd_client loads" modprobe rnbd_client
check_eq "the server listens in srv only" "$(netns_number srv)" "$(cat "$LISTEN")"

# --- a disk ------------------------------------------------------------------------
check_eq "there is no way from the initial namespace" ENETUNREACH \
	"$(write_error "$RNBD_CTL/map_device" "sessname=none path=ip:10.0.0.1 device_path=/dev/ram0")"
check "map in clt, two paths, IPv4 and IPv6" \
	rnbd_map hosts /dev/ram0 path=ip:10.0.0.2@ip:10.0.0.1 path=ip:fd00:1::2@ip:fd00:1::1
disk=$RNBD_DEV
[ -b "/dev/$disk" ] || bail "no disk appeared"
check_eq "both paths are connected" 2 "$(grep -lx connected /sys/class/rtrs-client/hosts/paths/*/state | wc -l)"
check "its files are seen in every namespace" in_srv test -e "/sys/class/rtrs-client/hosts/paths"
check "and in one with a sysfs of its own" ip netns exec srv test -e /sys/class/rtrs-client/hosts/paths
check "fio verify" fio_verify "/dev/$disk" "$SECS" --iodepth=32
RNBD_IN=''
check_eq "addresses of another namespace are not taken for the session's" EINVAL \
	"$(write_error "$RNBD_CTL/map_device" "sessname=hosts device_path=/dev/ram1 path=ip:10.0.0.1")"
check_eq "without addresses the session is used from everywhere" ok \
	"$(write_error "$RNBD_CTL/map_device" "sessname=hosts device_path=/dev/ram1")"
check "unmap it" rnbd_unmap "$(basename "$(readlink "$RNBD_CTL/devices/!dev!ram1@hosts")")"
RNBD_IN='nsenter --net=/run/netns/clt'

# --- addresses that mean something on one link only -------------------------------------
# Both networks have the same ones: the interface behind the % decides.
link_local() {
	local i
	for i in 0 1; do
		ip -n srv -6 addr add fe80::1/64 dev "net$i" nodad && ip -n clt -6 addr add fe80::2/64 dev "net$i" nodad || return 1
	done
	for i in 0 1; do
		wait_until 20 has_gid "srv$i" fe80:0000:0000:0000:0000:0000:0000:0001 &&
			wait_until 20 has_gid "clt$i" fe80:0000:0000:0000:0000:0000:0000:0002 || return 1
	done
}
check "link-local addresses" link_local
for i in 0 1; do
	check "map over the one on net$i" rnbd_map "local$i" /dev/ram1 "path=ip:fe80::2%net$i@ip:fe80::1%net$i"
	dir=/sys/class/rtrs-client/local$i/paths/ip:fe80::2@ip:fe80::1
	check_eq "its path's name has no interface in it" "${dir##*/}" "$(ls "${dir%/*}")"
	check_eq "it goes over that interface" "clt$i" "$(cat "$dir/hca_name")"
	check_eq "the server sees the same" "srv$i" "$(cat "/sys/class/rtrs-server/local$i/paths/ip:fe80::2@ip:fe80::1/hca_name")"
	check "and carries data" fio_verify "/dev/$RNBD_DEV" 1 --iodepth=8
	check "unmap" rnbd_unmap "$RNBD_DEV"
	check "the server has seen it" wait_until 20 test ! -e "/sys/class/rtrs-server/local$i"
done

# --- listening elsewhere -----------------------------------------------------------
check_eq "listen: garbage" EINVAL "$(write_error "$LISTEN" maybe)"
check_eq "listen: twice in one namespace" EEXIST "$(in_srv write_error "$LISTEN" add)"
check_eq "listen: where nobody listens" ENOENT "$(write_error "$LISTEN" remove)"
check_eq "listen in the initial namespace, too" ok "$(write_error "$LISTEN" add)"
check "an interface there with the same address as srv's" setup_loopback_rxe
RNBD_IN=''
check "map there" rnbd_map same /dev/ram1 path=ip:10.0.0.1
check "data there" fio_verify "/dev/$RNBD_DEV" 1 --iodepth=8
check "the device that carries it is the one of this namespace" \
	grep -qx rxe0 /sys/class/rtrs-client/same/paths/*/hca_name
check "unmap" rnbd_unmap "$RNBD_DEV"
RNBD_IN='nsenter --net=/run/netns/clt'
check_eq "listen: give it up" ok "$(write_error "$LISTEN" remove)"
check_eq "listen: srv only" "$(netns_number srv)" "$(cat "$LISTEN")"

# --- who keeps a namespace ---------------------------------------------------------
# The network devices of a namespace, and rxe on top, are gone with it.
check "unmap while the names exist" rnbd_unmap "$disk"
check "map again" rnbd_map hosts /dev/ram0 path=ip:10.0.0.2@ip:10.0.0.1
disk=$RNBD_DEV
srv=$(netns_number srv)
# Not a veth, whose two ends go together.
ip -n srv link add other0 type dummy && ip -n srv link set other0 up
check "another RDMA device in srv" in_srv rdma link add other0 type rxe netdev other0
ip netns del clt
ip netns del srv
sleep 1
check "namespaces without names live as long as they are used" test -e /sys/class/infiniband/clt0
check "and carry data" fio_verify "/dev/$disk" 1 --iodepth=8
check "unmap" rnbd_unmap "$disk"
check "the client's namespace goes with its last device" wait_until 20 test ! -e /sys/class/infiniband/clt0
check "the server's stays while it listens" test -e /sys/class/infiniband/other0
check_eq "which can be ended from everywhere" ok "$(write_error "$LISTEN" "remove $srv")"
check "then it goes, too" wait_until 20 test ! -e /sys/class/infiniband/other0
check_eq "the server listens nowhere" "" "$(cat "$LISTEN")"

for module in rnbd_client rnbd_server rtrs_client rtrs_server rtrs_core; do
	check "rmmod $module" rmmod "$module"
done
check "no leak" kmemleak_scan
summary
