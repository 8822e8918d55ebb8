# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Mapping and exercising RNBD devices from test scripts inside a lab VM; works
# with the modules of this project and with the upstream C modules alike.
# Sourced after guest.sh.

RNBD_CTL=/sys/devices/virtual/rnbd-client/ctl
# A command in front of what maps: hosts.sh enters the client's network namespace by it.
RNBD_IN=

# rnbd_map SESSION DEVICE_PATH [path=ip:...] [option=value...]: maps; the name of
# the new block device is in RNBD_DEV. Without a path over 10.0.0.1.
rnbd_map() {
	local session=$1 device=$2 path before after
	shift 2
	case " $*" in *" path="*) path='' ;; *) path='path=ip:10.0.0.1' ;; esac
	before=$(rnbd_list)
	# shellcheck disable=SC2086
	printf 'sessname=%s' "$session $path device_path=$device $*" | $RNBD_IN dd of="$RNBD_CTL/map_device" bs=64K \
		iflag=fullblock status=none || return 1
	after=$(rnbd_list)
	RNBD_DEV=$(comm -13 <(printf '%s\n' "$before") <(printf '%s\n' "$after") | head -n 1)
	[ -n "$RNBD_DEV" ]
}

# rnbd_list: the mapped block devices, one per line, sorted.
rnbd_list() {
	local dir
	for dir in /sys/block/rnbd*; do
		[ -e "$dir" ] && basename "$dir"
	done | sort
}

# rnbd_unmap DEVICE [normal|force]
rnbd_unmap() { echo "${2:-normal}" >"/sys/block/$1/rnbd/unmap_device"; }

# map_refused DESCRIPTION ERRNO OPTIONS [REASON]: a mapping that is refused, and the reason in the log.
map_refused() {
	dmesg_mark "$1"
	check_write "$1" "$2" "$RNBD_CTL/map_device" "$3"
	[ -z "${4:-}" ] || check "$1: the log says why" logged "$1" "$4"
}

# fio_verify FILE SECONDS [fio options]: random mixed IO of 512 B to 1 MiB, every
# block written is read back and compared. For several jobs give each its own
# part: --numjobs=4 --size=25% --offset_increment=25%. Prints the rates only,
# and everything when it fails. With so many sizes fio cannot tell an old block from the newest:
# what has to see a lost write or a late one takes load_start of trouble.sh.
fio_verify() {
	local file=$1 seconds=$2 out=/tmp/fio.$BASHPID
	shift 2
	if fio --name=verify --filename="$file" --direct=1 --ioengine=libaio --rw=randrw \
		--bssplit=512/10:4k/40:64k/20:128k/20:1m/10 --blockalign=512 --iodepth=32 \
		--verify=crc32c --verify_fatal=1 --verify_backlog=64 --serialize_overlap=1 \
		--time_based --runtime="$seconds" --randrepeat=0 --eta=never --group_reporting \
		"$@" >"$out" 2>&1; then
		sed -n 's/^ *\(read\|write\): IOPS/# fio \1: IOPS/p' "$out"
		rm -f "$out"
		return 0
	fi
	cat "$out"
	rm -f "$out"
	return 1
}
