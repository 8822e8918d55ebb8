# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Two hosts in one VM: the network namespaces `srv` and `clt`, joined by veth pairs
# with an rxe device on each end. Sourced after guest.sh and rnbd.sh.
#
# Network i (0, 1, ...) is net<i> in both; the server is 10.0.i.1 and fd00:i::1 with
# RDMA device srv<i>, the client 10.0.i.2 and fd00:i::2 with clt<i>. RDMA devices,
# sysfs and block devices are those of the whole VM: only addresses differ.

# setup_two_hosts [N]: N networks (1). From then on rnbd_map maps as the client.
setup_two_hosts() {
	local count=${1:-1} i
	modprobe -a veth rdma_rxe sch_netem || return 1
	mkdir -p /run/netns
	ip netns add srv && ip netns add clt || return 1
	# shellcheck disable=SC2034  # rnbd.sh uses it.
	RNBD_IN="nsenter --net=/run/netns/clt"
	in_srv ip link set lo up && in_clt ip link set lo up || return 1
	for ((i = 0; i < count; i++)); do
		host_network "$i" || return 1
	done
	for ((i = 0; i < count; i++)); do
		wait_gids srv "$i" && wait_gids clt "$i" || return 1
	done
}

# host_network I: makes network I without waiting for its addresses in the RDMA devices.
host_network() {
	local i=$1
	ip -n srv link add "net$i" mtu 9000 type veth peer name "net$i" mtu 9000 netns clt &&
		host_end srv "$i" 1 && host_end clt "$i" 2
}

# host_end NET I HOST
host_end() {
	local net=$1 i=$2 host=$3
	ip netns exec "$net" sh -c "echo 1 >/proc/sys/net/ipv6/conf/net$i/keep_addr_on_down"
	ip -n "$net" link set "net$i" up &&
		ip -n "$net" addr add "10.0.$i.$host/24" dev "net$i" &&
		ip -n "$net" -6 addr add "fd00:$i::$host/64" dev "net$i" nodad &&
		rdma_back "$i" "$net"
}

# wait_gids NET I: until the RDMA device has both addresses; a connect request that comes
# before is lost.
wait_gids() {
	local host=1
	[ "$1" = srv ] || host=2
	wait_until 20 has_gid "$1$2" "$(printf '0a00:%02x%02x' "$2" "$host")" &&
		wait_until 20 has_gid "$1$2" "$(printf 'fd00:%04x:' "$2")"
}

# in_srv, in_clt COMMAND...: in that host's namespace; COMMAND may be a function of this
# shell (but what it sets is lost).
in_srv() { in_net srv "$@"; }
in_clt() { in_net clt "$@"; }
in_net() {
	local net=$1
	shift
	if [ "$(type -t "$1")" = function ]; then
		nsenter --net="/run/netns/$net" bash -c "$(declare -f)"'; "$@"' in_net "$@"
	else
		nsenter --net="/run/netns/$net" "$@"
	fi
}

# netns_number NET: as the kernel and ctl/listen name it.
netns_number() { stat -L -c %i "/run/netns/$1"; }

# cut I: nothing passes network I in either direction, and nobody is told. heal I.
# (With other arguments it is the program of that name.)
cut() {
	case $* in
	[0-9] | [0-9][0-9]) loss "$1" 100 ;;
	*) command cut "$@" ;;
	esac
}
heal() {
	local net
	for net in srv clt; do
		ip netns exec "$net" tc qdisc del dev "net$1" root 2>/dev/null
	done
	return 0
}

# loss I PERCENT: that share of packets is lost in either direction.
loss() {
	local net
	for net in srv clt; do
		ip netns exec "$net" tc qdisc replace dev "net$1" root netem limit 10000 loss "$2%" || return 1
	done
}

# rdma_gone I NET: the RDMA device of that end is removed; rdma_back I NET adds it anew
# (wait_gids NET I before connecting over it).
rdma_gone() { rdma link delete "$2$1"; }
rdma_back() { in_net "$2" rdma link add "$2$1" type rxe netdev "net$1"; }
