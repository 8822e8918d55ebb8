// SPDX-License-Identifier: GPL-2.0
/*
 * A backend that takes its time, and clients that do not wait for it: who waits
 * for whom, and for how long (rtrs 10.4, L16). And clients that come again
 * without having gone, or pretend to (S33, S34).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "case.h"

/* Two paths of one session, over both addresses of the server. */
static int two_paths(struct verdict *v, struct session **a, struct session **b, uint16_t features)
{
	if (!opt.dst2)
		return skip(v, "needs --dst2");
	*a = session_new();
	*b = session_new();
	(*a)->features = (*b)->features = features;
	memcpy((*b)->paths_uuid, (*a)->paths_uuid, 16);
	memcpy((*b)->name, (*a)->name, sizeof((*a)->name));
	(*b)->first_conn = 0;
	(*b)->dst = opt.dst2;
	if (session_open(*a))
		return bad(v, "honest session: %s", (*a)->why);
	if (session_open(*b))
		return bad(v, "honest second path: %s", (*b)->why);
	return 0;
}

/* Pumps both until the chunk of `s` has `count` answers; the time it took, or -1. */
static long long both_wait(struct session *s, struct session *other, uint32_t chunk,
			   unsigned int count, long long since, int timeout_ms)
{
	while (s->chunk[chunk].answers < count && !s->down && now_ms() - since < timeout_ms) {
		session_pump(s);
		session_pump(other);
	}
	return s->chunk[chunk].answers >= count ? now_ms() - since : -1;
}

/* A fence for a path; it is as long as a read with one descriptor. */
static void ask_fence(struct session *s, struct ask *a, uint16_t cid, const uint8_t uuid[16])
{
	ask_read(s, a, cid, 0, 0, NULL, 0);
	a->type = RTRS_FENCE;
	a->desc_num = 1;
	a->desc[0].addr = get64(uuid);
	a->desc[0].key = get32(uuid + 8);
	a->desc[0].len = get32(uuid + 12);
}

/* What was agreed upon holds for all connections of all paths. */
static int disagreement(struct verdict *v)
{
	struct session *s = session_new(), *t = session_new();
	struct connect_req r;
	uint8_t priv[RTRS_PRIV_LEN];

	s->features = EXT_FENCE | EXT_NOTICE;
	if (session_connect_one(s, 0))
		return bad(v, "honest connect: %s", s->why);
	r = session_req(s, 1);
	if (!s->con[0].rsp.features)
		return skip(v, "the server has no extensions");
	r.features = 0;
	build_connect_req(priv, &r);
	con_connect(&s->con[1], priv, sizeof(priv));
	if (s->con[1].rej_errno != ECONNRESET)
		return bad(v, "connection 1 with other features: %s", con_outcome(&s->con[1]));
	memcpy(t->paths_uuid, s->paths_uuid, 16);
	t->dst = opt.dst2 ? opt.dst2 : opt.dst;
	if (!session_connect_one(t, 0) || t->con[0].rej_errno != ECONNRESET)
		return bad(v, "path with other features: %s", con_outcome(&t->con[0]));
	return good(v, "rejected with ECONNRESET");
}

/* Sends a slow write of `fill` to sector 0. */
static int slow_write(struct session *s, struct ask *a, uint32_t id, uint8_t fill, uint32_t chunk)
{
	static uint8_t data[SECTOR];
	uint8_t usr[RNBD_IO_LEN];

	memset(data, fill, sizeof(data));
	build_io(usr, id, 0, OP_WRITE, SECTOR);
	ask_write(s, a, 1, data, sizeof(data), usr, sizeof(usr));
	a->chunk = chunk;
	return ask_send(s, a);
}

static int slow_paths(struct verdict *v, struct session **a, struct session **b,
		      struct open_rsp *rsp, uint16_t features)
{
	if (!opt.slow || !opt.slow_device)
		return skip(v, "takes its time: needs --slow and --slow-device");
	if (two_paths(v, a, b, features))
		return -1;
	if (features && !((*a)->con[0].rsp.features & EXT_FENCE))
		return skip(v, "the server knows no fences");
	if (rnbd_sess_info(*a) || rnbd_open_next(*a, opt.slow_device, ACCESS_RW, rsp))
		return bad(v, "honest open of the slow device");
	return 0;
}

/* Two paths, and a write by the first in chunk 7 that the server has worked on for `ms`. */
static int busy_chunk(struct verdict *v, struct session **a, struct session **b, struct open_rsp *rsp,
		      uint16_t features, int ms, long long *start)
{
	struct ask w;

	if (slow_paths(v, a, b, rsp, features))
		return -1;
	*start = now_ms();
	if (slow_write(*a, &w, rsp->id, 'A', 7))
		return bad(v, "cannot send");
	while (now_ms() - *start < ms)
		session_pump(*a);
	return 0;
}

/* A fence is answered when the last request of the path is over, not before. */
static int fence_waits(struct verdict *v)
{
	struct session *a, *b;
	struct open_rsp rsp;
	struct ask f;
	long long start, took;

	if (busy_chunk(v, &a, &b, &rsp, EXT_FENCE, SLOW_MS / 4, &start))
		return -1;
	ask_fence(b, &f, 1, a->sess_uuid);
	f.chunk = 7;
	if (ask_send(b, &f))
		return bad(v, "cannot send the fence");
	took = both_wait(b, a, f.chunk, 1, start, SLOW_MS * 4);
	if (took < 0 || b->chunk[f.chunk].err)
		return bad(v, "the fence is not answered");
	if (took < SLOW_MS * 9 / 10)
		return bad(v, "answered after %lld ms, while the write takes %d", took, SLOW_MS);
	if (!a->down && !session_wait_down(a, opt.timeout_ms))
		return bad(v, "the fenced path is still there");
	if (rnbd_read(b, rsp.id, 0, SECTOR) || b->rx[0] != 'A')
		return bad(v, "the other path does not read what was written");
	return good(v, "answered after %lld ms, as the write took %d; the path is closed", took, SLOW_MS);
}

/* A second copy of a request, on another path, while the first is executed. */
static int replay_waits(struct verdict *v)
{
	struct session *a, *b;
	struct open_rsp rsp;
	struct ask r;
	long long start, took, other;

	if (busy_chunk(v, &a, &b, &rsp, 0, SLOW_MS / 4, &start))
		return -1;
	if (slow_write(b, &r, rsp.id, 'B', 7))
		return bad(v, "cannot send the copy");
	/* Another index is another request, which does not wait. */
	if (slow_write(b, &r, rsp.id, 'C', 8))
		return bad(v, "cannot send a third");
	other = both_wait(b, a, 8, 1, start, SLOW_MS * 6);
	took = both_wait(b, a, 7, 1, start, SLOW_MS * 6);
	if (took < 0 || b->chunk[7].err || other < 0)
		return bad(v, "the copy is not answered");
	if (took < SLOW_MS * 18 / 10)
		return bad(v, "the copy was over after %lld ms: it did not wait for the first", took);
	if (other > SLOW_MS * 17 / 10)
		return bad(v, "another request had to wait, too: %lld ms", other);
	if (a->chunk[7].answers != 1 || a->chunk[7].err)
		return bad(v, "the first was not answered");
	return good(v, "the copy was over after %lld ms, an independent one after %lld", took, other);
}

/* The path of the copy goes while it waits: nobody waits for anybody else's request. */
static int replay_abandoned(struct verdict *v)
{
	struct session *a, *b, *c = session_new();
	struct open_rsp rsp;
	struct ask r;
	long long start, took;

	if (busy_chunk(v, &a, &b, &rsp, EXT_FENCE, SLOW_MS / 10, &start))
		return -1;
	/* One copy waits for its turn, one fence for the path. */
	if (slow_write(b, &r, rsp.id, 'B', 7))
		return bad(v, "cannot send the copy");
	ask_fence(b, &r, 1, a->sess_uuid);
	r.chunk = 9;
	if (ask_send(b, &r))
		return bad(v, "cannot send the fence");
	while (now_ms() - start < SLOW_MS / 5)
		session_pump(b);
	memcpy(c->paths_uuid, a->paths_uuid, 16);
	memcpy(c->sess_uuid, b->sess_uuid, 16);
	memcpy(c->name, a->name, sizeof(a->name));
	c->features = EXT_FENCE;
	c->dst = opt.dst2;
	session_close(b);
	/* The same path again: it is taken when the old one is over. */
	while (session_open(c) && now_ms() - start < SLOW_MS * 3) {
		struct session *again = session_new();

		memcpy(again->paths_uuid, c->paths_uuid, 16);
		memcpy(again->sess_uuid, c->sess_uuid, 16);
		memcpy(again->name, c->name, sizeof(c->name));
		again->features = EXT_FENCE;
		again->dst = opt.dst2;
		c = again;
		usleep(50000);
	}
	took = now_ms() - start;
	if (!c->got_info)
		return bad(v, "the path cannot come again: %s", c->why);
	if (took > SLOW_MS * 9 / 10)
		return bad(v, "the path was gone after %lld ms only, with the other path's write", took);
	if (rnbd_sess_info(c))
		return bad(v, "the new path does not serve");
	return good(v, "the path was gone and back after %lld ms, the write takes %d", took, SLOW_MS);
}

/* The same from another address, by somebody who overheard the identifiers. */
static int replaced_by_stranger(struct verdict *v)
{
	struct session *s = session_new(), *t = session_new();

	if (!opt.dst2)
		return skip(v, "needs --dst2");
	if (session_open(s))
		return bad(v, "honest session: %s", s->why);
	memcpy(t->sess_uuid, s->sess_uuid, 16);
	memcpy(t->paths_uuid, s->paths_uuid, 16);
	t->dst = opt.dst2;
	if (!session_connect_one(t, 0) || t->con[0].rej_errno != ECONNRESET)
		return bad(v, "another host joins the path: %s", con_outcome(&t->con[0]));
	if (rnbd_sess_info(s))
		return bad(v, "the path was closed for a stranger");
	return good(v, "rejected with ECONNRESET, the path goes on");
}

/* A client whose host was reset: it comes with a new session of the same name. */
static int replaced_session(struct verdict *v)
{
	struct session *dead = session_new(), *s = session_new();
	long long took;

	if (session_open(dead))
		return bad(v, "honest session: %s", dead->why);
	/* It answers no heartbeat any more. */
	took = now_ms();
	memcpy(s->name, dead->name, sizeof(s->name));
	if (session_open(s))
		return bad(v, "its own dead session keeps the client out: %s", s->why);
	if (rnbd_sess_info(s))
		return bad(v, "the new session does not serve");
	took = now_ms() - took;
	if (took < 1900 || took > 9000)
		return bad(v, "the dead session made room after %lld ms", took);
	return good(v, "the dead session made room after %lld ms", took);
}

const struct hostile_case slow_cases[] = {
	{ "features-differ", "2.2", disagreement },
	{ "fence-waits", "10.4, L16", fence_waits },
	{ "replay-waits", "10.4", replay_waits },
	{ "replay-abandoned", "10.4, L16", replay_abandoned },
	{ "replaced-by-stranger", "S33, S34", replaced_by_stranger },
	{ "replaced-session", "S34", replaced_session },
	{ NULL, NULL, NULL },
};
