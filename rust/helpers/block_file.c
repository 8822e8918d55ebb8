// SPDX-License-Identifier: GPL-2.0
/*
 * Helpers of rust/block_bio for files: the file system is asked from a thread
 * of the kernel, whose allocations must not wait for write-back to ourselves
 * and whose dirty pages are throttled by themselves.
 */
#include <linux/backing-dev.h>
#include <linux/blkdev.h>
#include <linux/cred.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/fs_struct.h>
#include <linux/namei.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/shmem_fs.h>
#include <linux/stat.h>
#include <linux/string.h>
#include <linux/uio.h>

#include "block_bio.h"
#include "block_file.h"

/* rust/block_bio/raw.rs */
static_assert(sizeof(struct biox_file_facts) == 48);

/*
 * Where paths begin: at the root that init has. Up to 7.2 that is the root of the
 * kernel's threads, too; from 7.3 on theirs is empty.
 */
#ifndef scoped_with_init_fs
#define scoped_with_init_fs()
#endif

struct scope {
	unsigned int noio;
	unsigned int throttle;
};

static struct scope enter(void)
{
	struct scope scope = {
		.noio = memalloc_noio_save(),
		.throttle = current->flags & PF_LOCAL_THROTTLE,
	};

	current->flags |= PF_LOCAL_THROTTLE;
	return scope;
}

static void leave(struct scope scope)
{
	if (!scope.throttle)
		current->flags &= ~PF_LOCAL_THROTTLE;
	memalloc_noio_restore(scope.noio);
}

struct file *biox_bdev_open(const char *path, u32 mode, void *holder)
{
	struct file *file = ERR_PTR(-ENOENT);

	scoped_with_init_fs()
		file = bdev_file_open_by_path(path, (__force blk_mode_t)mode, holder, NULL);
	return file;
}

/*
 * Whether bytes that are written to the file are kept, and nothing else happens: what
 * proc, sysfs and their like call regular files shows and changes the kernel.
 */
static bool stores_data(const struct dentry *dentry)
{
	/* Of a file in layers, that of the layer which is there without looking further. */
	struct dentry *real = d_real((struct dentry *)dentry, D_REAL_METADATA);
	struct address_space *mapping = d_inode(real)->i_mapping;

	return mapping_can_writeback(mapping) || shmem_mapping(mapping);
}

/*
 * The kind is tested before the file is opened: opening anything else could wait
 * for a writer or wake a device. dentry_open() leaves it to its caller whether a
 * file that can only grow may be written.
 */
struct file *biox_file_open(const char *path, bool write)
{
	int flags = (write ? O_RDWR : O_RDONLY) | O_LARGEFILE;
	struct file *file;
	struct path at;
	int err = 0;

	scoped_with_init_fs()
		err = kern_path(path, LOOKUP_FOLLOW, &at);
	if (err)
		return ERR_PTR(err);
	if (!d_is_reg(at.dentry) || !stores_data(at.dentry))
		file = ERR_PTR(-ENOTBLK);
	else if (write && (IS_APPEND(d_inode(at.dentry)) || IS_IMMUTABLE(d_inode(at.dentry))))
		file = ERR_PTR(-EPERM);
	else
		file = dentry_open(&at, flags, current_cred());
	path_put(&at);
	return file;
}

void biox_file_facts(struct file *file, struct biox_file_facts *out)
{
	struct inode *inode = file_inode(file);
	struct super_block *sb = inode->i_sb;
	struct kstat stat = {};

	memset(out, 0, sizeof(*out));
	out->ino = inode->i_ino;
	out->generation = inode->i_generation;
	out->sb_dev = sb->s_dev;
	/* Where subvolumes number their files anew, these tell them apart. */
	if (!vfs_getattr(&file->f_path, &stat, STATX_INO | STATX_SUBVOL, AT_STATX_DONT_SYNC)) {
		out->ino = stat.ino;
		out->sb_dev = stat.dev;
		if (stat.result_mask & STATX_SUBVOL)
			out->subvol = stat.subvol;
	}
	out->uuid_len = min_t(u32, sb->s_uuid_len, sizeof(out->uuid));
	memcpy(out->uuid, &sb->s_uuid, out->uuid_len);
}

/* What the page cache and the file system can do, as the limits of a device. */
void biox_file_limits(struct file *file, struct biox_limits *out)
{
	struct inode *inode = file_inode(file);
	struct block_device *below = inode->i_sb->s_bdev;
	u32 block = clamp_t(u32, i_blocksize(inode), 512, 4096);
	bool punch = file->f_op->fallocate;

	memset(out, 0, sizeof(*out));
	out->logical_block_size = 512;
	out->physical_block_size = block;
	out->io_min = block;
	out->max_hw_sectors = UINT_MAX >> 9;
	out->max_segments = USHRT_MAX;
	out->max_discard_sectors = punch ? UINT_MAX >> 9 : 0;
	out->discard_granularity = punch ? block : 0;
	out->max_write_zeroes_sectors = punch ? UINT_MAX >> 9 : 0;
	out->write_cache = 1;
	out->fua = 1;
	out->rotational = below && bdev_rot(below);
	out->dma_alignment = 511;
}

u64 biox_file_size(struct file *file)
{
	return i_size_read(file_inode(file));
}

bool biox_file_read_only(struct file *file)
{
	struct inode *inode = file_inode(file);

	return IS_RDONLY(inode) || IS_IMMUTABLE(inode);
}

/* The path, terminated; 0 or a negative errno. */
int biox_file_path(struct file *file, char *buf, size_t len)
{
	char *path = ERR_PTR(-ENOENT);

	scoped_with_init_fs()
		path = file_path(file, buf, len);
	if (IS_ERR(path))
		return PTR_ERR(path);
	memmove(buf, path, strlen(path) + 1);
	return 0;
}

/* All of it or an error; a file that has become shorter has no data there. */
int biox_file_rw(struct file *file, void *data, size_t len, u64 pos, bool write,
		 bool durable)
{
	struct kvec vec = { .iov_base = data, .iov_len = len };
	struct scope scope = enter();
	struct iov_iter iter;
	loff_t at = pos;
	ssize_t done = 0;

	iov_iter_kvec(&iter, write ? ITER_SOURCE : ITER_DEST, &vec, 1, len);
	while (iov_iter_count(&iter)) {
		if (write)
			done = vfs_iter_write(file, &iter, &at, durable ? RWF_DSYNC : 0);
		else
			done = vfs_iter_read(file, &iter, &at, 0);
		if (done <= 0)
			break;
		cond_resched();
	}
	leave(scope);
	if (!iov_iter_count(&iter))
		return 0;
	return done < 0 ? done : -EIO;
}

int biox_file_punch(struct file *file, u64 pos, u64 len, bool keep_allocated)
{
	int mode = keep_allocated ? FALLOC_FL_ZERO_RANGE : FALLOC_FL_PUNCH_HOLE;
	struct scope scope = enter();
	int err;

	err = vfs_fallocate(file, mode | FALLOC_FL_KEEP_SIZE, pos, len);
	leave(scope);
	return err;
}

int biox_file_flush(struct file *file)
{
	struct scope scope = enter();
	int err = vfs_fsync(file, 1);

	leave(scope);
	return err;
}

/* The first bytes of a small file, such as one of sysfs; not terminated. */
ssize_t biox_read_text(const char *path, char *buf, size_t len)
{
	struct file *file = ERR_PTR(-ENOENT);
	loff_t at = 0;
	ssize_t done;

	scoped_with_init_fs()
		file = filp_open(path, O_RDONLY | O_NONBLOCK, 0);
	if (IS_ERR(file))
		return PTR_ERR(file);
	done = kernel_read(file, buf, len, &at);
	fput(file);
	return done;
}
