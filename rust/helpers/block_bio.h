/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What rust/block_bio needs from C: inline accessors of block devices, asked
 * for in one go.
 */
#ifndef _RUST_HELPERS_BLOCK_BIO_H
#define _RUST_HELPERS_BLOCK_BIO_H

#include <linux/blkdev.h>
#include <linux/types.h>

/* Mirrored by `RawLimits` in rust/block_bio/raw.rs: 32-bit words only. */
struct biox_limits {
	u32 logical_block_size;
	u32 physical_block_size;
	u32 max_hw_sectors;
	u32 max_segments;
	u32 io_opt;
	u32 max_discard_sectors;
	u32 discard_granularity;
	u32 discard_alignment;
	u32 max_secure_erase_sectors;
	u32 max_write_zeroes_sectors;
	u32 write_cache;
	u32 fua;
	u32 rotational;
	u32 io_min;
	u32 dma_alignment;
	u32 chunk_sectors;
	u32 stable_writes;
	u32 zoned;
};

void biox_limits(struct block_device *bdev, struct biox_limits *out);
u32 biox_logical_block_size(struct block_device *bdev);
bool biox_read_only(struct block_device *bdev);
bool biox_is_partition(struct block_device *bdev);
u32 biox_part_number(struct block_device *bdev);
int biox_unique_id(struct block_device *bdev, u32 kind, u8 *id);
void biox_node_name(char *buf, size_t len);
void biox_name(struct block_device *bdev, char *buf, size_t len);

#endif
