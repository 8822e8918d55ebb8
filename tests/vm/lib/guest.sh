# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What test scripts inside a lab VM share: networks, checks with a count, the
# pair's signals, and looks at memory and the kernel log. Sourced as
# /lab/lib/guest.sh; scripts/lab/vm.sh puts it there.

LAB_PASSED=0
LAB_FAILED=0
LAB_HOST_SEQ=0

note() { printf '# %s\n' "$*"; }

# --- checks -----------------------------------------------------------------

# check DESCRIPTION COMMAND...: the command must succeed.
check() {
	local what=$1 status=0
	shift
	"$@" || status=$?
	lab_result "$what" "$status" "'$*' gave $status"
}

# check_fails DESCRIPTION COMMAND...: the command must fail.
check_fails() {
	local what=$1 status=0
	shift
	"$@" || status=$?
	lab_result "$what" "$((status == 0))" "'$*' succeeded"
}

# check_eq DESCRIPTION WANTED GOT
check_eq() {
	local bad=0
	[ "$2" = "$3" ] || bad=1
	lab_result "$1" "$bad" "wanted '$2', got '$3'"
}

# check_write DESCRIPTION WANTED FILE TEXT: one write(2) must give WANTED: "ok"
# or the name of an error number.
check_write() { check_eq "$1" "$2" "$(write_error "$3" "$4")"; }

# lab_result DESCRIPTION STATUS WHY
lab_result() {
	local number=$((LAB_PASSED + LAB_FAILED + 1))
	if [ "$2" = 0 ]; then
		LAB_PASSED=$((LAB_PASSED + 1))
		printf 'ok %d - %s\n' "$number" "$1"
	else
		LAB_FAILED=$((LAB_FAILED + 1))
		printf 'not ok %d - %s\n' "$number" "$1"
		note "$3"
	fi
}

# results_of PROGRAM ARG...: every line "ok - ..." or "not ok - ..." of it is a check, and one "skip - ..."
# is passed on, for test.sh to count; it has to come to its end, and then prints "N passed, N failed".
results_of() {
	local line ended=1
	while read -r line; do
		case $line in
		"ok - "*) lab_result "${line#ok - }" 0 "" ;;
		"not ok - "*) lab_result "${line#not ok - }" 1 "" ;;
		"skip - "*) printf '%s\n' "$line" ;;
		*" passed, "*" failed") ended=0 ;;
		*) note "$line" ;;
		esac
	done < <("$@" 2>&1)
	[ "$ended" = 0 ] || lab_result "$1 came to its end" 1 "no last line"
}

# summary: the last line of a test; ends the script with its status.
summary() {
	printf '%d passed, %d failed\n' "$LAB_PASSED" "$LAB_FAILED"
	[ "$LAB_FAILED" = 0 ] && [ "$LAB_PASSED" -gt 0 ]
	exit
}

# bail WHY: going on makes no sense.
bail() {
	lab_result "$1" 1 "the rest of the script is skipped"
	summary
}

# write_error FILE TEXT: writes the text with one write(2); prints "ok" or the
# name of the error.
write_error() {
	local text
	if text=$({ printf '%s' "$2" >"$1"; } 2>&1); then
		echo ok
	else
		error_name "$text"
	fi
}

# error_name TEXT: the name of the error that a program's complaint ends with.
error_name() {
	case ${1##*: } in
	"Operation not permitted") echo EPERM ;;
	"No such file or directory") echo ENOENT ;;
	"Input/output error") echo EIO ;;
	"No such device") echo ENODEV ;;
	"No such device or address") echo ENXIO ;;
	"Cannot allocate memory") echo ENOMEM ;;
	"Permission denied") echo EACCES ;;
	"Device or resource busy") echo EBUSY ;;
	"File exists") echo EEXIST ;;
	"Invalid argument") echo EINVAL ;;
	"No space left on device") echo ENOSPC ;;
	"Read-only file system") echo EROFS ;;
	"Numerical result out of range") echo ERANGE ;;
	"File name too long") echo ENAMETOOLONG ;;
	"Operation not supported") echo EOPNOTSUPP ;;
	"Protocol not supported") echo EPROTONOSUPPORT ;;
	"Address family not supported by protocol") echo EAFNOSUPPORT ;;
	"Cannot assign requested address") echo EADDRNOTAVAIL ;;
	"Network is unreachable") echo ENETUNREACH ;;
	"Connection reset by peer") echo ECONNRESET ;;
	"Software caused connection abort") echo ECONNABORTED ;;
	"Connection refused") echo ECONNREFUSED ;;
	"Connection timed out") echo ETIMEDOUT ;;
	"No route to host") echo EHOSTUNREACH ;;
	"Operation already in progress") echo EALREADY ;;
	"Transport endpoint is already connected") echo EISCONN ;;
	"Transport endpoint is not connected") echo ENOTCONN ;;
	"Protocol error") echo EPROTO ;;
	"Stale file handle") echo ESTALE ;;
	"Resource temporarily unavailable") echo EAGAIN ;;
	"Interrupted system call") echo EINTR ;;
	"Bad address") echo EFAULT ;;
	"Not a directory") echo ENOTDIR ;;
	"Is a directory") echo EISDIR ;;
	"Block device required") echo ENOTBLK ;;
	"Argument list too long") echo E2BIG ;;
	"Too many levels of symbolic links") echo ELOOP ;;
	"No medium found") echo ENOMEDIUM ;;
	"Communication error on send") echo ECOMM ;;
	"Link has been severed") echo ENOLINK ;;
	"Network is down") echo ENETDOWN ;;
	*) echo "unknown: $1" ;;
	esac
}

# wait_until SECONDS COMMAND...: until the command succeeds; fails if it does not in that time.
# What takes long is asked less often: on an emulated CPU the asking is most of the work.
wait_until() {
	# SECONDS jumps at full seconds: one more, or up to one would be missing.
	local end=$((SECONDS + $1 + 1)) asked=0
	shift
	until "$@" >/dev/null 2>&1; do
		[ "$SECONDS" -lt "$end" ] || return 1
		asked=$((asked + 1))
		if [ "$asked" -le 40 ]; then sleep 0.1; else sleep 0.5; fi
	done
}

# within_ms LIMIT COMMAND...: the command succeeds before so many milliseconds are over. What is
# late is waited for all the same, so that it does not disturb what comes next.
within_ms() {
	local limit=$1 began took
	shift
	began=$(date +%s%N)
	wait_until 5 "$@" || return 1
	took=$((($(date +%s%N) - began) / 1000000))
	note "after $took ms"
	[ "$took" -le "$limit" ]
}

# within_a_second COMMAND...: the same; the debug kernel gets three.
within_a_second() {
	if [ -e /sys/kernel/debug/kmemleak ]; then
		within_ms 3000 "$@"
	else
		within_ms 1000 "$@"
	fi
}

# --- networks ---------------------------------------------------------------

# setup_loopback_rxe: both roles in this VM, over 10.0.0.1 and fd00:1::1.
setup_loopback_rxe() {
	modprobe -a dummy rdma_rxe || return 1
	ip link add dummy0 type dummy 2>/dev/null
	ip link set dummy0 mtu 9000 up &&
		ip addr add 10.0.0.1/24 dev dummy0 &&
		ip -6 addr add fd00:1::1/64 dev dummy0 nodad &&
		rdma link add rxe0 type rxe netdev dummy0 &&
		wait_until 20 has_gid rxe0 0a00:0001 && wait_until 20 has_gid rxe0 fd00:0001:
}

# has_gid DEVICE PART: the table of addresses is filled by a work item some time after the
# device appears; a connect request that comes before is lost, and so are its repetitions.
has_gid() { grep -q "$2" "/sys/class/infiniband/$1/ports/1/gids/"* 2>/dev/null; }

# setup_pair_rxe: this VM's end of both networks, with rxe0 and rxe1 on top.
# The server is 10.0.N.1 and fd00:N::1, the client 10.0.N.2 and fd00:N::2
# (N is 0, 1).
setup_pair_rxe() {
	local host nic dev mac
	[ "$LAB_ROLE" = server ] && host=1 || host=2
	modprobe -a virtio_net rdma_rxe || return 1
	for nic in 0 1; do
		mac=52:54:00:00:0$nic:0$host
		wait_until 60 nic_of "$mac" || return 1
		dev=$(nic_of "$mac")
		ip link set "$dev" name "net$nic" &&
			ip link set "net$nic" mtu 9000 up &&
			ip addr add "10.0.$nic.$host/24" dev "net$nic" &&
			ip -6 addr add "fd00:$nic::$host/64" dev "net$nic" nodad &&
			rdma link add "rxe$nic" type rxe netdev "net$nic" || return 1
		wait_until 60 has_gid "rxe$nic" "$(printf '0a00:%02x%02x' "$nic" "$host")" &&
			wait_until 60 has_gid "rxe$nic" "$(printf 'fd00:%04x:' "$nic")" || return 1
	done
}

nic_of() {
	local file
	for file in /sys/class/net/*/address; do
		if [ "$(cat "$file")" = "$1" ]; then
			basename "$(dirname "$file")"
			return 0
		fi
	done
	return 1
}

# --- the other VM and the host ----------------------------------------------

# signal NAME [TEXT]: tells the peer; it is kept there until asked for.
signal() { printf 'signal %s %s\n' "$1" "${2:-}" >&9; }

# wait_for NAME SECONDS: until the peer signals it; prints its text. Fails when
# the time is over or the peer's script has ended without the signal.
wait_for() {
	local end=$((SECONDS + $2))
	while [ ! -e "/run/lab/signal.$1" ]; do
		if [ -e /run/lab/signal.peer-exit ] && [ "$1" != peer-exit ]; then
			sleep 0.2
			[ -e "/run/lab/signal.$1" ] && break
			note "waiting for $1: the peer's script has ended"
			return 1
		fi
		if [ "$SECONDS" -ge "$end" ]; then
			note "waiting for $1: $2 seconds are over"
			return 1
		fi
		sleep 0.1
	done
	[ ! -s "/run/lab/signal.$1" ] || grep . "/run/lab/signal.$1"
	rm -f "/run/lab/signal.$1"
}

# host_cmd COMMAND...: asks the runner outside. Commands:
#   link n0 on|off        this VM's link (n0, n1)
#   peer link n0 on|off   the other VM's
#   peer freeze|thaw      stops and continues the other VM's CPUs
#   peer kill|boot        power cut; boot runs its script again from the start
host_cmd() {
	local file
	LAB_HOST_SEQ=$((LAB_HOST_SEQ + 1))
	# The process id: subshells count on their own.
	file=/run/lab/reply.$BASHPID.$LAB_HOST_SEQ
	printf 'host %s %s\n' "$BASHPID.$LAB_HOST_SEQ" "$*" >&9
	wait_until 120 test -e "$file" || return 1
	if [ "$(cat "$file")" != ok ]; then
		note "the host's answer to '$*': $(cat "$file")"
		return 1
	fi
	rm -f "$file"
}

# allow_dmesg REGEX: a complaint of the kernel that this test provokes.
allow_dmesg() { printf 'allow %s\n' "$1" >&9; }

# --- memory and the kernel log ----------------------------------------------

# slab_kib: unreclaimable slab in KiB, once caches are dropped.
slab_kib() { least_of_three meminfo SUnreclaim; }

# meminfo NAME: that line of /proc/meminfo in KiB.
meminfo() { awk -v name="$1:" '$1 == name { print $2 }' /proc/meminfo; }

# used_kib: memory that is in use for anything but caches, in KiB.
used_kib() { least_of_three used_now; }
used_now() {
	echo $(($(meminfo MemTotal) - $(meminfo MemFree) - $(meminfo Cached) - $(meminfo Buffers) - $(meminfo SReclaimable) - $(kept_kib)))
}

# kept_kib: free pages that the processors keep for themselves, in KiB: up to an eighth of all
# memory, and more or less of it at any time.
kept_kib() { awk '/pagesets/ { lists = 1 } lists && $1 == "count:" { pages += $2 } END { print pages * 4 }' /proc/zoneinfo; }

# least_of_three COMMAND...: the least that it prints when asked three times, without caches. What
# was given up just now, or only for a moment taken, is no growth; what has leaked stays.
least_of_three() {
	local least='' now
	for _ in 1 2 3; do
		sync
		echo 3 >/proc/sys/vm/drop_caches
		sleep 0.5
		now=$("$@")
		[ -n "$least" ] && [ "$now" -ge "$least" ] || least=$now
	done
	echo "$least"
}

# kmemleak_scan: fails if the kernel reports leaked objects, and shows them.
# Succeeds on a kernel without kmemleak. An object has to be found unreferenced
# for some seconds before it counts, hence two scans.
kmemleak_scan() {
	local file=/sys/kernel/debug/kmemleak
	[ -w "$file" ] || return 0
	echo scan >"$file" || return 1
	sleep 6
	echo scan >"$file" || return 1
	if [ -s "$file" ] && [ -n "$(head -c 1 "$file")" ]; then
		head -n 200 "$file"
		return 1
	fi
}

# dmesg_mark NAME: a line in the kernel log; dmesg_since NAME prints what followed.
dmesg_mark() { echo "lab: mark $1" >/dev/kmsg; }
dmesg_since() { dmesg | sed -n "/lab: mark $1\$/,\$p" | sed 1d; }
# logged NAME TEXT: whether the text was logged since that mark.
logged() { dmesg_since "$1" | grep -qF -- "$2"; }
