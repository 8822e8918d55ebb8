// SPDX-License-Identifier: GPL-2.0
/*
 * Helpers of rust/block_mq, and the proof that the numbers which that crate
 * spells out in Rust (because bindgen cannot evaluate them) are the kernel's.
 * The list below has one line per Rust constant; keep the two together.
 */
#include <linux/build_bug.h>
#include <linux/hdreg.h>

#include "block_mq.h"

/* rust/block_mq/status.rs */
static_assert((__force u32)BLK_STS_TIMEOUT == 2);
static_assert((__force u32)BLK_STS_TRANSPORT == 4);
static_assert((__force u32)BLK_STS_RESOURCE == 9);
static_assert((__force u32)BLK_STS_IOERR == 10);
static_assert((__force u32)BLK_STS_DEV_RESOURCE == 13);
static_assert((__force u32)BLK_STS_ZONE_OPEN_RESOURCE == 14);
static_assert((__force u32)BLK_STS_ZONE_ACTIVE_RESOURCE == 15);

/* rust/block_mq/request.rs */
static_assert((__force u32)REQ_OP_MASK == 0xff);
static_assert((__force u32)REQ_SYNC == 1u << __REQ_SYNC);
static_assert((__force u32)REQ_FUA == 1u << __REQ_FUA);
static_assert((__force u32)REQ_PREFLUSH == 1u << __REQ_PREFLUSH);
static_assert((__force u32)REQ_NOUNMAP == 1u << __REQ_NOUNMAP);
static_assert((__force u32)RQF_SPECIAL_PAYLOAD == 1u << __RQF_SPECIAL_PAYLOAD);
static_assert((__force u32)REQ_OP_READ == 0);
static_assert((__force u32)REQ_OP_WRITE == 1);
static_assert((__force u32)REQ_OP_FLUSH == 2);
static_assert((__force u32)REQ_OP_DISCARD == 3);
static_assert((__force u32)REQ_OP_SECURE_ERASE == 5);
static_assert((__force u32)REQ_OP_WRITE_ZEROES == 9);

/* rust/block_mq/tag_set.rs */
static_assert(BLK_MQ_F_TAG_HCTX_SHARED == 1u << 3);
static_assert(BLK_MQ_F_NO_SCHED_BY_DEFAULT == 1u << 6);
static_assert(BLK_MQ_MAX_DEPTH == 10240);
static_assert(HCTX_TYPE_DEFAULT == 0);
static_assert(HCTX_TYPE_READ == 1);
static_assert(HCTX_TYPE_POLL == 2);

/* rust/block_mq/queue_limits.rs */
static_assert((__force u32)BLK_FEAT_WRITE_CACHE == 1u << 0);
static_assert((__force u32)BLK_FEAT_FUA == 1u << 1);
static_assert((__force u32)BLK_FEAT_ROTATIONAL == 1u << 2);
static_assert((__force u32)BLK_FEAT_STABLE_WRITES == 1u << 5);
static_assert(SECTOR_SIZE == 512);

/* rust/block_mq/gen_disk.rs */
static_assert((__force u32)BLK_OPEN_WRITE == 1u << 1);
static_assert(DISK_NAME_LEN == 32);
static_assert(DISK_MAX_PARTS == 256);

/* The lock class of the disk is a static of this file, hence a helper. */
struct gendisk *bmqx_alloc_disk(struct blk_mq_tag_set *set,
				struct queue_limits *limits, void *data)
{
	return blk_mq_alloc_disk(set, limits, data);
}

/* The largest logical block, which depends on the configuration. */
u32 bmqx_max_block_size(void)
{
	return BLK_MAX_BLOCK_SIZE;
}

/*
 * A geometry that partitioning tools of old accept: 4 heads of 16 sectors, and
 * as many cylinders as the capacity gives and the field holds.
 */
void bmqx_set_geometry(struct hd_geometry *geo, sector_t sectors)
{
	sector_t cylinders = sectors >> 6;

	geo->heads = 4;
	geo->sectors = 16;
	geo->cylinders = cylinders > USHRT_MAX ? USHRT_MAX : cylinders;
}
