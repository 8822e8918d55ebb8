#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Flush and FUA through the whole stack: the backend has a volatile cache and loses
# power at random moments. What fsync has promised is there afterwards, and the file
# system is consistent. Environment: AI=Y|N, ROUNDS.
#
# This stands where others replay the log of dm-log-writes, whose target the kernel has, but
# whose replaying program no Debian package. That shows the disk as it was at each flush. Here
# a cut may come between two flushes, and of what was written since the last one any choice of
# sectors is lost, newer ones kept and older ones not: every state that flushes and FUA writes allow may
# be seen, and none other. A flush or a FUA write that does not reach the backend shows in the
# first part, at once, and in the second as files that were promised.

. /lab/lib/guest.sh
. /lab/lib/rnbd.sh
. /lab/lib/slow.sh
. /lab/lib/trouble.sh
AI=${AI:-Y} ROUNDS=${ROUNDS:-4}

check "two hosts, two paths, modules" trouble_setup 2 always_invalidate="$AI" || bail "no network"
check "the backend with a volatile cache" slow_start 48 || bail "no backend"
check "map" clt_map power "$SLOW_DEV" 2
disk=$RNBD_DEV
[ -b "/dev/$disk" ] || bail "no disk appeared"
check_eq "the disk has a write cache" "write back" "$(cat "/sys/block/$disk/queue/write_cache")"
check_eq "and knows FUA" 1 "$(cat "/sys/block/$disk/queue/fua")"

# --- the backend really forgets, and a flush really reaches it -----------------------
stamp() { head -c 1048576 /dev/zero | tr '\0' "$1" | dd of="/dev/$disk" bs=64k iflag=fullblock oflag="$2" conv="$3" status=none; }
letters() { dd if="/dev/$disk" bs=1M count=1 iflag=direct status=none | tr -s '[:upper:]' | head -c 16; }
flushes=$(slow_count flushes)
check "written and flushed" stamp A direct notrunc,fsync
check "the flush has reached the backend" test "$(slow_count flushes)" -gt "$flushes"
slow crash 1
check_eq "a flush makes it last" A "$(letters)"
check "written only" stamp B direct notrunc
slow crash 2
check "what was not flushed may be lost" test "$(letters)" != B
flushes=$(slow_count flushes)
check "written with FUA" stamp C direct,dsync notrunc
slow crash 3
check_eq "FUA makes it last" C "$(letters)"
note "flushes for that: $(($(slow_count flushes) - flushes))"

# --- a file system -------------------------------------------------------------------
check "mkfs.ext4" mkfs.ext4 -q -F -E lazy_itable_init=0,lazy_journal_init=0 "/dev/$disk"
mkdir -p /mnt
# writer: files, each promised on a list once fsync has returned.
writer() {
	local n=0 file
	while :; do
		n=$((n + 1))
		file=r$1.$((n % 40))
		sed -i "/ $file\$/d" /tmp/promised
		head -c $((RANDOM * 3 + 1)) /dev/urandom >"/tmp/new.$1"
		rm -f "/mnt/$file"
		dd if="/tmp/new.$1" of="/mnt/$file" bs=16k conv=fsync status=none 2>/dev/null || return
		echo "$(sha256sum <"/tmp/new.$1" | awk '{ print $1 }') $file" >>/tmp/promised
	done
}
kept() {
	local sum file bad=0
	while read -r sum file; do
		[ "$(sha256sum <"/mnt/$file" | awk '{ print $1 }')" = "$sum" ] || {
			note "$file is not what was promised"
			bad=1
		}
	done </tmp/promised
	return "$bad"
}
for ((round = 0; round < ROUNDS; round++)); do
	: >/tmp/promised
	check "$round: mount" mount -o commit=1 "/dev/$disk" /mnt
	grep -q ' /mnt ' /proc/mounts || bail "no file system"
	writer "$round" &
	pid=$!
	sleep "$((1 + RANDOM % 3)).$((RANDOM % 10))"
	slow fail on
	wait "$pid"
	umount /mnt 2>/dev/null || umount -l /mnt
	slow crash "$RANDOM"
	slow fail off
	# The client has lost its server as well.
	[ $((round % 2)) = 0 ] || {
		check "$round: unmap" wait_until 20 rnbd_unmap "$disk"
		check "$round: map" clt_map power "$SLOW_DEV" 2
		disk=$RNBD_DEV
	}
	note "$round: $(wc -l </tmp/promised) files promised"
	check "$round: something was promised" test -s /tmp/promised
	check "$round: mount after the power cut" mount "/dev/$disk" /mnt
	check "$round: what was promised is there" kept
	check "$round: umount" umount /mnt
	check "$round: the file system is consistent" e2fsck -fn "/dev/$disk"
done
check "unmap" rnbd_unmap "$disk"
check "unload" unload_all
check "the backend goes" slow_stop
summary
