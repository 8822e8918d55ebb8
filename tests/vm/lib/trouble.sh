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

# clt_map SESSION DEVICE N [option=value...]: maps over N paths; the disk's name is in RNBD_DEV.
clt_map() {
	local session=$1 device=$2 n=$3 before after
	shift 3
	before=$(rnbd_list)
	clt_write "$RNBD_CTL/map_device" "sessname=$session $(path_words "$n")device_path=$device $*" || {
		cat /tmp/clt_write.err
		return 1
	}
	after=$(rnbd_list)
	RNBD_DEV=$(comm -13 <(printf '%s\n' "$before") <(printf '%s\n' "$after") | head -n 1)
	[ -n "$RNBD_DEV" ]
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
	local kind=$1 session=$2 i=$3 seconds=$4 host dir
	case $kind in
	netem)
		# Nothing passes, and nobody is told. A carrier that is lost would be told; but soft-RoCE does
		# not survive a management datagram that it sends meanwhile: its queue pair for them fails,
		# the device hears of no connection any more, from whomever (see datagrams_pass), and
		# "rdma link delete" hangs.
		cut "$i" && sleep "$seconds" && heal "$i"
		;;
	lossy)
		# Not cut, but bad: retries all the time.
		loss "$i" 5 && sleep "$seconds" && heal "$i"
		;;
	clt-rdma | srv-rdma)
		host=${kind%-rdma}
		rdma_gone "$i" "$host" && sleep "$seconds" && rdma_back "$i" "$host" && wait_gids "$host" "$i"
		;;
	disconnect)
		dir=$(path_dir "$session" "$i")
		# The path may be on its way back from the last trouble: not there is cut, too.
		clt_write "$dir/disconnect" 1 && sleep "$seconds"
		;;
	reconnect)
		dir=$(path_dir "$session" "$i")
		clt_write "$dir/reconnect" 1
		;;
	srv-disconnect)
		dir=$(srv_path_dir "$session" "$i")
		in_srv bash -c 'echo 1 >"$0"' "$dir/disconnect"
		sleep "$seconds"
		;;
	*)
		note "no such trouble: $kind"
		return 1
		;;
	esac
}

# datagrams_pass I: programs can connect over network I; none of our modules has a part in that.
datagrams_pass() {
	local server status=0
	in_srv rping -s -a "10.0.$1.1" -p 999 -C 1 >/dev/null 2>&1 &
	server=$!
	sleep 0.3
	in_clt timeout 4 rping -c -a "10.0.$1.1" -p 999 -C 1 >/dev/null 2>&1 || status=1
	kill "$server" 2>/dev/null
	wait "$server" 2>/dev/null
	return "$status"
}

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
	fio --filename="$file" --direct=1 --ioengine=libaio --rw=randrw --iodepth=16 \
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

# io_moves DISK SECONDS: IO goes on.
io_moves() {
	local before
	before=$(io_counts "$1")
	wait_until "$2" eval "[ \"\$(io_counts '$1')\" -gt $((before + 5)) ]"
}
