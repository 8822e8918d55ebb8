# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Two hosts with several paths between them, and everything that can happen to a
# path. Sourced after guest.sh and rnbd.sh; hosts.sh makes the hosts.
#
# Path I (counted from 0) leads from 10.0.I.2 (client) to 10.0.I.1 (server).

. /lab/lib/hosts.sh

CLT_CLASS=/sys/class/rtrs-client
SRV_CLASS=/sys/class/rtrs-server
# Where the load writes what it saw.
LOAD_LOG=/tmp/load.log

# trouble_setup N [MODULE_PARAMETER...]: hosts with N paths, and all modules; the
# parameters are rtrs_server's.
trouble_setup() {
	local n=$1
	shift
	setup_two_hosts "$n" || return 1
	in_srv modprobe rtrs_server "$@" && in_srv modprobe rnbd_server && in_clt modprobe rnbd_client
}

# path_words N: the path= options of paths 0 to N-1.
path_words() {
	local i
	for ((i = 0; i < $1; i++)); do
		printf 'path=ip:10.0.%d.2@ip:10.0.%d.1 ' "$i" "$i"
	done
}

# clt_write FILE TEXT: one write(2) by a process of the client's host.
# shellcheck disable=SC2016  # The inner shell expands these.
clt_write() { in_clt bash -c 'printf "%s" "$1" >"$2"' clt_write "$2" "$1" 2>/tmp/clt_write.err; }
# srv_write FILE TEXT: the same on the server's host.
# shellcheck disable=SC2016
srv_write() { in_srv bash -c 'printf "%s" "$1" >"$2"' srv_write "$2" "$1" 2>/tmp/srv_write.err; }

# clt_map SESSION DEVICE N [option=value...]: maps over N paths; the disk's name is in RNBD_DEV.
clt_map() {
	local session=$1 device=$2 n=$3
	shift 3
	# shellcheck disable=SC2046  # A word for each path.
	rnbd_map "$session" "$device" $(path_words "$n") "$@"
}

# path_dir SESSION I, srv_path_dir SESSION I: a path's directory, empty if there is none.
path_dir() { find_path "$CLT_CLASS/$1/paths" "$2"; }
srv_path_dir() { find_path "$SRV_CLASS/$1/paths" "$2"; }
find_path() {
	local dir
	for dir in "$1"/*"@ip:10.0.$2.1"; do
		[ -d "$dir" ] && printf '%s\n' "$dir"
	done
}

# path_state SESSION I: connected, disconnected or gone.
path_state() {
	local dir
	dir=$(path_dir "$1" "$2")
	cat "$dir/state" 2>/dev/null || echo gone
}
path_is() { [ "$(path_state "$1" "$2")" = "$3" ]; }

# paths_up SESSION N: all of the first N paths are connected.
paths_up() {
	local i
	for ((i = 0; i < $2; i++)); do
		path_is "$1" "$i" connected || return 1
	done
}

# path_poke SESSION I: asks a path that is down to connect at once. A path that
# lost its adapter or was disconnected by hand does not come back by itself.
path_poke() {
	local dir
	path_is "$1" "$2" connected && return 0
	dir=$(path_dir "$1" "$2")
	if [ -n "$dir" ]; then
		clt_write "$dir/reconnect" 1
	else
		clt_write "$CLT_CLASS/$1/add_path" "ip:10.0.$2.2@ip:10.0.$2.1"
	fi
	path_is "$1" "$2" connected
}

# path_back SESSION I SECONDS: until the path is connected, with help.
path_back() {
	local end=$((SECONDS + $3))
	until path_poke "$1" "$2"; do
		if [ "$SECONDS" -ge "$end" ]; then
			[ ! -e /run/netns/srv ] || datagrams_pass "$2" || note "soft-RoCE is deaf on network $2"
			return 1
		fi
		sleep 0.5
	done
}

# trouble KIND SESSION I SECONDS: a path is cut, stays so for a while, and is
# restored. It is then for path_back to wait for it.
trouble() {
	path_cut "$1" "$2" "$3" || return
	# That one is over at once.
	[ "$1" = reconnect ] || sleep "$4"
	path_heal "$1" "$3"
}

# path_cut KIND SESSION I: begins a trouble. All but lossy and reconnect take the path away.
path_cut() {
	local kind=$1 session=$2 i=$3
	case $kind in
	# Nothing passes, and nobody is told.
	netem) cut "$i" ;;
	# Whoever sends is told, on the other host as well, whose carrier goes.
	clt-ifdown | srv-ifdown) ip -n "${kind%-ifdown}" link set "net$i" down ;;
	# Not cut, but bad: retries all the time.
	lossy) loss "$i" 5 ;;
	clt-rdma | srv-rdma) rdma_gone "$i" "${kind%-rdma}" ;;
	disconnect | reconnect) clt_write "$(path_dir "$session" "$i")/$kind" 1 ;;
	srv-disconnect) srv_write "$(srv_path_dir "$session" "$i")/disconnect" 1 ;;
	*)
		note "no such trouble: $kind"
		return 1
		;;
	esac
}

# path_heal KIND I: ends what path_cut began; it is for path_back to connect the path.
path_heal() {
	case $1 in
	netem | lossy) heal "$2" ;;
	clt-ifdown | srv-ifdown) ip -n "${1%-ifdown}" link set "net$2" up && make_hear "$2" ;;
	clt-rdma | srv-rdma) rdma_back "$2" "${1%-rdma}" && wait_gids "${1%-rdma}" "$2" ;;
	esac
}

# make_hear I: soft-RoCE does not survive a management datagram that it sends without a carrier:
# its queue pair for them fails, and the device hears of no connection any more, from whomever.
# Such devices are made anew; whose it was is not to be seen.
make_hear() {
	local net
	datagrams_pass "$1" && return
	note "soft-RoCE is deaf on network $1, and is made anew"
	for net in clt srv; do
		rdma_gone "$1" "$net" && rdma_back "$1" "$net" && wait_gids "$net" "$1" || return
	done
}

# failed_over SESSION: how many requests went again over another path than at first.
failed_over() { awk '{ sum += $6 } END { print sum + 0 }' "$CLT_CLASS/$1"/paths/*/stats/rdma; }

# datagrams_pass I: programs can connect over network I; none of our modules has a part in that.
datagrams_pass() {
	local server status=0
	nsenter --net=/run/netns/srv rping -s -a "10.0.$1.1" -p 999 -C 1 >/dev/null 2>&1 &
	server=$!
	sleep 0.3
	in_clt timeout 4 rping -c -a "10.0.$1.1" -p 999 -C 1 >/dev/null 2>&1 || status=1
	kill "$server" 2>/dev/null
	wait "$server" 2>/dev/null
	return "$status"
}

# --- a machine of its own as the server ---------------------------------------------

# pair_setup: this VM is the client's host, and another the server's. Networks are cut here, in
# both directions: what arrives goes to a device that drops it.
pair_setup() {
	setup_pair_rxe && modprobe -a sch_netem sch_ingress cls_matchall act_mirred dummy || return
	[ -d /sys/class/net/nowhere ] || ip link add nowhere type dummy || return
	ip link set nowhere up || return
	in_clt() { "$@"; }
	loss() {
		tc qdisc replace dev "net$1" root netem limit 10000 loss "$2%" || return
		[ "$2" = 100 ] || return 0
		tc qdisc add dev "net$1" ingress && tc filter add dev "net$1" ingress matchall \
			action mirred egress redirect dev nowhere
	}
	heal() {
		tc qdisc del dev "net$1" root || return
		# There is none after a loss.
		tc qdisc del dev "net$1" ingress 2>/dev/null || true
	}
	# Only the client's host has its devices in reach.
	rdma_gone() { rdma link delete "rxe$1"; }
	rdma_back() { rdma link add "rxe$1" type rxe netdev "net$1"; }
	wait_gids() { wait_until 20 has_gid "rxe$2" "$(printf '0a00:%02x02' "$2")"; }
}

# --- modules, load ------------------------------------------------------------------

# unload_all: every module of ours; says which one does not go.
unload_all() {
	local module
	for module in rnbd_client rnbd_server rtrs_client rtrs_server rtrs_core; do
		[ ! -d "/sys/module/$module" ] || wait_until 10 rmmod "$module" || {
			note "$module stays"
			return 1
		}
	done
}

# load_start FILE MIB [OFFSET]: verified IO on so many MiB of it in the background until load_stop:
# 4 KiB on one half, 64 KiB on the other. With one size each and without a time limit fio knows
# the number of the write that a block has to show, so a write that was lost, or one that came
# late, is a miscompare. The log is LOAD_LOG. It comes in bursts of 64, at full depth, RATE (150) in
# a second: where every instruction is emulated, idle time is what is cheap.
load_start() {
	local file=$1 half=$(($2 / 2)) offset=${3:-0}
	# Signals that end a shell must reach fio itself, hence no function in between.
	fio --filename="$file" --direct=1 --ioengine=libaio --rw=randrw --iodepth=32 \
		--thinktime=$((128000000 / ${RATE:-150})) --thinktime_blocks=64 --io_size=1t --randrepeat=0 \
		--verify=crc32c --verify_fatal=1 --verify_backlog=64 --serialize_overlap=1 \
		--eta=never --group_reporting \
		--name=small --bs=4k --offset="${offset}m" --size="${half}m" \
		--name=large --bs=64k --offset="$((offset + half))m" --size="${half}m" >"$LOAD_LOG" 2>&1 &
	LOAD_PID=$!
}

load_alive() { kill -0 "$LOAD_PID" 2>/dev/null; }

# load_stop: ends the load in good order; fails if it had ended, or seen an error.
load_stop() {
	local status=0
	if ! load_alive; then
		wait "$LOAD_PID"
		note "the load has ended by itself with status $?"
		cat "$LOAD_LOG"
		return 1
	fi
	kill -INT "$LOAD_PID"
	if ! timeout 120 tail --pid="$LOAD_PID" -s 0.2 -f /dev/null; then
		note "the load does not end; blocked tasks are in the kernel log"
		echo w >/proc/sysrq-trigger
		return 1
	fi
	wait "$LOAD_PID" || status=$?
	# fio's own status after an interrupt says nothing.
	if ! grep -q 'err= 0' "$LOAD_LOG" || grep -qiE 'verify:|bad header|error=' "$LOAD_LOG"; then
		note "fio's status $status"
		cat "$LOAD_LOG"
		return 1
	fi
	sed -n 's/^ *\(read\|write\): IOPS/# fio \1: IOPS/p' "$LOAD_LOG"
}

# io_counts DISK: reads and writes that have ended on the disk.
io_counts() { awk '{ print $1 + $5 }' "/sys/block/$1/stat"; }

# io_moves DISK SECONDS [COUNT]: more than so many requests (5) end within that time. More than
# were in flight at first shows that new ones do.
io_moves() {
	local wanted=$(($(io_counts "$1") + ${3:-5}))
	wait_until "$2" io_count_is_over "$1" "$wanted"
}
io_count_is_over() { [ "$(io_counts "$1")" -gt "$2" ]; }
