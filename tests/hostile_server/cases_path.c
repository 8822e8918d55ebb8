// SPDX-License-Identifier: GPL-2.0
/*
 * Lies about a second path, or a path that comes back: other parameters than the session
 * has (weak points C3, C4), the memory of one path touched through the other (C13), fences
 * that are refused.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "liar.h"

/* --- a second path, a second life --------------------------------------------------------- */

/* arg: what is other; bit 8: in the second life of a path instead of on the second path. */
#define LATER	0x100

static void other(const struct path *p, uint16_t cid, struct params *say)
{
	if (srv.lie->arg & LATER ? !p->life : !p->nr)
		return;
	if (cid == 0)
		sh->lies++;
	switch (srv.lie->arg & 0xff) {
	case 0:
		say->depth = 64;
		break;
	case 1:
		say->depth = 8;
		break;
	case 2:
		say->max_io = 131072 - 8192;
		say->max_hdr = 8192;
		break;
	case 3:
		say->max_hdr = 64;
		say->max_io = 131072 - 64;
		break;
	case 4:
		say->max_io = 65536 - 4096;
		break;
	case 5:
		say->max_io = 262144 - 4096;
		break;
	default:
		say->flags ^= RTRS_NEW_RKEY;
	}
}

/* Extensions on the second path, or in the second life, only. */
static void other_features(struct path *p, uint16_t cid, struct out *o)
{
	if (srv.lie->arg & LATER ? !p->life : !p->nr)
		return;
	if (cid == 0)
		sh->lies++;
	o->b[20] = 1;
	put16(o->b + 22, get16(o->b + 22) ^ (srv.lie->arg & 7));
}

/* Ends the first life in the middle of a read. */
static bool end_first_life(struct req *q)
{
	if (!q->armed || q->op != OP_READ || q->con->path->life || sh->calm)
		return false;
	sh->calm = true;
	rdma_disconnect(q->con->path->con[0]->id);
	return true;
}

/* IO while the path ends, a reconnect by hand, IO again. */
static void reconnect(struct user *u)
{
	int err;

	user_default(u);
	sh->read = sh->write = sh->reread = NOT_RUN;
	for (int i = 0; i < 100 && user_path_state(u, "connected"); i++)
		user_sleep(50);
	step("reconnect");
	err = user_paths_put(u, "reconnect", "1");
	snprintf(sh->why, sizeof(sh->why), "reconnect: %s", err ? strerror(err) : "ok");
	user_sleep(200);
	step("read after the reconnect");
	sh->extra = user_read(u, 0, 65536, true);
}

/* A path that is added to the session in use: refused if it is other, and nothing else is hurt. */
static void add_other(struct user *u)
{
	char file[128], path[80];
	int err;

	user_default(u);
	step("add a path");
	snprintf(file, sizeof(file), "/sys/class/rtrs-client/%.64s/add_path", u->session);
	snprintf(path, sizeof(path), "ip:%.64s", opt.dst2);
	err = user_put(file, path);
	snprintf(sh->why, sizeof(sh->why), "add_path: %s", err ? strerror(err) : "ok");
	if (err != ECONNRESET) {
		sh->extra = WRONG;
		return;
	}
	step("read over the path that is left");
	sh->extra = user_read(u, 0, 65536, true);
}

/* --- C13 ------------------------------------------------------------------------------------ */

/* A key of one path, used over a connection of the other. */
static bool key_other_path(struct req *q)
{
	struct con *c = NULL;
	int status;

	if (!q->armed || q->op != OP_READ || sh->lies)
		return false;
	for (unsigned int i = 0; i < srv.path_num; i++) {
		if (&srv.paths[i] != q->con->path)
			c = srv.paths[i].con[1];
	}
	if (!c || !c->up)
		return false;
	sh->lies++;
	status = probe_write(c, q->desc.addr, q->desc.key, 512);
	if (status == IBV_WC_SUCCESS)
		sh->escaped++;
	else
		sh->caught++;
	return false;
}

/* An answer over the other path's connection. */
static bool answer_other_path(struct req *q)
{
	struct con *c = NULL;

	if (!q->armed || q->op != OP_READ || sh->lies)
		return false;
	for (unsigned int i = 0; i < srv.path_num; i++) {
		if (&srv.paths[i] != q->con->path)
			c = srv.paths[i].con[q->con->cid];
	}
	if (!c || !c->up)
		return false;
	sh->lies++;
	put_data(q);
	respond(c, q->chunk, 0, true);
	pump_ms(50);
	return false;
}

/* --- fences ----------------------------------------------------------------------------------- */

/* One path ends in the middle of things; what the other one is asked is lied about. */
static bool fence(struct req *q)
{
	if (q->type == RTRS_FENCE) {
		sh->lies++;
		switch (srv.lie->arg) {
		case 0:
			respond(q->con, q->chunk, EIO, false);
			return true;
		case 1:
			return true;	/* no answer */
		case 2:
			rdma_disconnect(q->con->id);
			return true;
		case 3:
			respond(q->con, q->chunk, 0, false);
			respond(q->con, q->chunk, 0, false);
			return true;
		default:
			respond(q->con, q->chunk, 0, true);
			return true;
		}
	}
	if (!q->armed || q->op != OP_READ || sh->calm)
		return false;
	sh->calm = true;
	rdma_disconnect(q->con->path->con[0]->id);
	return true;
}

#define BOTH	(PLAIN | KEYS)
#define RST	ECONNRESET
#define ALL	(EXT_FENCE | EXT_NOTICE | EXT_USER)

const struct lie path_lies[] = {
	{ .name = "two-paths", .weak = "none", .modes = BOTH, .two_paths = true, .io = IO_OK },
	{ .name = "second-depth-larger", .weak = "rtrs C3", .modes = BOTH, .two_paths = true, .params = other, .arg = 0, .map = RST, .lies = 1 },
	{ .name = "second-depth-smaller", .weak = "rtrs C3", .modes = BOTH, .two_paths = true, .params = other, .arg = 1, .map = RST, .lies = 1 },
	{ .name = "second-header-larger", .weak = "rtrs C4", .two_paths = true, .params = other, .arg = 2, .map = RST, .lies = 1 },
	{ .name = "second-header-smaller", .weak = "rtrs C4", .two_paths = true, .params = other, .arg = 3, .map = RST, .lies = 1 },
	{ .name = "second-size-smaller", .weak = "rtrs C3", .two_paths = true, .params = other, .arg = 4, .map = RST, .lies = 1 },
	{ .name = "second-size-larger", .weak = "rtrs C3", .two_paths = true, .params = other, .arg = 5, .map = RST, .lies = 1 },
	{ .name = "second-mode", .weak = "rtrs C3", .modes = BOTH, .two_paths = true, .params = other, .arg = 6, .map = RST, .lies = 1 },
	{ .name = "second-features", .weak = "rtrs C3", .two_paths = true, .connect = other_features, .arg = 7, .map = RST, .lies = 1 },
	{ .name = "second-features-fewer", .weak = "rtrs C3", .two_paths = true, .features = ALL, .connect = other_features, .arg = 1,
	  .map = RST, .lies = 1 },
	{ .name = "added-depth-larger", .weak = "rtrs C3", .modes = BOTH, .params = other, .arg = 0, .user = add_other, .io = IO_OK, .lies = 1 },
	{ .name = "added-depth-smaller", .weak = "rtrs C3", .params = other, .arg = 1, .user = add_other, .io = IO_OK, .lies = 1 },
	{ .name = "added-header-larger", .weak = "rtrs C4", .params = other, .arg = 2, .user = add_other, .io = IO_OK, .lies = 1 },
	{ .name = "added-size-smaller", .weak = "rtrs C3", .params = other, .arg = 4, .user = add_other, .io = IO_OK, .lies = 1 },
	{ .name = "added-mode", .weak = "rtrs C3", .modes = BOTH, .params = other, .arg = 6, .user = add_other, .io = IO_OK, .lies = 1 },
	{ .name = "key-other-path", .weak = "rtrs C13", .modes = BOTH, .two_paths = true, .request = key_other_path, .io = IO_ANY, .lies = 1 },
	{ .name = "answer-other-path", .weak = "rtrs C8", .modes = BOTH, .two_paths = true, .request = answer_other_path, .io = IO_ANY,
	  .lie_data = true, .lies = 1 },
	{ .name = "reconnect", .weak = "none", .modes = BOTH, .request = end_first_life, .user = reconnect, .io = IO_ANY, .limit_s = 90 },
	{ .name = "reconnect-depth", .weak = "rtrs C3", .request = end_first_life, .params = other, .arg = LATER | 0, .user = reconnect,
	  .io = IO_BAD, .lies = 1, .limit_s = 90 },
	{ .name = "reconnect-header", .weak = "rtrs C4", .request = end_first_life, .params = other, .arg = LATER | 2, .user = reconnect,
	  .io = IO_BAD, .lies = 1, .limit_s = 90 },
	{ .name = "reconnect-mode", .weak = "rtrs C3", .modes = BOTH, .request = end_first_life, .params = other, .arg = LATER | 6,
	  .user = reconnect, .io = IO_BAD, .lies = 1, .limit_s = 90 },
	{ .name = "reconnect-features", .weak = "rtrs C3", .request = end_first_life, .connect = other_features, .arg = LATER | 7,
	  .user = reconnect, .io = IO_BAD, .lies = 1, .limit_s = 90 },
	{ .name = "fence", .weak = "rtrs 10.4", .modes = BOTH, .two_paths = true, .features = ALL, .request = fence, .arg = 4, .io = IO_ANY },
	{ .name = "fence-refused", .weak = "rtrs 10.4", .two_paths = true, .features = ALL, .request = fence, .arg = 0, .io = IO_ANY, .limit_s = 120 },
	{ .name = "fence-never", .weak = "rtrs 10.4", .two_paths = true, .features = ALL, .request = fence, .arg = 1,
	  .user = user_limited, .io = IO_ANY, .limit_s = 120 },
	{ .name = "fence-never-unmap", .weak = "rtrs 10.4, rnbd C8", .two_paths = true, .features = ALL, .request = fence, .arg = 1,
	  .user = user_abandon, .io = IO_ANY, .limit_s = 120 },
	{ .name = "fence-hang-up", .weak = "rtrs 10.4", .two_paths = true, .features = ALL, .request = fence, .arg = 2, .io = IO_ANY, .limit_s = 120 },
	{ .name = "fence-twice", .weak = "rtrs 10.4", .two_paths = true, .features = ALL, .request = fence, .arg = 3, .io = IO_ANY, .limit_s = 120 },
	{ }
};
