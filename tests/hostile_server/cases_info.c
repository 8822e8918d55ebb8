// SPDX-License-Identifier: GPL-2.0
/*
 * Lies of the info response (rtrs 2.4; weak points C7, C9, and the rules of a chunk
 * table that a client must insist on).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "liar.h"

static void type(struct path *p, struct out *o)
{
	(void)p;
	sh->lies++;
	put16(o->b, (uint16_t)srv.lie->arg);
}

static void length(struct path *p, struct out *o)
{
	(void)p;
	sh->lies++;
	o->len = (uint32_t)srv.lie->arg;
}

/* The number of descriptors as claimed. */
static void count(struct path *p, struct out *o)
{
	(void)p;
	sh->lies++;
	put16(o->b + 2, (uint16_t)srv.lie->arg);
}

/* `arg` descriptors of equal length, whatever that is. */
static void many(struct path *p, struct out *o)
{
	uint32_t n = srv.lie->arg & 0xffff, len = srv.lie->arg >> 32;

	sh->lies++;
	put16(o->b + 2, n);
	for (uint32_t i = 0; i < n; i++) {
		put64(o->b + 8 + 16 * i, (uintptr_t)p->pool);
		put32(o->b + 16 + 16 * i, p->pool_mr->rkey);
		put32(o->b + 20 + 16 * i, len);
	}
	o->len = 8 + 16 * n;
}

static void address(struct path *p, struct out *o)
{
	(void)p;
	sh->lies++;
	put64(o->b + 8, srv.lie->arg);
}

static void key(struct path *p, struct out *o)
{
	(void)p;
	sh->lies++;
	put32(o->b + 16, p->pool_mr->rkey ^ 0x5500);
}

static void carrier(struct path *p, struct out *o)
{
	(void)p;
	sh->lies++;
	o->action = (enum action)(srv.lie->arg >> 32);
	o->imm = (uint32_t)srv.lie->arg;
}

static void silence(struct path *p, struct out *o)
{
	(void)p;
	sh->lies++;
	o->action = DO_NOTHING;
}

static void twice(struct path *p, struct out *o)
{
	sh->lies++;
	say_send(p->con[0], o->b, o->len);
}

static void wrong_con(struct path *p, struct out *o)
{
	sh->lies++;
	say_send(p->con[1], o->b, o->len);
	o->action = DO_NOTHING;
}

static void hang_up(struct path *p, struct out *o)
{
	sh->lies++;
	o->action = DO_NOTHING;
	rdma_disconnect(p->con[0]->id);
}

/* Right answer, and the connection ends behind it. */
static void good_bye(struct path *p, struct out *o)
{
	sh->lies++;
	say_send(p->con[0], o->b, o->len);
	o->action = DO_NOTHING;
	rdma_disconnect(p->con[srv.lie->arg]->id);
}

static void noise(struct path *p, struct out *o)
{
	(void)p;
	sh->lies++;
	o->len = 8 + 16 * 32;
	for (uint32_t i = 2; i < o->len; i++)
		o->b[i] = rnd();
}

/* An info response that nobody asked for yet, as soon as connection 0 is there. */
static void unasked(void)
{
	struct path *p = last_path();
	struct con *c = p ? p->con[0] : NULL;
	static unsigned int done;
	uint8_t rsp[24] = { 0 };

	if (!c || !c->up || done >= srv.path_num)
		return;
	done = srv.path_num;
	sh->lies++;
	put16(rsp, RTRS_INFO_RSP);
	put16(rsp + 2, 1);
	put64(rsp + 8, (uintptr_t)p->pool);
	put32(rsp + 16, p->pool_mr->rkey);
	put32(rsp + 20, p->p.depth * (p->p.max_io + p->p.max_hdr));
	say_send(c, rsp, sizeof(rsp));
	p->info_done = true;
}

#define RST	ECONNRESET
#define CHUNK	131072ull
#define MANY(n, len)	((uint64_t)(len) << 32 | (n))
#define BY(action, imm)	((uint64_t)(action) << 32 | (imm))

const struct lie info_lies[] = {
	{ .name = "info-type", .weak = "rtrs C9", .info = type, .arg = 2, .map = RST, .lies = 1 },
	{ .name = "info-empty", .weak = "rtrs C9", .info = length, .arg = 0, .map = RST, .lies = 1 },
	{ .name = "info-short", .weak = "rtrs C9", .info = length, .arg = 7, .map = RST, .lies = 1 },
	{ .name = "info-no-descriptor", .weak = "rtrs C9", .info = length, .arg = 8, .map = RST, .lies = 1 },
	{ .name = "info-half-descriptor", .weak = "rtrs C9", .info = length, .arg = 23, .map = RST, .lies = 1 },
	{ .name = "info-too-long", .weak = "rtrs C9", .info = length, .arg = 4096, .map = RST, .lies = 1 },
	{ .name = "info-count-zero", .weak = "rtrs C7", .info = count, .arg = 0, .map = RST, .lies = 1 },
	{ .name = "info-count-more", .weak = "rtrs C7", .info = count, .arg = 2, .map = RST, .lies = 1 },
	{ .name = "info-count-max", .weak = "rtrs C7", .info = count, .arg = 65535, .map = RST, .lies = 1 },
	{ .name = "info-count-odd", .weak = "rtrs C7", .info = many, .arg = MANY(3, CHUNK), .map = RST, .lies = 1 },
	{ .name = "info-length-zero", .weak = "rtrs C7", .info = many, .arg = MANY(32, 0), .map = RST, .lies = 1 },
	{ .name = "info-length-part", .weak = "rtrs C7", .info = many, .arg = MANY(32, CHUNK + 4096), .map = RST, .lies = 1 },
	{ .name = "info-length-small", .weak = "rtrs C7", .info = many, .arg = MANY(16, CHUNK), .map = RST, .lies = 1 },
	{ .name = "info-length-large", .weak = "rtrs C7", .info = many, .arg = MANY(32, 2 * CHUNK), .map = RST, .lies = 1 },
	{ .name = "info-length-wraps", .weak = "rtrs C7", .info = many, .arg = MANY(32, 0xfffe0000), .map = RST, .lies = 1 },
	{ .name = "info-address-wraps", .weak = "rtrs C7", .info = address, .arg = 0xffffffffffff0000, .map = RST, .lies = 1 },
	{ .name = "info-address-wrong", .weak = "rtrs C7", .info = address, .arg = 4096, .map = ANY, .io = IO_BAD, .lies = 1 },
	{ .name = "info-key-wrong", .weak = "rtrs C7", .info = key, .map = ANY, .io = IO_BAD, .lies = 1 },
	{ .name = "info-with-immediate", .weak = "rtrs C9", .info = carrier, .arg = BY(DO_SEND_IMM, 0x10000000), .map = RST, .lies = 1 },
	{ .name = "info-as-write", .weak = "rtrs C9", .info = carrier, .arg = BY(DO_WRITE_IMM, 0x10000000), .map = RST, .lies = 1 },
	{ .name = "info-as-heartbeat", .weak = "rtrs C9", .info = carrier, .arg = BY(DO_WRITE_IMM, 0x80000000), .map = RST, .lies = 1 },
	{ .name = "info-never", .weak = "rtrs C11", .info = silence, .map = ETIMEDOUT, .lies = 1 },
	{ .name = "info-twice", .weak = "rtrs C10", .info = twice, .map = ANY, .io = IO_ANY, .lies = 1 },
	{ .name = "info-wrong-con", .weak = "rtrs C9", .info = wrong_con, .map = ANY, .io = IO_ANY, .lies = 1, .limit_s = 90 },
	{ .name = "info-unasked", .weak = "rtrs C9", .tick = unasked, .map = ANY, .io = IO_OK, .lies = 1 },
	{ .name = "info-hang-up", .weak = "rtrs C11", .info = hang_up, .map = RST, .lies = 1 },
	{ .name = "info-good-bye", .weak = "rtrs C11", .info = good_bye, .arg = 0, .map = ANY, .io = IO_ANY, .lies = 1 },
	{ .name = "info-good-bye-second", .weak = "rtrs C11", .info = good_bye, .arg = 1, .map = ANY, .io = IO_ANY, .lies = 1 },
	{ .name = "info-noise", .weak = "rtrs C9", .info = noise, .map = RST, .lies = 1 },
	{ }
};
