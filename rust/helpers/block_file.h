/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What rust/block_bio needs from C for files as backends: opening what is a
 * regular file and nothing else, and IO on open files from a kernel thread.
 */
#ifndef _RUST_HELPERS_BLOCK_FILE_H
#define _RUST_HELPERS_BLOCK_FILE_H

#include <linux/fs.h>
#include <linux/types.h>

struct biox_limits;

/* Mirrored by `RawFacts` in rust/block_bio/raw.rs. */
struct biox_file_facts {
	u64 ino;
	u64 subvol;
	u32 sb_dev;
	u32 generation;
	u32 uuid_len;
	u8 uuid[16];
};

struct file *biox_bdev_open(const char *path, u32 mode, void *holder);
struct file *biox_file_open(const char *path, bool write);
void biox_file_facts(struct file *file, struct biox_file_facts *out);
void biox_file_limits(struct file *file, struct biox_limits *out);
u64 biox_file_size(struct file *file);
bool biox_file_read_only(struct file *file);
int biox_file_path(struct file *file, char *buf, size_t len);
int biox_file_rw(struct file *file, void *data, size_t len, u64 pos, bool write,
		 bool durable);
int biox_file_punch(struct file *file, u64 pos, u64 len, bool keep_allocated);
int biox_file_flush(struct file *file);
ssize_t biox_read_text(const char *path, char *buf, size_t len);

#endif
