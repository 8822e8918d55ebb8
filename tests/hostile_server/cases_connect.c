// SPDX-License-Identifier: GPL-2.0
/*
 * Lies of the connect response, and of those who never give one (rtrs 2.3, 3.3;
 * weak points C3, C5, C6, C9, C11). All but the odd one have to end the mapping with
 * an errno.
 */
#include <errno.h>
#include <string.h>

#include "liar.h"

/* --- one field of the response -------------------------------------------------- */

/* arg: offset << 40 | length << 32 | value. */
#define FIELD(off, len, value)	((uint64_t)(off) << 40 | (uint64_t)(len) << 32 | (value))

static void field(struct path *p, uint16_t cid, struct out *o)
{
	uint64_t arg = srv.lie->arg;
	uint8_t *at = o->b + (arg >> 40);

	(void)p;
	if (cid)
		return;
	sh->lies++;
	switch (arg >> 32 & 0xff) {
	case 1:
		*at = (uint8_t)arg;
		break;
	case 2:
		put16(at, (uint16_t)arg);
		break;
	default:
		put32(at, (uint32_t)arg);
	}
}

/* Depth, data size, header size together. arg: depth << 48 | index of the sizes. */
static const struct {
	uint32_t io, hdr;
} sizes[] = {
	{ 0xffffffff, 4096 }, { 0xfffff000, 4096 }, { 0x80000000, 0x80000000 }, { 8128, 64 },
	{ 4096, 4096 }, { 1024, 7168 }, { 512, 65024 }, { 0, 8192 }, { 61440, 4096 },
};

static void three(struct path *p, uint16_t cid, struct out *o)
{
	uint64_t arg = srv.lie->arg;

	(void)p;
	(void)cid;
	sh->lies++;
	put16(o->b + 6, arg >> 48);
	put32(o->b + 8, sizes[arg & 0xff].io);
	put32(o->b + 12, sizes[arg & 0xff].hdr);
}

/* --- responses without a meaning ------------------------------------------------- */

static void empty(struct path *p, uint16_t cid, struct out *o)
{
	(void)p;
	(void)cid;
	sh->lies++;
	o->len = 0;
}

static void cut_off(struct path *p, uint16_t cid, struct out *o)
{
	(void)p;
	(void)cid;
	sh->lies++;
	o->len = 9;
}

static void noise(struct path *p, uint16_t cid, struct out *o)
{
	(void)p;
	(void)cid;
	sh->lies++;
	o->len = 196;
	for (uint32_t i = 0; i < o->len; i++)
		o->b[i] = rnd();
}

/* Everything behind the fields is set, as if all extensions there could ever be were accepted. */
static void extensions(struct path *p, uint16_t cid, struct out *o)
{
	(void)p;
	(void)cid;
	sh->lies++;
	memset(o->b + 20, (int)srv.lie->arg, 36);
}

/* Another depth, size or mode for a connection after the first. */
static void other_con(struct path *p, uint16_t cid, struct out *o)
{
	(void)p;
	if (cid != 1)
		return;
	sh->lies++;
	switch (srv.lie->arg) {
	case 0:
		put16(o->b + 6, 64);
		break;
	case 1:
		put32(o->b + 12, 8192);
		break;
	case 2:
		put32(o->b + 16, get32(o->b + 16) ^ RTRS_NEW_RKEY);
		break;
	default:
		put16(o->b, 0xdead);
	}
}

/* --- refusals -------------------------------------------------------------------- */

static void reject(struct path *p, uint16_t cid, struct out *o)
{
	(void)p;
	if (cid != srv.lie->arg >> 32)
		return;
	sh->lies++;
	put16(o->b + 4, (uint16_t)srv.lie->arg);
	o->action = DO_REJECT;
}

static void reject_empty(struct path *p, uint16_t cid, struct out *o)
{
	(void)p;
	(void)cid;
	sh->lies++;
	o->action = DO_REJECT;
	o->len = (uint32_t)srv.lie->arg;
}

/* --- and nothing at all ---------------------------------------------------------- */

static void ignore(struct path *p, uint16_t cid, struct out *o)
{
	(void)p;
	if (cid < srv.lie->arg)
		return;
	sh->lies++;
	o->action = DO_NOTHING;
}

/* Hangs up as soon as connection `arg` is there. */
static void hang_up(void)
{
	struct path *p = last_path();
	struct con *c = p ? p->con[srv.lie->arg] : NULL;

	if (!c || !c->up)
		return;
	sh->lies++;
	c->up = false;
	rdma_disconnect(c->id);
}

/* A heartbeat, an answer and a plain SEND before anything was asked. */
static void early(void)
{
	static unsigned int done;
	struct path *p = last_path();
	struct con *c = p ? p->con[0] : NULL;

	if (!c || !c->up || done >= srv.path_num)
		return;
	done = srv.path_num;
	sh->lies++;
	switch (srv.lie->arg) {
	case 0:
		say_write_imm(c, imm_make(IMM_HB, 0));
		break;
	case 1:
		say_write_imm(c, imm_make(IMM_IO_RSP, 0));
		break;
	default:
		say_send(c, "too early", 9);
	}
}

/* Sizes that a server may really have, and no server has. */
#define REAL(...)	(&(const struct params){ __VA_ARGS__ })
#define RST	ECONNRESET
#define DEPTH(d, i)	((uint64_t)(d) << 48 | (i))

const struct lie connect_lies[] = {
	{ .name = "honest", .weak = "none", .modes = PLAIN | KEYS, .io = IO_OK },
	{ .name = "rep-magic", .weak = "rtrs C9", .connect = field, .arg = FIELD(0, 2, 0x1bbe), .map = RST, .lies = 1 },
	{ .name = "rep-version", .weak = "rtrs C9", .connect = field, .arg = FIELD(2, 2, 0x0300), .map = RST, .lies = 1 },
	{ .name = "rep-errno", .weak = "rtrs C11", .connect = field, .arg = FIELD(4, 2, 0xfffb), .map = RST, .lies = 1 },
	{ .name = "rep-errno-positive", .weak = "rtrs C11", .connect = field, .arg = FIELD(4, 2, 1), .map = RST, .lies = 1 },
	{ .name = "rep-depth-zero", .weak = "rtrs C9", .connect = field, .arg = FIELD(6, 2, 0), .map = RST, .lies = 1 },
	{ .name = "rep-depth-max", .weak = "rtrs C7", .connect = field, .arg = FIELD(6, 2, 65535), .map = RST, .lies = 1 },
	{ .name = "rep-header-zero", .weak = "rtrs C5", .connect = field, .arg = FIELD(12, 4, 0), .map = RST, .lies = 1 },
	{ .name = "rep-header-small", .weak = "rtrs C5", .connect = field, .arg = FIELD(12, 4, 63), .map = RST, .lies = 1 },
	{ .name = "rep-header-large", .weak = "rtrs C5", .connect = field, .arg = FIELD(12, 4, 65537), .map = RST, .lies = 1 },
	{ .name = "rep-header-huge", .weak = "rtrs C5", .connect = field, .arg = FIELD(12, 4, 0xffffffff), .map = RST, .lies = 1 },
	{ .name = "rep-size-wraps", .weak = "rtrs C6", .connect = three, .arg = DEPTH(32, 0), .map = RST, .lies = 1 },
	{ .name = "rep-size-wraps-to-0", .weak = "rtrs C6", .connect = three, .arg = DEPTH(32, 1), .map = RST, .lies = 1 },
	{ .name = "rep-size-halves", .weak = "rtrs C6", .connect = three, .arg = DEPTH(1, 2), .map = RST, .lies = 1 },
	{ .name = "rep-size-zero", .weak = "rtrs C6", .connect = three, .arg = DEPTH(32, 7), .map = RST, .lies = 1 },
	{ .name = "rep-bits", .weak = "rtrs C7", .connect = three, .arg = DEPTH(4097, 8), .map = RST, .lies = 1 },
	{ .name = "rep-empty", .weak = "rtrs C9", .connect = empty, .map = RST, .lies = 1 },
	{ .name = "rep-short", .weak = "rtrs C9", .connect = cut_off, .map = RST, .lies = 1 },
	{ .name = "rep-noise", .weak = "rtrs C9", .connect = noise, .map = RST, .lies = 1 },
	{ .name = "rep-extensions", .weak = "rtrs 10.4", .connect = extensions, .arg = 0xff, .map = ANY, .io = IO_ANY, .lies = 1 },
	{ .name = "rep-extensions-1", .weak = "rtrs 10.4", .connect = extensions, .arg = 0x01, .map = ANY, .io = IO_ANY, .lies = 1 },
	{ .name = "rep-con-depth", .weak = "rtrs C3", .connect = other_con, .arg = 0, .map = RST, .lies = 1 },
	{ .name = "rep-con-header", .weak = "rtrs C4", .connect = other_con, .arg = 1, .map = RST, .lies = 1 },
	{ .name = "rep-con-mode", .weak = "rtrs C3", .connect = other_con, .arg = 2, .modes = PLAIN | KEYS, .map = RST, .lies = 1 },
	{ .name = "rep-con-magic", .weak = "rtrs C9", .connect = other_con, .arg = 3, .map = RST, .lies = 1 },
	{ .name = "rej-errno", .weak = "rtrs C11", .connect = reject, .arg = 0xff91, .map = ECONNREFUSED, .lies = 1 },
	{ .name = "rej-zero", .weak = "rtrs C11", .connect = reject, .arg = 0, .map = RST, .lies = 1 },
	{ .name = "rej-positive", .weak = "rtrs C11", .connect = reject, .arg = 5, .map = EIO, .lies = 1 },
	{ .name = "rej-smallest", .weak = "rtrs C11", .connect = reject, .arg = 0x8000, .map = RST, .lies = 1 },
	{ .name = "rej-second", .weak = "rtrs C11", .connect = reject, .arg = 1ull << 32 | 0xfff4, .map = ENOMEM, .lies = 1 },
	{ .name = "rej-empty", .weak = "rtrs C11", .connect = reject_empty, .arg = 0, .map = RST, .lies = 1 },
	{ .name = "rej-short", .weak = "rtrs C11", .connect = reject_empty, .arg = 5, .map = RST, .lies = 1 },
	{ .name = "rep-never", .weak = "rtrs C11", .connect = ignore, .arg = 0, .map = ANY, .lies = 1, .limit_s = 120 },
	{ .name = "rep-never-second", .slow = true, .weak = "rtrs C11", .connect = ignore, .arg = 1, .map = ANY, .lies = 1, .limit_s = 120 },
	{ .name = "hang-up-first", .weak = "rtrs C11", .tick = hang_up, .arg = 0, .map = RST, .lies = 1 },
	{ .name = "hang-up-second", .weak = "rtrs C11", .tick = hang_up, .arg = 1, .map = ANY, .io = IO_ANY, .lies = 1 },
	{ .name = "size-page", .weak = "rtrs C6", .modes = PLAIN | KEYS, .real = REAL(32, 4096, 4096, 0), .io = IO_OK },
	{ .name = "size-below-page", .weak = "rtrs C6", .real = REAL(32, 1024, 7168, 0), .map = EINVAL },
	{ .name = "size-odd", .weak = "rtrs C6", .real = REAL(32, 126975, 4097, 0), .io = IO_OK },
	{ .name = "size-header-64", .weak = "rtrs C5", .real = REAL(32, 131072 - 64, 64, 0), .map = ANY, .io = IO_ANY },
	{ .name = "size-large", .weak = "rtrs C6", .modes = PLAIN | KEYS, .real = REAL(4, (1 << 24) - 4096, 4096, 0), .io = IO_OK },
	{ .name = "depth-1", .weak = "rtrs C3", .modes = PLAIN | KEYS, .real = REAL(1, 126976, 4096, 0), .io = IO_OK },
	{ .name = "depth-2", .weak = "rtrs C3", .modes = PLAIN | KEYS, .real = REAL(2, 126976, 4096, 0), .io = IO_OK },
	{ .name = "depth-3", .weak = "rtrs C3", .real = REAL(3, 126976, 4096, 0), .io = IO_OK },
	{ .name = "depth-8192", .slow = true, .weak = "rtrs C3", .real = REAL(8192, 4096, 4096, 0), .map = ANY, .io = IO_ANY, .limit_s = 200 },
	{ .name = "early-heartbeat", .weak = "rtrs C9", .tick = early, .arg = 0, .map = RST, .lies = 1 },
	{ .name = "early-answer", .weak = "rtrs C9", .tick = early, .arg = 1, .map = RST, .lies = 1 },
	{ .name = "early-send", .weak = "rtrs C9", .tick = early, .arg = 2, .map = RST, .lies = 1 },
	{ }
};
