# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What people put on a RAID: dm-crypt, LVM on that, XFS on top. Sourced after guest.sh.

# tower_up DEVICE MIB: builds it on the device, mounted at /mnt/xfs, with a logical volume of
# that size.
tower_up() {
	local sectors key crypt
	sectors=$(blockdev --getsz "$1")
	key=$(head -c 64 /dev/urandom | od -An -v -tx1 | tr -d ' \n')
	check "dm-crypt on it" dmsetup create secret --table "0 $sectors crypt aes-xts-plain64 $key 0 $1 0"
	mkdir -p /etc/lvm /run/lock/lvm
	cat >/etc/lvm/lvm.conf <<'END'
activation { udev_sync = 0 udev_rules = 0 verify_udev_operations = 1 monitoring = 0 }
devices { obtain_device_list_from_udev = 0 use_devicesfile = 0 external_device_info_source = "none" }
global { event_activation = 0 use_lvmlockd = 0 }
END
	crypt=/dev/$(basename "$(dmsetup info -c --noheadings -o blkdevname secret)")
	check "LVM on that" eval "lvm pvcreate -qq -y $crypt && lvm vgcreate -qq vg $crypt && lvm lvcreate -qq -y -Wn -Zn -L ${2}m -n lv vg"
	TOWER=/dev/$(dmsetup info -c --noheadings -o blkdevname vg-lv)
	[ -b "$TOWER" ] || bail "no logical volume"
	# Smaller than XFS likes; these tell it that a test knows what it does.
	check "XFS on top" env TEST_DIR=x TEST_DEV=x QA_CHECK_FS=1 mkfs.xfs -q -f -m rmapbt=0,reflink=0 -d agcount=2 "$TOWER"
	mkdir -p /mnt/xfs
	check "mount" mount "$TOWER" /mnt/xfs
}

# tower_down: takes it down again, when its file system was found to be whole.
tower_down() {
	check "umount" umount /mnt/xfs
	check "xfs_repair finds nothing" xfs_repair -n "$TOWER"
	check "take LVM down" lvm vgchange -qq -an vg
	check "take dm-crypt down" dmsetup remove --retry secret
}
