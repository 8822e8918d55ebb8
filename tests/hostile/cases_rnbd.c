// SPDX-License-Identifier: GPL-2.0
/*
 * Lies in IO messages: operations, flags, sizes, ranges, device ids, and
 * writes to a mapping that may only read.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "case.h"

/* A session with the device open; replaced when the server has closed it. */
static struct session *keep(struct session *s, struct verdict *v, uint8_t mode,
			    struct open_rsp *rsp)
{
	char why[200];

	if (s && !s->down)
		return s;
	if (s)
		session_close(s);
	s = rnbd_device(opt.device, mode, rsp, why, sizeof(why));
	if (!s)
		bad(v, "%s", why);
	return s;
}

static uint32_t block(const struct open_rsp *rsp)
{
	return rsp->lbs > SECTOR ? rsp->lbs : SECTOR;
}

/* One IO message with any direction and sizes. */
static int io(struct session *s, bool read, uint32_t data_len, uint32_t id, uint64_t sector,
	      uint32_t rw, uint32_t size)
{
	static uint8_t junk[65536];
	uint8_t usr[RNBD_IO_LEN];
	struct ask a;

	memset(junk, 0x5a, sizeof(junk));
	build_io(usr, id, sector, rw, size);
	if (read)
		ask_read(s, &a, 1, 0, data_len, usr, sizeof(usr));
	else
		ask_write(s, &a, 1, data_len ? junk : NULL, data_len, usr, sizeof(usr));
	return ask_call(s, &a);
}

/* The whole honest way round: write, flush, read back, close. */
static int honest_flow(struct verdict *v)
{
	struct open_rsp rsp;
	struct session *s = keep(NULL, v, ACCESS_RW, &rsp);
	uint32_t len = 16384;
	uint8_t *data = malloc(len);
	int r;

	if (!s || !data)
		return -1;
	for (uint32_t i = 0; i < len; i++)
		data[i] = (i * 7 + i / 251) & 0xff;
	r = rnbd_write(s, rsp.id, 64, data, len);
	if (r)
		return bad(v, "write: %s", reaction(r));
	r = rnbd_plain(s, rsp.id, 0, OP_FLUSH | RW_SYNC | RW_FUA | RW_PREFLUSH, 0);
	if (r)
		return bad(v, "flush: %s", reaction(r));
	rx_fill(s);
	r = rnbd_read(s, rsp.id, 64, len);
	if (r)
		return bad(v, "read: %s", reaction(r));
	if (memcmp(s->rx, data, len))
		return bad(v, "other bytes came back than were written");
	if (s->rx[len] != CANARY)
		return bad(v, "more came back than was asked for");
	r = rnbd_close(s, rsp.id);
	if (r)
		return bad(v, "CLOSE: %s", reaction(r));
	r = rnbd_read(s, rsp.id, 64, len);
	if (r != ENOTCONN)
		return bad(v, "read after CLOSE: %s", reaction(r));
	if (s->garbage)
		return bad(v, "%u senseless messages", s->garbage);
	return good(v, "%u bytes compare, %llu sectors, block %u, %s keys", len,
		    (unsigned long long)rsp.sectors, rsp.lbs, s->new_rkey ? "new" : "plain");
}

/* Whether a read-only mapping refused in words, and not by closing the path. */
static bool says_read_only(int r)
{
	return r == EROFS || r == EPERM;
}

/* What changes data must fail on a read-only mapping and change nothing. */
static int read_only(struct verdict *v)
{
	static const struct { uint32_t rw; bool data; const char *what; } ops[] = {
		{ OP_WRITE | RW_SYNC, true, "write" },
		{ OP_WRITE | RW_FUA, true, "FUA write" },
		{ OP_WRITE | RW_PREFLUSH, true, "preflush write" },
		{ OP_DISCARD, false, "discard" },
		{ OP_SECURE_ERASE, false, "secure erase" },
		{ OP_WRITE_ZEROES, false, "write zeroes" },
		{ OP_WRITE_ZEROES | 0x800, false, "write zeroes without unmap" },
	};
	uint8_t before[4096];
	struct open_rsp rsp;
	struct session *s = keep(NULL, v, ACCESS_RW, &rsp);
	int r;

	if (!s)
		return -1;
	memset(before, 0xc3, sizeof(before));
	if (rnbd_write(s, rsp.id, 0, before, sizeof(before)) || rnbd_close(s, rsp.id))
		return bad(v, "cannot prepare the device");
	session_close(s);
	s = keep(NULL, v, ACCESS_RO, &rsp);
	if (!s)
		return -1;
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		r = io(s, false, ops[i].data ? 4096 : 0, rsp.id, 0, ops[i].rw, 4096);
		if (!says_read_only(r))
			return bad(v, "%s: %s", ops[i].what, reaction(r));
		/* The same as a READ with the modifying operation number. */
		r = ops[i].data ? EROFS : io(s, true, 0, rsp.id, 0, ops[i].rw, 4096);
		if (!says_read_only(r))
			return bad(v, "%s sent as READ: %s", ops[i].what, reaction(r));
		r = rnbd_read(s, rsp.id, 0, sizeof(before));
		if (r || memcmp(s->rx, before, sizeof(before)))
			return bad(v, "%s on a read-only mapping changed the data", ops[i].what);
	}
	return good(v, "seven modifying operations refused as read-only, data unchanged");
}

#define WHOLE	16384u		/* more than any of the lies below is about */

/* A writable mapping, so that nothing but the lie is a reason to refuse, with known bytes. */
static struct session *writable(struct verdict *v, struct open_rsp *rsp)
{
	struct session *s = keep(NULL, v, ACCESS_RW, rsp);
	uint8_t data[WHOLE];

	memset(data, 0xc3, sizeof(data));
	if (s && rnbd_write(s, rsp->id, 0, data, sizeof(data))) {
		bad(v, "cannot prepare the device");
		return NULL;
	}
	return s;
}

/* Whether it has still the bytes that writable() left. */
static bool unchanged(struct session *s, uint32_t id)
{
	rx_fill(s);
	if (rnbd_read(s, id, 0, WHOLE))
		return false;
	for (uint32_t i = 0; i < WHOLE; i++) {
		if (s->rx[i] != 0xc3)
			return false;
	}
	return true;
}

/* Sizes that do not fit the operation. */
static int sizes(struct verdict *v)
{
	static const struct { bool read; uint32_t data, rw, size; const char *what; } lies[] = {
		{ true, 0, OP_READ, 4096, "read without data" },
		{ false, 0, OP_WRITE, 4096, "write without data" },
		{ true, 0, OP_READ, 0, "read of nothing" },
		{ false, 0, OP_WRITE, 0, "write of nothing" },
		{ true, 0, OP_FLUSH, 4096, "flush with a size" },
		{ true, 0, OP_FLUSH, 0xfffffe00, "flush with a huge size" },
		{ true, 0, OP_FLUSH | RW_PREFLUSH | RW_FUA, 512, "FUA flush with a size" },
		{ true, 4096, OP_FLUSH, 0, "flush with data" },
		{ true, 4096, OP_FLUSH, 4096, "flush with data and size" },
		{ false, 4096, OP_DISCARD, 4096, "discard with data" },
		{ false, 4096, OP_WRITE_ZEROES, 8192, "write zeroes with data" },
		{ false, 0, OP_DISCARD, 0, "discard of nothing" },
		{ true, 4096, OP_READ, 8192, "read with more size than data" },
		{ true, 8192, OP_READ, 4096, "read with more data than size" },
		{ false, 4096, OP_WRITE, 512, "write with more data than size" },
		{ false, 512, OP_WRITE, 0xffffffff, "write with a huge size" },
		{ true, 100, OP_READ, 100, "read of 100 bytes" },
		{ false, 100, OP_WRITE, 100, "write of 100 bytes" },
		{ true, 513, OP_READ, 513, "read of 513 bytes" },
		{ false, 0, OP_DISCARD, 1, "discard of one byte" },
		{ false, 0, OP_WRITE_ZEROES, 1000, "write zeroes of 1000 bytes" },
		{ false, 4096, OP_READ, 4096, "read in the direction of a write" },
		{ true, 4096, OP_WRITE, 4096, "write in the direction of a read" },
	};
	struct open_rsp rsp;
	struct session *s = writable(v, &rsp);
	size_t i, num = sizeof(lies) / sizeof(lies[0]);
	int r;

	if (!s)
		return -1;
	for (i = 0; i < num; i++) {
		rx_fill(s);
		r = io(s, lies[i].read, lies[i].data, rsp.id, 0, lies[i].rw, lies[i].size);
		if (r != EINVAL)
			return bad(v, "%s: %s", lies[i].what, reaction(r));
		if (rx_foreign(s, 0, s->rx_len))
			return bad(v, "%s: refused, and data arrived", lies[i].what);
		if (!unchanged(s, rsp.id))
			return bad(v, "%s: refused, and the device changed", lies[i].what);
	}
	return good(v, "%zu kinds refused with EINVAL, data unchanged", num);
}

static int ranges(struct verdict *v)
{
	static const uint32_t rws[] = { OP_READ, OP_WRITE, OP_DISCARD, OP_WRITE_ZEROES };
	struct session *s = NULL;
	struct open_rsp rsp;
	int tried = 0, r;

	for (int k = 0; k < 6 * 4; k++) {
		uint32_t rw = rws[k % 4], bs, size;
		uint64_t at[6];

		s = keep(s, v, ACCESS_RW, &rsp);
		if (!s)
			return -1;
		bs = block(&rsp);
		at[0] = rsp.sectors;			/* just behind */
		at[1] = rsp.sectors - bs / SECTOR;	/* two blocks, one inside */
		at[2] = UINT64_MAX;
		at[3] = UINT64_MAX - 15;
		at[4] = UINT64_MAX / SECTOR;		/* the byte offset wraps */
		at[5] = 1ull << 55;
		size = 2 * bs;
		r = io(s, rw == OP_READ, rw <= OP_WRITE ? size : 0, rsp.id, at[k / 4], rw, size);
		if (r == 0 || r == SILENT)
			return bad(v, "operation %u at sector %llu of %llu: %s", rw,
				   (unsigned long long)at[k / 4],
				   (unsigned long long)rsp.sectors, reaction(r));
		tried++;
	}
	s = keep(s, v, ACCESS_RW, &rsp);
	if (!s)
		return -1;
	r = io(s, false, 0, rsp.id, rsp.sectors - block(&rsp) / SECTOR, OP_DISCARD, 0xfffffe00);
	if (r == 0 || r == SILENT)
		return bad(v, "discard of 4 GiB from the last block: %s", reaction(r));
	return good(v, "%d ranges outside the device refused", tried + 1);
}

/* Operation numbers 6..255: an error, and no data as if it were a read. */
static int operations(struct verdict *v)
{
	struct open_rsp rsp;
	struct session *s = writable(v, &rsp);
	int r;

	if (!s)
		return -1;
	for (uint32_t op = OP_WRITE_ZEROES + 1; op < 256; op++) {
		rx_fill(s);
		r = io(s, !(op & 1), SECTOR, rsp.id, 0, op, SECTOR);
		if (r != EOPNOTSUPP)
			return bad(v, "operation %u: %s", op, reaction(r));
		if (rx_foreign(s, 0, s->rx_len))
			return bad(v, "operation %u: refused, and data arrived", op);
		/* As a flush, or as a discard of something. */
		r = io(s, op & 1, 0, rsp.id, 0, op, op & 2 ? SECTOR : 0);
		if (r != EOPNOTSUPP)
			return bad(v, "operation %u without data: %s", op, reaction(r));
	}
	if (!unchanged(s, rsp.id))
		return bad(v, "all were refused, and the device changed");
	return good(v, "operations 6 to 255 refused with EOPNOTSUPP, data unchanged");
}

/* What an honest request with these flags has to get: FUA and PREFLUSH are for what writes. */
static int flags_due(const struct open_rsp *rsp, uint32_t op, uint32_t rw)
{
	if (rw & (RW_FUA | RW_PREFLUSH) && op != OP_WRITE && op != OP_FLUSH)
		return EINVAL;
	if ((op == OP_DISCARD && !rsp->max_discard) || op == OP_SECURE_ERASE ||
	    (op == OP_WRITE_ZEROES && !rsp->max_write_zeroes))
		return EOPNOTSUPP;
	return 0;
}

/* Every flag bit on every operation, on a mapping that may do them all. */
static int flags(struct verdict *v)
{
	struct open_rsp rsp;
	struct session *s = writable(v, &rsp);
	unsigned int fine = 0, refusals = 0;
	int r;

	if (!s)
		return -1;
	for (uint32_t op = OP_READ; op <= OP_WRITE_ZEROES; op++) {
		for (uint32_t bits = 0; bits <= 24; bits++) {
			uint32_t rw = op | (bits < 24 ? 0x100u << bits : 0xffffff00u);
			bool data = op <= OP_WRITE;
			int due = flags_due(&rsp, op, rw);

			r = io(s, op == OP_READ || op == OP_FLUSH, data ? 4096 : 0, rsp.id, 0, rw,
			       op == OP_FLUSH ? 0 : 4096);
			if (r != due)
				return bad(v, "rw %#x: %s, not %s", rw, reaction(r), reaction(due));
			fine += r == 0;
			refusals += r != 0;
		}
	}
	return good(v, "150 combinations: %u carried out, %u refused", fine, refusals);
}

/* Flushes as every C client sends them, on a device where the sector matters. */
static int flush_sector(struct verdict *v)
{
	static const uint32_t rws[] = { 0x702, 0x302, 0x202, 0x002 };
	const char *name = opt.flush_device ? opt.flush_device : opt.device;
	static const uint64_t sectors[] = { UINT64_MAX, 0, 1, 12345 };
	struct open_rsp rsp;
	struct session *s;
	char why[200];
	int r;

	s = rnbd_device(name, ACCESS_RO, &rsp, why, sizeof(why));
	if (!s)
		return bad(v, "%s", why);
	for (int i = 0; i < 16; i++) {
		r = rnbd_plain(s, rsp.id, sectors[i / 4], rws[i % 4], 0);
		if (r)
			return bad(v, "flush %#x with sector %#llx on %s: %s", rws[i % 4],
				   (unsigned long long)sectors[i / 4], name, reaction(r));
	}
	return good(v, "16 flushes succeed on %s, block %u, cache policy %u", name, rsp.lbs,
		    rsp.cache);
}

static int unknown_ids(struct verdict *v)
{
	static const uint32_t ids[] = { 0, 1, 2, 255, 65536, 0x7fffffff, 0x80000000, UINT32_MAX };
	char why[200];
	struct session *s = rnbd_session(why, sizeof(why));
	int r;

	if (!s)
		return bad(v, "%s", why);
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		r = rnbd_read(s, ids[i], 0, SECTOR);
		if (r != ENOTCONN)
			return bad(v, "read from id %u: %s", ids[i], reaction(r));
		r = rnbd_plain(s, ids[i], 0, OP_FLUSH, 0);
		if (r != ENOTCONN)
			return bad(v, "flush of id %u: %s", ids[i], reaction(r));
		r = rnbd_close(s, ids[i]);
		if (r)
			return bad(v, "CLOSE of id %u: %s", ids[i], reaction(r));
	}
	return good(v, "IO to eight ids answered ENOTCONN, CLOSE answered success");
}

/* An id of another session must mean nothing here. */
static int foreign_id(struct verdict *v)
{
	struct open_rsp rsp;
	struct session *owner = keep(NULL, v, ACCESS_RO, &rsp);
	char why[200];
	struct session *s = rnbd_session(why, sizeof(why));
	int r;

	if (!owner || !s)
		return owner ? bad(v, "%s", why) : -1;
	r = rnbd_read(s, rsp.id, 0, block(&rsp));
	if (r != ENOTCONN)
		return bad(v, "read through another session's id: %s", reaction(r));
	rnbd_close(s, rsp.id);
	r = rnbd_read(owner, rsp.id, 0, block(&rsp));
	if (r)
		return bad(v, "CLOSE from another session hurt the owner: %s", reaction(r));
	return good(v, "ENOTCONN, and CLOSE did not reach the owner's device");
}

/* A stale id must not reach the device that is opened after it. */
static int stale_id(struct verdict *v)
{
	uint8_t keepsake[4096];
	struct open_rsp a, b;
	struct session *s = keep(NULL, v, ACCESS_RW, &a);
	int r;

	if (!opt.device2)
		return skip(v, "needs --device2");
	if (!s)
		return -1;
	if (rnbd_close(s, a.id))
		return bad(v, "cannot close");
	r = rnbd_open_next(s, opt.device2, ACCESS_RW, &b);
	if (r)
		return bad(v, "honest OPEN of %s: %s", opt.device2, reaction(r));
	r = rnbd_read(s, b.id, 0, sizeof(keepsake));
	if (r)
		return bad(v, "honest read: %s", reaction(r));
	memcpy(keepsake, s->rx, sizeof(keepsake));
	/* What io() writes must not be there already. */
	if (keepsake[0] == 0x5a && keepsake[4095] == 0x5a)
		return bad(v, "%s holds already what would be written", opt.device2);
	r = io(s, false, sizeof(keepsake), a.id, 0, OP_WRITE, sizeof(keepsake));
	if (r == 0)
		return bad(v, "a write to id %u of the closed device succeeded", a.id);
	if (r == SILENT)
		return bad(v, "silence");
	if (r == GONE)
		return bad(v, "path closed, instead of an error for one request");
	rx_fill(s);
	if (rnbd_read(s, b.id, 0, sizeof(keepsake)))
		return bad(v, "cannot read back");
	if (memcmp(s->rx, keepsake, sizeof(keepsake)))
		return bad(v, "a write to the stale id %u reached the device with id %u", a.id, b.id);
	return good(v, "id %u then %u, write to the stale one: %s, the other device is unchanged", a.id, b.id,
		    reaction(r));
}

const struct hostile_case rnbd_cases[] = {
	{ "honest-flow", "11, RNBD 9.1", honest_flow },
	{ "read-only", "RNBD S3", read_only },
	{ "io-sizes", "RNBD S4, S24", sizes },
	{ "io-ranges", "RNBD 4.4", ranges },
	{ "io-operations", "RNBD S12", operations },
	{ "io-flags", "RNBD S12", flags },
	{ "flush-sector", "RNBD S13", flush_sector },
	{ "id-unknown", "RNBD 9.1", unknown_ids },
	{ "id-foreign", "RNBD 8.1", foreign_id },
	{ "id-stale", "RNBD S2", stale_id },
	{ NULL, NULL, NULL },
};
