// SPDX-License-Identifier: GPL-2.0
/*
 * Servers that are silent, or go away in the middle of things; and one that does anything
 * at all (weak points C11, rnbd C8).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "liar.h"

/* Answers heartbeats, and nothing else. */
static bool never(struct req *q)
{
	if (!q->armed || sh->calm)
		return false;
	sh->lies++;
	return true;
}

/* Not heard of any more. */
static bool freeze(struct req *q)
{
	if (!is_read(q))
		return false;
	sh->lies++;
	srv.frozen = true;
	return true;
}

/* --- the end of connections ------------------------------------------------------------ */

static bool hang_up(struct req *q)
{
	struct path *p = q->con->path;

	if (!is_read(q) || !once())
		return false;
	rdma_disconnect(p->con[srv.lie->arg]->id);
	return true;
}

/* Dies in the middle, with everything it has. */
static bool die(struct req *q)
{
	if (!is_read(q) || !once())
		return false;
	for (unsigned int i = 0; i < srv.con_num; i++) {
		struct con *c = &srv.cons[i];

		c->up = false;
		if (c->id && c->id->qp)
			rdma_destroy_qp(c->id);
		rdma_destroy_id(c->id);
		c->id = NULL;
	}
	srv.frozen = true;
	return true;
}

/* --- anything ---------------------------------------------------------------------------- */

/* One random thing on a random connection. */
static void anything(struct req *q)
{
	struct path *p = q->con->path;
	struct con *c = p->con[rnd() % p->cid_num];
	static uint8_t bytes[64];

	for (unsigned int i = 0; i < sizeof(bytes); i++)
		bytes[i] = rnd();
	switch (rnd() % 10) {
	case 0:
		say_write_imm(c, rnd());
		break;
	case 1:
		say_write_imm(c, imm_make(rnd() % 10, rnd() % 40));
		break;
	case 2:
		say_send(c, bytes, rnd() % 64);
		break;
	case 3:
		say_send_imm(c, rnd(), bytes, rnd() % 64);
		break;
	case 4:
		put16(bytes, RTRS_RKEY_RSP);
		put16(bytes + 2, rnd() % 40);
		say_send_imm(c, imm_make(1 + rnd() % 2, rnd() % 40), bytes, 8);
		break;
	case 5:
		say_send_inv(c, q->desc.key + rnd() % 2);
		break;
	case 6:
		respond(c, rnd() % 40, rnd() % 512, rnd() % 2);
		break;
	case 7:
		say_write(c, srv.scratch, rnd() % 8192, q->desc.addr + rnd() % 8192, q->desc.key);
		break;
	case 8:
		say_write_imm(c, imm_make(IMM_HB + rnd() % 2, rnd()));
		break;
	default:
		rdma_disconnect(c->id);
	}
}

static bool fuzz(struct req *q)
{
	if (!q->armed)
		return false;
	if (rnd() % 4)
		return false;
	sh->lies++;
	anything(q);
	/* The request is answered all the same: who gets no answer waits. */
	return false;
}

/* Maps again and again: a new chance for every path that the last lie has broken. */
static void many_times(struct user *u)
{
	int err;

	for (int i = 0; i < 12; i++) {
		sh->armed = true;
		user_default(u);
		sh->armed = false;
		err = user_another(u);
		if (err) {
			snprintf(sh->why, sizeof(sh->why), "round %d: error %d", i, err);
			break;
		}
	}
	/* What was seen on the way is not what counts here, only that it came to an end. */
	sh->read = sh->write = sh->reread = NOT_RUN;
}

#define BOTH	(PLAIN | KEYS)

const struct lie end_lies[] = {
	{ .name = "io-never", .weak = "rnbd C8", .modes = BOTH, .request = never, .user = user_limited, .io = IO_BAD, .lies = 1, .limit_s = 120 },
	{ .name = "io-never-unmap", .weak = "rnbd C8", .modes = BOTH, .request = never, .user = user_abandon, .io = IO_BAD, .lies = 1,
	  .limit_s = 120 },
	{ .name = "freeze", .weak = "rtrs C11, rnbd C8", .request = freeze, .io = IO_BAD, .lies = 1, .limit_s = 200 },
	{ .name = "hang-up", .weak = "rtrs C11", .modes = BOTH, .request = hang_up, .arg = 0, .io = IO_ANY, .lies = 1 },
	{ .name = "hang-up-io", .weak = "rtrs C11", .request = hang_up, .arg = 1, .io = IO_ANY, .lies = 1 },
	{ .name = "die", .weak = "rtrs C11", .request = die, .io = IO_BAD, .lies = 1, .limit_s = 150 },
	{ .name = "anything", .weak = "rtrs C1-C13", .modes = BOTH, .request = fuzz, .user = many_times, .io = IO_ANY,
	  .lies = 6, .lie_data = true, .limit_s = 200, .lines = 400 },
	{ }
};
