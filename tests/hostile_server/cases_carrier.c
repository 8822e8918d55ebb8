// SPDX-License-Identifier: GPL-2.0
/*
 * Transfers of another kind than the mode has, immediates and messages that mean nothing,
 * floods of them, heartbeats (weak points C2, C9, C10, C12).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "liar.h"

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

#define BOTH	(PLAIN | KEYS)
#define ON(cid, imm)	((uint64_t)(cid) << 32 | (imm))

const struct lie carrier_lies[] = {
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
	{ }
};
