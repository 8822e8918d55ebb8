// SPDX-License-Identifier: GPL-2.0
/*
 * Lies about requests that the client has sent: answers for other requests, over other
 * carriers, with other keys, and attempts at memory that is no longer, or never was, the
 * server's to write (weak points C1, C2, C8, C9, C10, C12, C13).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "liar.h"

static bool is_read(const struct req *q)
{
	return q->armed && q->op == OP_READ && q->sg_cnt;
}

/* The lie is told once; then the server is honest. */
static bool once(void)
{
	return sh->lies++ == 0;
}

/* The data, without an answer. */
static void fill(struct req *q)
{
	memcpy(q->data, sh->disk + get64(q->usr + 8) * SECTOR, q->data_len);
	put_data(q);
}

/* Counts what an adapter that is the client's said to an intrusion. */
static void count_probe(int status)
{
	if (status == IBV_WC_SUCCESS)
		sh->escaped++;
	else
		sh->caught++;
}

/* --- C1: keys --------------------------------------------------------------------- */

/* Claims to have taken the key away; then writes with it. */
static bool inv_claimed(struct req *q)
{
	if (!is_read(q) || !once())
		return false;
	fill(q);
	respond(q->con, q->chunk, 0, true);
	/* Time for the client to finish the request and to give the memory back. */
	pump_ms(300);
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
	pump_ms(200);
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
	pump_ms(100);
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

/* --- C2, C9, C10: carriers, immediates --------------------------------------------- */

/* The other mode's way to answer. */
static bool carrier(struct req *q)
{
	uint32_t imm = imm_make(IMM_IO_RSP, q->chunk);
	uint8_t msg[8];

	if (!is_read(q) || !once())
		return false;
	fill(q);
	put16(msg, RTRS_RKEY_RSP);
	put16(msg + 2, q->chunk);
	put32(msg + 4, q->con->path->pool_mr->rkey);
	if (srv.mode == KEYS)
		say_write_imm(q->con, imm);
	else
		say_send_imm(q->con, imm, msg, srv.lie->arg ? 0 : sizeof(msg));
	return true;
}

static bool answer_plain_send(struct req *q)
{
	uint8_t msg[8] = { 0 };

	if (!is_read(q) || !once())
		return false;
	fill(q);
	put16(msg, RTRS_RKEY_RSP);
	put16(msg + 2, q->chunk);
	say_send(q->con, msg, (uint32_t)srv.lie->arg);
	return true;
}

/* Everything an rkey message can be but right. */
static bool rkey(struct req *q)
{
	uint32_t imm = imm_make(IMM_IO_RSP_INV, q->chunk);
	uint8_t msg[64] = { 0 };
	uint32_t len = 8;

	if (!is_read(q) || !once())
		return false;
	fill(q);
	say_send_inv(q->con, q->desc.key);
	put16(msg, RTRS_RKEY_RSP);
	put16(msg + 2, q->chunk);
	put32(msg + 4, q->con->path->pool_mr->rkey);
	switch (srv.lie->arg) {
	case 0:
		len = 0;
		break;
	case 1:
		len = 7;
		break;
	case 2:
		len = 16;
		break;
	case 3:
		put16(msg, RTRS_INFO_RSP);
		break;
	case 4:
		put16(msg + 2, q->chunk + 1);
		break;
	case 5:
		put16(msg + 2, 0xffff);
		break;
	case 6:
		/* A key that is none: the next request into the chunk goes nowhere. */
		put32(msg + 4, q->con->path->pool_mr->rkey ^ 0x7700);
		break;
	case 7:
		say_send_imm(q->con, imm_make(5, q->chunk), msg, len);
		break;
	case 8:
		say_send_imm(q->con, imm_make(IMM_HB, 0), msg, len);
		break;
	}
	say_send_imm(q->con, imm, msg, len);
	return true;
}

/* Immediates of all types that mean nothing, on all connections; then honesty. */
static bool unknown(struct req *q)
{
	struct path *p = q->con->path;

	if (!is_read(q) || !once())
		return false;
	for (unsigned int round = 0; round < 40; round++) {
		for (uint16_t cid = 0; cid < p->cid_num; cid++) {
			for (unsigned int type = 3; type < 16; type++) {
				if (type != IMM_HB && type != IMM_HB_ACK)
					say_write_imm(p->con[cid], imm_make(type, rnd()));
			}
		}
	}
	/* In the old client the receives of these were of another kind now. */
	for (unsigned int i = 0; i < 50; i++)
		say_write_imm(p->con[0], imm_make(IMM_HB, 0));
	return false;
}

/* The same as SENDs, whose bytes need memory. */
static bool unknown_sends(struct req *q)
{
	struct path *p = q->con->path;

	if (!is_read(q) || !once())
		return false;
	for (unsigned int i = 0; i < 200; i++)
		say_send_imm(p->con[i % p->cid_num], imm_make(6, rnd()), "12345678", srv.mode == KEYS ? 8 : 0);
	return false;
}

static bool immediate(struct req *q)
{
	struct path *p = q->con->path;

	if (!is_read(q) || !once())
		return false;
	say_write_imm(p->con[srv.lie->arg >> 32], (uint32_t)srv.lie->arg);
	return false;
}

/* More bytes than the receive has room for. */
static bool send_long(struct req *q)
{
	if (!is_read(q) || !once())
		return false;
	say_send(q->con, srv.scratch == NULL ? "" : (char *)srv.scratch, (uint32_t)srv.lie->arg);
	return false;
}

/* C10: what takes a receive without being an answer, again and again. */
static bool send_flood(struct req *q)
{
	struct path *p = q->con->path;

	if (!is_read(q) || !once())
		return false;
	for (unsigned int i = 0; i < 3000; i++)
		say_send(p->con[i % p->cid_num], "", 0);
	return false;
}

/* Invalidations without an answer behind them. */
static bool inv_flood(struct req *q)
{
	if (!is_read(q) || !once())
		return false;
	fill(q);
	for (unsigned int i = 0; i < 2000 && q->con->up; i++)
		say_send_inv(q->con, q->desc.key);
	respond(q->con, q->chunk, 0, true);
	return true;
}

/* --- heartbeats ----------------------------------------------------------------------- */

static bool heartbeats(struct req *q)
{
	struct con *c = q->con->path->con[0];

	if (!is_read(q) || !once())
		return false;
	for (unsigned int i = 0; i < 3000; i++)
		say_write_imm(c, imm_make((uint32_t)srv.lie->arg, i));
	return false;
}

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
#define ON(cid, imm)	((uint64_t)(cid) << 32 | (imm))

const struct lie io_lies[] = {
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
	{ .name = "other-carrier", .weak = "rtrs C2", .modes = BOTH, .request = carrier, .io = IO_ANY, .lies = 1 },
	{ .name = "other-carrier-empty", .weak = "rtrs C2", .request = carrier, .arg = 1, .io = IO_ANY, .lies = 1 },
	{ .name = "answer-plain-send", .weak = "rtrs C2, C10", .modes = BOTH, .request = answer_plain_send, .arg = 8, .io = IO_ANY, .lies = 1 },
	{ .name = "answer-empty-send", .weak = "rtrs C2, C10", .modes = BOTH, .request = answer_plain_send, .arg = 0, .io = IO_ANY, .lies = 1 },
	{ .name = "rkey-empty", .weak = "rtrs C9", .modes = KEYS, .request = rkey, .arg = 0, .io = IO_ANY, .lies = 1 },
	{ .name = "rkey-short", .weak = "rtrs C9", .modes = KEYS, .request = rkey, .arg = 1, .io = IO_ANY, .lies = 1 },
	{ .name = "rkey-long", .weak = "rtrs C9", .modes = KEYS, .request = rkey, .arg = 2, .io = IO_ANY, .lies = 1 },
	{ .name = "rkey-type", .weak = "rtrs C9", .modes = KEYS, .request = rkey, .arg = 3, .io = IO_ANY, .lies = 1 },
	{ .name = "rkey-other-chunk", .weak = "rtrs C9", .modes = KEYS, .request = rkey, .arg = 4, .io = IO_ANY, .lies = 1 },
	{ .name = "rkey-no-chunk", .weak = "rtrs C9", .modes = KEYS, .request = rkey, .arg = 5, .io = IO_ANY, .lies = 1 },
	{ .name = "rkey-wrong", .weak = "rtrs C9", .modes = KEYS, .request = rkey, .arg = 6, .io = IO_ANY, .lies = 1 },
	{ .name = "rkey-unknown-type", .weak = "rtrs C2", .modes = KEYS, .request = rkey, .arg = 7, .io = IO_ANY, .lies = 1, .limit_s = 120 },
	{ .name = "rkey-heartbeat", .weak = "rtrs C2", .modes = KEYS, .request = rkey, .arg = 8, .io = IO_ANY, .lies = 1 },
	{ .name = "unknown-immediates", .weak = "rtrs C2, C9", .modes = BOTH, .request = unknown, .io = IO_OK, .lies = 1 },
	{ .name = "unknown-sends", .weak = "rtrs C2, C10", .modes = BOTH, .request = unknown_sends, .io = IO_ANY, .lies = 1 },
	{ .name = "request-to-client", .weak = "rtrs C9", .modes = BOTH, .request = immediate, .arg = ON(1, 0x00001020), .io = IO_ANY, .lies = 1 },
	{ .name = "heartbeat-wrong-con", .weak = "rtrs C9", .modes = BOTH, .request = immediate, .arg = ON(1, 0x80000000), .io = IO_ANY, .lies = 1 },
	{ .name = "ack-wrong-con", .weak = "rtrs C9, C12", .request = immediate, .arg = ON(1, 0x90000000), .io = IO_ANY, .lies = 1 },
	{ .name = "send-long", .weak = "rtrs C10", .modes = BOTH, .request = send_long, .arg = 4096, .io = IO_ANY, .lies = 1 },
	{ .name = "send-flood", .weak = "rtrs C10", .modes = BOTH, .request = send_flood, .io = IO_ANY, .lies = 1 },
	{ .name = "inv-flood", .weak = "rtrs C10", .modes = BOTH, .request = inv_flood, .io = IO_ANY, .lies = 1 },
	{ .name = "heartbeat-flood", .weak = "rtrs C12", .modes = BOTH, .request = heartbeats, .arg = IMM_HB, .io = IO_OK, .lies = 1 },
	{ .name = "ack-flood", .weak = "rtrs C12", .modes = BOTH, .request = heartbeats, .arg = IMM_HB_ACK, .io = IO_OK, .lies = 1 },
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
