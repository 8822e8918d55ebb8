/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What rust/block_mq needs from C: calls whose argument types the kernel's own
 * bindings leave opaque. Everything else the crate calls directly.
 */
#ifndef _RUST_HELPERS_BLOCK_MQ_H
#define _RUST_HELPERS_BLOCK_MQ_H

#include <linux/blk-mq.h>
#include <linux/blkdev.h>

struct hd_geometry;

struct gendisk *bmqx_alloc_disk(struct blk_mq_tag_set *set,
				struct queue_limits *limits, void *data);
u32 bmqx_max_block_size(void);
void bmqx_set_geometry(struct hd_geometry *geo, sector_t sectors);

#endif
