// SPDX-License-Identifier: GPL-2.0
/*
 * Helpers of rust/block_bio, and the proof that the numbers which that crate
 * spells out in Rust (because bindgen cannot evaluate them) are the kernel's.
 * The list below has one line per Rust constant; keep the two together.
 */
#include <linux/build_bug.h>
#include <linux/ioprio.h>
#include <linux/string.h>
#include <linux/utsname.h>

#include "block_bio.h"

/* rust/block_bio/bdev.rs */
static_assert((__force u32)BLK_OPEN_READ == 1u << 0);
static_assert((__force u32)BLK_OPEN_WRITE == 1u << 1);

/* rust/block_bio/raw.rs */
static_assert(sizeof(struct biox_limits) == 18 * sizeof(u32));

/* rust/block_bio/bio.rs */
static_assert((__force u32)REQ_SYNC == 1u << __REQ_SYNC);
static_assert((__force u32)REQ_FUA == 1u << __REQ_FUA);
static_assert((__force u32)REQ_PREFLUSH == 1u << __REQ_PREFLUSH);
static_assert((__force u32)REQ_NOUNMAP == 1u << __REQ_NOUNMAP);
static_assert((__force u32)REQ_OP_READ == 0);
static_assert((__force u32)REQ_OP_WRITE == 1);
static_assert((__force u32)REQ_OP_DISCARD == 3);
static_assert((__force u32)REQ_OP_SECURE_ERASE == 5);
static_assert((__force u32)REQ_OP_WRITE_ZEROES == 9);
static_assert(SECTOR_SHIFT == 9);
static_assert(IOPRIO_CLASS_SHIFT == 13);
static_assert(IOPRIO_CLASS_IDLE == 3);

/* rust/block_bio/identity.rs */
static_assert(BLK_UID_T10 == 1);
static_assert(BLK_UID_EUI64 == 2);
static_assert(BLK_UID_NAA == 3);

void biox_limits(struct block_device *bdev, struct biox_limits *out)
{
	struct request_queue *q = bdev_get_queue(bdev);

	out->logical_block_size = bdev_logical_block_size(bdev);
	out->physical_block_size = bdev_physical_block_size(bdev);
	out->max_hw_sectors = queue_max_hw_sectors(q);
	out->max_segments = queue_max_segments(q);
	out->io_opt = bdev_io_opt(bdev);
	out->max_discard_sectors = bdev_max_discard_sectors(bdev);
	out->discard_granularity = bdev_discard_granularity(bdev);
	out->discard_alignment = bdev_discard_alignment(bdev);
	out->max_secure_erase_sectors = bdev_max_secure_erase_sectors(bdev);
	out->max_write_zeroes_sectors = bdev_write_zeroes_sectors(bdev);
	out->write_cache = bdev_write_cache(bdev);
	out->fua = bdev_fua(bdev);
	out->rotational = bdev_rot(bdev);
	out->io_min = bdev_io_min(bdev);
	out->dma_alignment = bdev_dma_alignment(bdev);
	out->chunk_sectors = READ_ONCE(q->limits.chunk_sectors);
	out->stable_writes = bdev_stable_writes(bdev);
	out->zoned = bdev_is_zoned(bdev);
}

u32 biox_logical_block_size(struct block_device *bdev)
{
	return bdev_logical_block_size(bdev);
}

bool biox_read_only(struct block_device *bdev)
{
	return bdev_read_only(bdev);
}

bool biox_is_partition(struct block_device *bdev)
{
	return bdev_is_partition(bdev);
}

u32 biox_part_number(struct block_device *bdev)
{
	return bdev_partno(bdev);
}

/* The id that the disk was born with: its length, at most 16, or a negative errno. */
int biox_unique_id(struct block_device *bdev, u32 kind, u8 *id)
{
	struct gendisk *disk = bdev->bd_disk;

	if (!disk->fops->get_unique_id)
		return -EOPNOTSUPP;
	return disk->fops->get_unique_id(disk, id, kind);
}

/* The name of this host, always terminated. */
void biox_node_name(char *buf, size_t len)
{
	strscpy(buf, init_uts_ns.name.nodename, len);
}

/* The name of the device's own directory in sysfs, always terminated. */
void biox_name(struct block_device *bdev, char *buf, size_t len)
{
	strscpy(buf, dev_name(&bdev->bd_device), len);
}
