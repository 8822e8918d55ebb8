// SPDX-License-Identifier: GPL-2.0
/*
 * Answers to the wrong request, over the wrong connection, too early, too often; errors
 * (weak points C8, C9).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "liar.h"

/* --- C8: answers to the wrong request ---------------------------------------------- */

static bool answer_id(struct req *q)
{
	if (!is_read(q) || !once())
		return false;
	fill(q);
	say_send_inv(q->con, q->desc.key);
	respond(q->con, srv.lie->arg ? (uint32_t)srv.lie->arg : (q->chunk + 1) % q->con->path->p.depth, 0, true);
	return true;
}

static bool answer_twice(struct req *q)
{
	if (!is_read(q) || !once())
		return false;
	fill(q);
	say_send_inv(q->con, q->desc.key);
	respond(q->con, q->chunk, 0, true);
	respond(q->con, q->chunk, 0, true);
	return true;
}

static bool write_twice(struct req *q)
{
	if (!q->armed || q->op != OP_WRITE || !once())
		return false;
	serve(q);
	respond(q->con, q->chunk, 0, false);
	respond(q->con, q->chunk, EIO, false);
	return true;
}

/* Claims for a write what only a read has. */
static bool write_inv(struct req *q)
{
	if (!q->armed || q->op != OP_WRITE)
		return false;
	sh->lies++;
	memcpy(sh->disk + get64(q->usr + 8) * SECTOR, q->data, q->data_len);
	respond(q->con, q->chunk, 0, true);
	return true;
}

static bool answer_con(struct req *q)
{
	struct path *p = q->con->path;

	if (!is_read(q) || !once())
		return false;
	fill(q);
	say_send_inv(q->con, q->desc.key);
	respond(p->con[q->con->cid == srv.lie->arg ? 1 : srv.lie->arg], q->chunk, 0, true);
	return true;
}

/* Answers every request before anything was done for it, the data comes later. */
static bool answer_early(struct req *q)
{
	if (!is_read(q) || !once())
		return false;
	respond(q->con, q->chunk, 0, false);
	pump_ms(1000);
	count_probe(probe_write(q->con, q->desc.addr, q->desc.key, q->desc.len));
	return true;
}

/* Says that all is well and gives nothing. */
static bool answer_nothing(struct req *q)
{
	if (!is_read(q))
		return false;
	sh->lies++;
	say_send_inv(q->con, q->desc.key);
	respond(q->con, q->chunk, 0, true);
	return true;
}

/* Only the first sector of what was asked for. */
static bool answer_part(struct req *q)
{
	if (!is_read(q))
		return false;
	sh->lies++;
	memcpy(q->data, sh->disk + get64(q->usr + 8) * SECTOR, SECTOR);
	say_write(q->con, q->data, SECTOR, q->desc.addr, q->desc.key);
	say_send_inv(q->con, q->desc.key);
	respond(q->con, q->chunk, 0, true);
	return true;
}

static struct req held[8];
static unsigned int held_num;
static long long held_since;

static void answer_held(void)
{
	while (held_num) {
		held_num--;
		fill(&held[held_num]);
		say_send_inv(held[held_num].con, held[held_num].desc.key);
		respond(held[held_num].con, held[held_num].chunk, 0, true);
	}
}

/* The last one first, after a while. */
static bool backwards(struct req *q)
{
	if (!is_read(q))
		return false;
	sh->lies++;
	held_since = now_ms();
	held[held_num++] = *q;
	if (held_num == 8)
		answer_held();
	return true;
}

static void backwards_tick(void)
{
	if (held_num && now_ms() - held_since > 100)
		answer_held();
}

/* --- errors ------------------------------------------------------------------------ */

/* Each request gets the next number that nine bits can hold. */
static bool errnos(struct req *q)
{
	static const int list[] = { 511, 1, 5, 11, 12, 16, 22, 28, 61, 84, 85, 95, 107, 110, 112, 115, 125, 255, 256, 510 };

	if (!q->armed)
		return false;
	answer(q, list[sh->lies++ % (sizeof(list) / sizeof(list[0]))]);
	return true;
}

/* What only the client's own transport may say: that a path was lost. */
static bool lost(struct req *q)
{
	if (!q->armed)
		return false;
	answer(q, sh->lies++ % 2 ? 116 : 103);
	return true;
}

/* Of a disk that waits for paths, so that a request which lost its own would be sent again. */
static void waiting(struct user *u)
{
	char file[128];

	snprintf(file, sizeof(file), "/sys/block/%.64s/rnbd/no_path_timeout", u->device);
	if (user_put(file, "-1"))
		snprintf(sh->why, sizeof(sh->why), "no_path_timeout cannot be set");
	else
		user_default(u);
}

#define BOTH	(PLAIN | KEYS)

const struct lie answer_lies[] = {
	{ .name = "answer-other-id", .weak = "rtrs C8", .modes = BOTH, .request = answer_id, .io = IO_ANY, .lies = 1 },
	{ .name = "answer-id-range", .weak = "rtrs C9", .modes = BOTH, .request = answer_id, .arg = 32, .io = IO_ANY, .lies = 1 },
	{ .name = "answer-id-max", .weak = "rtrs C9", .modes = BOTH, .request = answer_id, .arg = 0x7ffff, .io = IO_ANY, .lies = 1 },
	{ .name = "answer-twice", .weak = "rtrs C8", .modes = BOTH, .request = answer_twice, .io = IO_ANY, .lies = 1 },
	{ .name = "write-twice", .weak = "rtrs C8", .modes = BOTH, .request = write_twice, .io = IO_ANY, .lies = 1 },
	{ .name = "write-invalidated", .weak = "rtrs C1", .modes = BOTH, .request = write_inv, .io = IO_OK, .lies = 1 },
	{ .name = "answer-admin-con", .weak = "rtrs C8", .modes = BOTH, .request = answer_con, .arg = 0, .io = IO_ANY, .lies = 1 },
	{ .name = "answer-other-con", .weak = "rtrs C8", .modes = BOTH, .request = answer_con, .arg = 2, .io = IO_ANY, .lies = 1 },
	{ .name = "answer-early", .weak = "rtrs C8, C1", .modes = BOTH, .request = answer_early, .io = IO_ANY, .lie_data = true, .lies = 1 },
	{ .name = "answer-nothing", .weak = "rtrs C8", .modes = BOTH, .request = answer_nothing, .io = IO_OK, .lie_data = true, .lies = 1 },
	{ .name = "answer-part", .weak = "rtrs C8", .modes = BOTH, .request = answer_part, .io = IO_OK, .lie_data = true, .lies = 1 },
	{ .name = "answer-backwards", .weak = "rtrs C8", .modes = BOTH, .request = backwards, .tick = backwards_tick, .io = IO_OK, .lies = 1 },
	{ .name = "errnos", .weak = "rtrs S25, rnbd C18", .modes = BOTH, .request = errnos, .io = IO_BAD, .lies = 3 },
	{ .name = "errno-lost", .weak = "rtrs S25, rnbd C18", .modes = BOTH, .request = lost, .user = waiting, .io = IO_BAD, .lies = 2 },
	{ }
};
