#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What user space sees of the transport's sessions and paths: every file of
# spec rtrs 7.1 to 7.3 read and compared with its format, what is counted against
# what was sent, resets, events of the kernel, trace points, heartbeats.
#
# Runs with the C modules too (IMPL=c): what this checks then is that the formats
# here are theirs. Environment: IMPL=rust|c.

. /lab/lib/guest.sh
. /lab/lib/rnbd.sh
IMPL=${IMPL:-rust}
CLT=/sys/class/rtrs-client/stats SRV=/sys/class/rtrs-server/stats
PATH_NAME=ip:10.0.0.1@ip:10.0.0.1
EVENTS=/sys/kernel/tracing/events
TRACE=/sys/kernel/tracing

ours() { [ "$IMPL" = rust ]; }
# show FILE: what reading it gives, newlines visible.
show() {
	local text
	# The shell cuts off newlines at the end, so there is something behind them.
	text=$(cat "$1" && printf x)
	text=${text%x}
	printf '%s' "${text//$'\n'/\\n}"
}
# check_format DESCRIPTION REGEX FILE: all of the file, newlines as \n.
check_format() {
	local text
	text=$(show "$3")
	lab_result "$1" "$([[ $text =~ ^$2$ ]]; echo $?)" "got '$text'"
}
# files DIR: the names and modes of a directory's files, without what every device has.
files() {
	find "$1/" -maxdepth 1 -type f ! -name uevent -printf '%f %m\n' | LC_ALL=C sort | tr '\n' ' '
}
write_file() { [ "$(write_error "$1" "$2")" = ok ]; }
field() { cut -d' ' -f"$2" "$1"; }
reads() { field "$P/stats/rdma" 1; }

mount -t tracefs none "$TRACE" 2>/dev/null
check "network" setup_loopback_rxe
modprobe brd rd_nr=1 rd_size=65536 || bail "ram disk"
check "the modules load" modprobe -a rnbd_server rnbd_client

# --- events of the kernel: add comes when the files are there ----------------------
uevents() { [ ! -e /proc/dynamic_debug/control ] || echo "file kobject_uevent.c $1" >/proc/dynamic_debug/control; }
uevents +p
dmesg_mark map
MAPPED=$SECONDS
check "map" rnbd_map stats /dev/ram0
DISK=$RNBD_DEV
uevents -p
P=$CLT/paths/$PATH_NAME S=$SRV/paths/$PATH_NAME
[ -d "$P" ] && [ -d "$S" ] || bail "the directories of the path"
events() { dmesg_since map | grep "kobject: 'stats'" | grep -cE "$1"; }
if [ -e /proc/dynamic_debug/control ]; then
	check_eq "an event for each side's session is held back until its files are there" 2 \
		"$(events 'uevent\(\) returned|caused the event to drop')"
	check_eq "and then sent" 4 "$(events 'kobject_uevent_env$')"
else
	note "this kernel does not tell what events it sends"
fi

# --- files and modes -----------------------------------------------------------------
if ours; then
	check_eq "client: files of a session" \
		"add_path 644 heartbeat_interval_ms 644 heartbeat_missed_max 644 max_reconnect_attempts 644 mpath_policy 644 polled_completions 444 reconnect_backoff_ms 644 reconnect_delay_ms 644 reconnect_jitter_ms 644 " \
		"$(files "$CLT")"
	check_eq "server: files of a session" "heartbeat_interval_ms 644 heartbeat_missed_max 644 " "$(files "$SRV")"
else
	check_eq "client: files of a session" "add_path 644 max_reconnect_attempts 644 mpath_policy 644 " "$(files "$CLT")"
	check_eq "server: files of a session" "" "$(files "$SRV")"
fi
check_eq "client: files of a path" \
	"cur_latency 444 disconnect 644 dst_addr 444 hca_name 444 hca_port 444 reconnect 644 remove_path 644 src_addr 444 state 444 " \
	"$(files "$P")"
check_eq "client: statistics" \
	"cpu_migration_from 644 cpu_migration_to 644 rdma 644 reconnects 644 reset_all 644 " "$(files "$P/stats")"
check_eq "server: files of a path" "disconnect 644 dst_addr 444 hca_name 444 hca_port 444 src_addr 444 " "$(files "$S")"
check_eq "server: statistics" "rdma 644 " "$(files "$S/stats")"

# --- formats ---------------------------------------------------------------------------
check_format "max_reconnect_attempts" '-1\\n' "$CLT/max_reconnect_attempts"
check_format "mpath_policy" 'min-inflight \(MI: 1\)\\n' "$CLT/mpath_policy"
# Texts and what they make of the policy; an empty word: EINVAL.
for row in "0 0" "1 1" "2 2" "rr 0" "Mi 1" "ML 2" "ROUND-robin 0" "min-inflight 1" "min-latencyandmore 2" \
	"3 " "-1 " "rrr " "m " "round " "min " "fastest "; do
	text=${row% *} want=${row##* }
	check_write "mpath_policy takes '$text'" "$([ -n "$want" ] && echo ok || echo EINVAL)" "$CLT/mpath_policy" "$text"
	[ -z "$want" ] || policy=$want
	check_format "it is $policy" "[a-z-]* \\([A-Z]*: $policy\\)\\\\n" "$CLT/mpath_policy"
done
check_write "back to the default" ok "$CLT/mpath_policy" $'min-inflight\n'
check_eq "add_path" \
	'Usage: echo [<source addr>@]<destination addr> > add_path\n\n*addr ::= [ ip:<ipv4|ipv6> | gid:<gid> ]\n' \
	"$(show "$CLT/add_path")"
for which in "$P" "$S"; do
	check_format "hca_name" 'rxe0\\n' "$which/hca_name"
	check_format "hca_port" '1\\n' "$which/hca_port"
	check_format "src_addr" 'ip:10\.0\.0\.1\\n' "$which/src_addr"
	check_format "dst_addr" 'ip:10\.0\.0\.1\\n' "$which/dst_addr"
	check_format "disconnect" 'Usage: echo 1 > disconnect\\n' "$which/disconnect"
done
check_format "state" 'connected\\n' "$P/state"
check_format "reconnect" 'Usage: echo 1 > reconnect\\n' "$P/reconnect"
check_format "remove_path" 'Usage: echo 1 > remove_path\\n' "$P/remove_path"
if [ $((SECONDS - MAPPED)) -lt 4 ]; then
	check_format "cur_latency before the first heartbeat" '0 ns\\n' "$P/cur_latency"
fi
check_format "cur_latency" '[0-9]+ ns\\n' "$P/cur_latency"
cpus=$(grep -c '^processor' /proc/cpuinfo)
check_format "cpu_migration_from" "([0-9]+ ){$cpus}\\\\n" "$P/stats/cpu_migration_from"
check_format "cpu_migration_to" "([0-9]+ ){$cpus}\\\\n" "$P/stats/cpu_migration_to"
check_format "reconnects" '0 0\\n' "$P/stats/reconnects"
check_format "rdma" '[0-9]+ [0-9]+ [0-9]+ [0-9]+ 0 0\\n' "$P/stats/rdma"
check_format "server: rdma" '[0-9]+ [0-9]+ [0-9]+ [0-9]+\\n' "$S/stats/rdma"
check_format "reset_all" 'echo 1 to reset all statistics\\n' "$P/stats/reset_all"

# --- what is counted ---------------------------------------------------------------------
# An operation of RNBD has a header of 32 bytes.
HEADER=32
sleep 1
read -ra before <"$P/stats/rdma"
read -ra served <"$S/stats/rdma"
check "read 1 MiB" dd if="/dev/$DISK" of=/dev/null bs=64k count=16 iflag=direct status=none
check "write 512 KiB" dd if=/dev/urandom of="/dev/$DISK" bs=4k count=128 oflag=direct status=none
read -ra after <"$P/stats/rdma"
read -ra answered <"$S/stats/rdma"
check_eq "client: reads" 16 $((after[0] - before[0]))
check_eq "client: bytes read" $((16 * (65536 + HEADER))) $((after[1] - before[1]))
check_eq "client: writes" 128 $((after[2] - before[2]))
check_eq "client: bytes written" $((128 * (4096 + HEADER))) $((after[3] - before[3]))
for i in 0 1 2 3; do
	check_eq "server: the same (field $((i + 1)))" $((after[i] - before[i])) $((answered[i] - served[i]))
done

# The same with many at once on all processors: nothing is lost.
before=("${after[@]}") served=("${answered[@]}")
check "fio" fio --name=count --filename="/dev/$DISK" --direct=1 --ioengine=libaio --rw=randrw --bs=4k \
	--iodepth=16 --numjobs=2 --number_ios=2000 --size=16m --offset_increment=16m --randrepeat=0 --output=/tmp/fio.out
read -ra after <"$P/stats/rdma"
read -ra answered <"$S/stats/rdma"
check_eq "requests of fio" 4000 $((after[0] - before[0] + after[2] - before[2]))
check_eq "bytes of fio" $((4000 * (4096 + HEADER))) $((after[1] - before[1] + after[3] - before[3]))
check_eq "the server has seen them" 4000 $((answered[0] - served[0] + answered[2] - served[2]))
check_eq "none is in flight" 0 "${after[4]}"
sum() { tr ' ' '\n' <"$1" | awk '{ s += $1 } END { print s }'; }
# Heartbeats are counted, too, and one may come between the two looks.
balanced() { [ "$(sum "$P/stats/cpu_migration_from")" = "$(sum "$P/stats/cpu_migration_to")" ]; }
check "who came from one processor came to another" wait_until 5 balanced

# --- resetting -----------------------------------------------------------------------------
for file in "$P"/stats/* "$S/stats/rdma"; do
	for bad in 0 2 "" 11 "1 " yes; do
		# An empty write does not reach the file.
		[ -n "$bad" ] || continue
		check_write "'$bad' is refused by ${file##*/}" EINVAL "$file" "$bad"
	done
done
check_write "reset the server's rdma" ok "$S/stats/rdma" 1
check_format "it is zero" '0 0 0 0\\n' "$S/stats/rdma"
check "the client's is not" test "$(reads)" -gt 0
check_write "reset rdma, with a newline" ok "$P/stats/rdma" $'1\n'
check_format "it is zero" '0 0 0 0 0 0\\n' "$P/stats/rdma"
check_write "reset cpu_migration_from" ok "$P/stats/cpu_migration_from" 1
# zeroed FILE: a reset by that file leaves no migration counted. A heartbeat may come between.
zeroed() {
	[ "$(write_error "$P/stats/$1" 1)" = ok ] &&
		[[ $(show "$P/stats/cpu_migration_from") =~ ^(0 ){$cpus}\\n$ ]] &&
		[[ $(show "$P/stats/cpu_migration_to") =~ ^(0 ){$cpus}\\n$ ]]
}
check "cpu_migration_from is zero, cpu_migration_to, too" wait_until 5 zeroed cpu_migration_from
check_write "reset reconnects" ok "$P/stats/reconnects" 1
check_format "reconnects" '0 0\\n' "$P/stats/reconnects"
if ours; then
	# L9: the count of what is in flight chooses the path, so it survives. (In C it would be
	# negative now.)
	fio --name=load --filename="/dev/$DISK" --direct=1 --ioengine=libaio --rw=randread --bs=4k \
		--iodepth=32 --time_based --runtime=3 --size=32m --output=/tmp/fio.load &
	load=$!
	check "there is load" wait_until 10 eval '[ "$(field "$P/stats/rdma" 5)" -gt 0 ]'
	for _ in 1 2 3 4 5; do
		check_write "reset all under load" ok "$P/stats/reset_all" 1
	done
	check "the load goes on" wait "$load"
	check_eq "nothing is in flight afterwards" 0 "$(field "$P/stats/rdma" 5)"
	check "and it is counted on" test "$(reads)" -gt 0
fi
check_write "reset all" ok "$P/stats/reset_all" 1
check_format "rdma is zero" '0 0 0 0 0 0\\n' "$P/stats/rdma"
check "the migrations are zero" wait_until 5 zeroed reset_all

# --- trace points ----------------------------------------------------------------------------
if [ -d "$EVENTS" ]; then
	fields() { sed -n 's/^\tfield:\([^;]*\);.*/\1/p' "$EVENTS/$1/format" | grep -v common_ | tr '\n' ','; }
	for event in rtrs_clt_reconnect_work rtrs_clt_close_conns rtrs_rdma_error_recovery; do
		check_eq "rtrs_clt:$event" \
			"int state,int reconnect_attempts,int max_reconnect_attempts,int fail_cnt,int success_cnt,char sessname[255]," \
			"$(fields "rtrs_clt/$event")"
	done
	check_eq "rtrs_srv:send_io_resp_imm" \
		"u8 dir,bool need_inval,bool always_invalidate,u32 msg_id,int wr_cnt,u32 signal_interval,int state,int errno,char sessname[255]," \
		"$(fields rtrs_srv/send_io_resp_imm)"
	echo 1 >"$EVENTS/rtrs_srv/enable"
	echo 1 >"$EVENTS/rtrs_clt/enable"
	dd if="/dev/$DISK" of=/dev/null bs=4k count=3 iflag=direct status=none
	dd if=/dev/zero of="/dev/$DISK" bs=4k count=2 oflag=direct status=none
	traced() { grep -E "$1" "$TRACE/trace"; }
	traced_quietly() { traced "$1" >/dev/null; }
	want="send_io_resp_imm: sess='$PATH_NAME' state='CONNECTED' dir=WRITE err='0' inval='0' glob-inval='1' msgid='[0-9]+' wrcnt='[0-9]+' sig-interval='[0-9]+'$"
	check_eq "answers to writes are traced" 2 "$(traced "$want" | wc -l)"
	check_eq "answers with data are not" 0 "$(traced dir=READ | wc -l)"
	echo 0 >"$EVENTS/rtrs_srv/enable"
	dd if=/dev/zero of="/dev/$DISK" bs=4k count=3 oflag=direct status=none
	check_eq "and no longer when it is off" 2 "$(traced send_io_resp_imm | wc -l)"
else
	note "no tracefs"
fi

# --- heartbeats ---------------------------------------------------------------------------------
if ours; then
	for dir in "$CLT" "$SRV"; do
		side=$(basename "$(dirname "$dir")")
		check_eq "$side: interval" 5000 "$(cat "$dir/heartbeat_interval_ms")"
		check_eq "$side: missed" 5 "$(cat "$dir/heartbeat_missed_max")"
		for bad in 0 99 600001 -5 5s 5000000000 "+500" " 500"; do
			check_write "$side: an interval of '$bad'" EINVAL "$dir/heartbeat_interval_ms" "$bad"
		done
		for bad in 0 1001 -1 x; do
			check_write "$side: '$bad' missed" EINVAL "$dir/heartbeat_missed_max" "$bad"
		done
		check_write "$side: an interval of 500 ms" ok "$dir/heartbeat_interval_ms" 500
		check_write "$side: three missed" ok "$dir/heartbeat_missed_max" $'3\n'
		check_eq "$side: it is shown" 500,3 "$(cat "$dir/heartbeat_interval_ms"),$(cat "$dir/heartbeat_missed_max")"
	done
	check "the round trip is measured soon" wait_until 3 grep -qxE '[1-9][0-9]* ns' "$P/cur_latency"
	sleep 4
	check_format "and the path lives" 'connected\\n' "$P/state"
else
	check "the round trip is measured" wait_until 12 grep -qxE '[1-9][0-9]* ns' "$P/cur_latency"
fi

# --- the times of reconnecting -------------------------------------------------------------------
if ours; then
	for file in "reconnect_delay_ms 30000" "reconnect_backoff_ms 1000" "reconnect_jitter_ms 8000"; do
		value=${file#* } file=${file% *}
		check_format "$file" "$value"'\\n' "$CLT/$file"
		for bad in -1 3600001 5s 5000000000 " 500" " "; do
			check_write "$file refuses '$bad'" EINVAL "$CLT/$file" "$bad"
		done
		[ "$file" != reconnect_backoff_ms ] || check_write "no pause at all" EINVAL "$CLT/$file" 99
		check_write "$file of an hour" ok "$CLT/$file" $'3600000\n'
		check_format "$file is shown" '3600000\\n' "$CLT/$file"
		check_write "$file as before" ok "$CLT/$file" "$value"
	done
fi

# --- losing a path, and connecting it again --------------------------------------------------------
check_write "the server disconnects" ok "$S/disconnect" 1
check "the client notices" wait_until 20 grep -qx disconnected "$P/state"
sleep 1
check "connect it again" wait_until 20 write_file "$P/reconnect" 1
check_format "it is connected" 'connected\\n' "$P/state"
check_format "and counted" '1 [0-9]+\\n' "$P/stats/reconnects"
conn() { printf "%s: RTRS-CLT: sess='%s' state=%s attempts='[0-9]+' max-attempts='-1' fail='[0-9]+' success='0'\$" "$1" "$PATH_NAME" "$2"; }
if [ -d "$EVENTS" ]; then
	check "the loss is traced" traced_quietly "$(conn rtrs_rdma_error_recovery CONNECTED)"
	check "and so is the attempt" traced_quietly "$(conn rtrs_clt_reconnect_work RECONNECTING)"
fi
check_write "reset reconnects" ok "$P/stats/reconnects" 1

# --- the end of a path ----------------------------------------------------------------------------
check_write "disconnect" ok "$P/disconnect" 1
check_format "state" 'disconnected\\n' "$P/state"
check_format "reconnects stay" '0 0\\n' "$P/stats/reconnects"
if [ -d "$EVENTS" ]; then
	check "closing is traced" traced_quietly "$(conn rtrs_clt_close_conns CONNECTED)"
	echo 0 >"$EVENTS/rtrs_clt/enable"
fi
check "unmap" rnbd_unmap "$DISK"
check "the client's session goes" test ! -e "$CLT"
check "the server's, too" wait_until 10 test ! -e "$SRV"

# --- parameters -------------------------------------------------------------------------------------
# row MODULE NAME MODE VALUE
row() {
	local file=/sys/module/$1/parameters/$2
	check_eq "$1.$2" "$3 ${4:-}" "$(stat -c %a "$file" 2>/dev/null) $(cat "$file" 2>/dev/null)"
}
row rtrs_server always_invalidate 444 Y
row rtrs_server max_chunk_size 444 131072
row rtrs_server sess_queue_depth 444 512
row rnbd_server port_nr 444 1234
row rnbd_server dev_search_path 444 /
if ours; then
	row rtrs_server setup_timeout_ms 444 30000
	row rtrs_server setup_limit_ms 444 120000
	row rtrs_server max_memory_mib 444 0
	row rtrs_server max_memory_per_peer_mib 444 0
	row rtrs_server max_paths 444 1024
	row rtrs_server max_paths_per_peer 444 512
	row rtrs_server max_sessions 444 1024
	row rtrs_server max_sessions_per_peer 444 256
	row rtrs_server allowed_clients 644
	row rtrs_client failover_hold_ms 444 1000
	for module in rtrs_server rtrs_client; do
		row $module extensions 444 Y
		row $module heartbeat_interval_ms 444 5000
		row $module heartbeat_missed_max 444 5
	done
	for name in export_files exclusive; do row rnbd_server $name 444 N; done
	row rnbd_server partition_conflicts 444 Y
fi
check "the clients unload" rmmod rnbd_client rtrs_client
check "the servers unload" rmmod rnbd_server rtrs_server
check_fails "their trace points go" test -e "$EVENTS/rtrs_srv/send_io_resp_imm"
if ours; then
	check_fails "an interval out of range" modprobe rtrs_client heartbeat_interval_ms=99
	check_fails "a hold out of range" modprobe rtrs_client failover_hold_ms=600001
	check_fails "nothing missed" modprobe rtrs_server heartbeat_missed_max=0
	check "other heartbeats by parameter" modprobe rtrs_client heartbeat_interval_ms=200 heartbeat_missed_max=4
	check "on the server" modprobe rtrs_server heartbeat_interval_ms=300 heartbeat_missed_max=2
	check "the users load" modprobe -a rnbd_server rnbd_client
	check "map" rnbd_map stats /dev/ram0
	check_eq "client: as given" 200,4 "$(cat $CLT/heartbeat_interval_ms),$(cat $CLT/heartbeat_missed_max)"
	check_eq "server: as given" 300,2 "$(cat $SRV/heartbeat_interval_ms),$(cat $SRV/heartbeat_missed_max)"
	sleep 3
	check_format "the path lives" 'connected\\n' "$P/state"
	check "unmap" rnbd_unmap "$RNBD_DEV"
fi
check "no leak" kmemleak_scan
summary
