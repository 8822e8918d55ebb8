// SPDX-License-Identifier: GPL-2.0
/*
 * Lies about keys: attempts at memory of the client that is no longer, or never was, the
 * server's to write (weak points C1, C13).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "liar.h"

/* --- C1: keys --------------------------------------------------------------------- */

/* Until then the client has dealt with an answer, in ms: its key works no more. */
#define CLIENTS_TIME	1000

/* Claims to have taken the key away; then writes with it. */
static bool inv_claimed(struct req *q)
{
	if (!is_read(q) || !once())
		return false;
	fill(q);
	respond(q->con, q->chunk, 0, true);
	/* Time for the client to finish the request and to give the memory back. */
	pump_ms(CLIENTS_TIME);
	count_probe(probe_write(q->con, q->desc.addr, q->desc.key, 512));
	return true;
}

/* Does not claim anything and does not invalidate either. */
static bool inv_not_done(struct req *q)
{
	if (!is_read(q))
		return false;
	sh->lies++;
	fill(q);
	respond(q->con, q->chunk, 0, false);
	return true;
}

/* Claims it every time. All is well: the client invalidates by itself. */
static bool inv_always_claimed(struct req *q)
{
	if (!is_read(q))
		return false;
	sh->lies++;
	fill(q);
	respond(q->con, q->chunk, 0, true);
	return true;
}

static struct req held[8];
static unsigned int held_num;

/* Of two reads the key of the second is taken away, and that of the first is claimed to be. */
static bool inv_other(struct req *q)
{
	if (!is_read(q) || sh->lies)
		return false;
	held[held_num++] = *q;
	if (held_num < 2)
		return true;
	sh->lies++;
	fill(&held[0]);
	fill(&held[1]);
	say_send_inv(held[0].con, held[1].desc.key);
	respond(held[0].con, held[0].chunk, 0, true);
	pump_ms(CLIENTS_TIME);
	count_probe(probe_write(held[0].con, held[0].desc.addr, held[0].desc.key, 512));
	respond(held[1].con, held[1].chunk, 0, true);
	return true;
}

static bool inv_twice(struct req *q)
{
	if (!is_read(q) || !once())
		return false;
	fill(q);
	say_send_inv(q->con, q->desc.key);
	say_send_inv(q->con, q->desc.key);
	respond(q->con, q->chunk, 0, true);
	return true;
}

static bool inv_nonsense(struct req *q)
{
	if (!is_read(q) || !once())
		return false;
	fill(q);
	say_send_inv(q->con, q->desc.key ^ 0x10100);
	respond(q->con, q->chunk, 0, true);
	return true;
}

/* Honest, but comes back to the memory of a finished read. */
static bool key_stale(struct req *q)
{
	static struct req old;

	if (!is_read(q))
		return false;
	if (!old.con) {
		old = *q;
		return false;
	}
	if (!once())
		return false;
	/* The answer may have gone over another connection, where it is not ahead of the probe. */
	pump_ms(CLIENTS_TIME);
	count_probe(probe_write(q->con, old.desc.addr, old.desc.key, 512));
	return false;
}

/* Writes with a key that was never given. */
static bool key_guessed(struct req *q)
{
	if (!is_read(q) || !once())
		return false;
	count_probe(probe_write(q->con, q->desc.addr, q->desc.key + 0x100, 512));
	return false;
}

/* Writes around the memory that it may write to. */
static bool key_range(struct req *q)
{
	uint64_t at = srv.lie->arg ? q->desc.addr - 512 : q->desc.addr + q->desc.len - 256;

	if (!is_read(q) || !once())
		return false;
	count_probe(probe_write(q->con, at, q->desc.key, 512));
	return false;
}

/* A read longer than asked for. */
static bool data_too_long(struct req *q)
{
	if (!is_read(q) || !once())
		return false;
	say_write(q->con, srv.scratch, q->desc.len + 4096, q->desc.addr, q->desc.key);
	answer(q, 0);
	return true;
}

#define BOTH	(PLAIN | KEYS)

const struct lie key_lies[] = {
	{ .name = "inv-claimed", .weak = "rtrs C1", .modes = BOTH, .request = inv_claimed, .io = IO_ANY, .lies = 1 },
	{ .name = "inv-always-claimed", .weak = "rtrs C1", .modes = BOTH, .request = inv_always_claimed, .io = IO_OK, .lies = 1 },
	{ .name = "inv-not-done", .weak = "rtrs C1", .modes = BOTH, .request = inv_not_done, .io = IO_OK, .lies = 1 },
	{ .name = "inv-other-key", .weak = "rtrs C1", .modes = BOTH, .request = inv_other, .io = IO_ANY, .lies = 1 },
	{ .name = "inv-twice", .weak = "rtrs C1", .modes = BOTH, .request = inv_twice, .io = IO_ANY, .lies = 1 },
	{ .name = "inv-nonsense", .weak = "rtrs C1", .modes = BOTH, .request = inv_nonsense, .io = IO_ANY, .lies = 1 },
	{ .name = "key-stale", .weak = "rtrs C1, C13", .modes = BOTH, .request = key_stale, .io = IO_ANY, .lies = 1 },
	{ .name = "key-guessed", .weak = "rtrs C13", .request = key_guessed, .io = IO_ANY, .lies = 1 },
	{ .name = "key-range-end", .weak = "rtrs C13", .request = key_range, .arg = 0, .io = IO_ANY, .lies = 1 },
	{ .name = "key-range-start", .weak = "rtrs C13", .request = key_range, .arg = 1, .io = IO_ANY, .lies = 1 },
	{ .name = "data-too-long", .weak = "rtrs C13", .request = data_too_long, .io = IO_ANY, .lies = 1 },
	{ }
};
