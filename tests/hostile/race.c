// SPDX-License-Identifier: GPL-2.0
/*
 * Lies by haste: messages that are legal one by one and sent before the one
 * before them is answered, on several connections and sessions.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "case.h"

#define ROUNDS	60

static void post_open(struct session *s, uint32_t rx_off)
{
	uint8_t usr[RNBD_OPEN_LEN];
	struct ask a;

	build_open(usr, ACCESS_RO, opt.device);
	ask_read(s, &a, 0, rx_off, RNBD_OPEN_RSP_LEN, usr, sizeof(usr));
	ask_send(s, &a);
}

static void post_close(struct session *s, uint16_t cid, uint32_t id)
{
	uint8_t usr[RNBD_CLOSE_LEN];
	struct ask a;

	build_close(usr, id);
	ask_write(s, &a, cid, NULL, 0, usr, sizeof(usr));
	ask_send(s, &a);
}

static void post_read(struct session *s, uint16_t cid, uint32_t id)
{
	uint8_t usr[RNBD_IO_LEN];
	struct ask a;

	build_io(usr, id, 0, OP_READ | RW_SYNC, 4096);
	ask_read(s, &a, cid, 4096, 4096, usr, sizeof(usr));
	ask_send(s, &a);
}

/* Waits until as many answers came as requests were posted. */
static bool settled(struct session *s, unsigned int count)
{
	long long end = now_ms() + opt.timeout_ms;

	while (s->answers < count && !s->down && now_ms() < end)
		session_pump(s);
	return s->answers == count;
}

/* Two CLOSEs of one id on two connections, with reads between them. */
static int close_twice(struct verdict *v)
{
	struct open_rsp rsp;
	char why[200];
	struct session *s = rnbd_session(why, sizeof(why));

	if (!s)
		return bad(v, "%s", why);
	for (int i = 0; i < ROUNDS; i++) {
		int r = rnbd_open(s, opt.device, ACCESS_RO, &rsp);
		unsigned int count = s->answers;

		if (r)
			return bad(v, "round %d, honest OPEN: %s", i, reaction(r));
		post_read(s, 1, rsp.id);
		post_close(s, 0, rsp.id);
		post_close(s, 1, rsp.id);
		post_read(s, 1, rsp.id);
		if (!settled(s, count + 4))
			return bad(v, "round %d: %u of 4 answers, %s", i, s->answers - count,
				   s->down ? "path closed" : "path open");
	}
	return good(v, "%d rounds, all answered", ROUNDS);
}

/* Reads with guessed ids on connection 1 while OPEN works on connection 0. */
static int guess_id(struct verdict *v)
{
	char why[200];
	struct session *s = rnbd_session(why, sizeof(why));
	uint32_t next = 0;

	if (!s)
		return bad(v, "%s", why);
	for (int i = 0; i < ROUNDS; i++) {
		unsigned int count = s->answers;
		struct open_rsp rsp;

		memset(s->rx, 0, RNBD_OPEN_RSP_LEN);
		post_open(s, 0);
		for (int k = 0; k < 4; k++)
			post_read(s, 1, next + k % 2);
		if (!settled(s, count + 5))
			return bad(v, "round %d: %u of 5 answers", i, s->answers - count);
		parse_open_rsp(&rsp, s->rx);
		if (rsp.type != RNBD_OPEN_RSP)
			return bad(v, "round %d: OPEN failed", i);
		if (rnbd_close(s, rsp.id))
			return bad(v, "round %d: CLOSE failed", i);
		next = rsp.id + 1;
	}
	return good(v, "%d rounds, all answered", ROUNDS);
}

/* The last CLOSE of one session against the first OPEN of another. */
static int last_close_first_open(struct verdict *v)
{
	char why[200];
	struct session *s[2] = { rnbd_session(why, sizeof(why)), NULL };
	struct open_rsp rsp[2];

	s[1] = s[0] ? rnbd_session(why, sizeof(why)) : NULL;
	if (!s[1])
		return bad(v, "%s", why);
	if (rnbd_open(s[0], opt.device, ACCESS_RO, &rsp[0]))
		return bad(v, "honest OPEN failed");
	for (int i = 0; i < ROUNDS; i++) {
		struct session *from = s[i & 1], *to = s[!(i & 1)];
		unsigned int a = from->answers, b = to->answers;

		memset(to->rx, 0, RNBD_OPEN_RSP_LEN);
		post_close(from, 0, rsp[i & 1].id);
		post_open(to, 0);
		if (!settled(from, a + 1) || !settled(to, b + 1))
			return bad(v, "round %d: an answer is missing", i);
		parse_open_rsp(&rsp[!(i & 1)], to->rx);
		if (rsp[!(i & 1)].type != RNBD_OPEN_RSP)
			return bad(v, "round %d: OPEN failed", i);
	}
	return good(v, "%d rounds, every OPEN succeeded", ROUNDS);
}

/* OPEN by the hundred: the same name is one mapping. */
static int open_flood(struct verdict *v)
{
	char why[200];
	struct session *s = rnbd_session(why, sizeof(why));
	unsigned int count, num;

	if (!s)
		return bad(v, "%s", why);
	num = s->depth < 300 ? s->depth : 300;
	count = s->answers;
	for (unsigned int i = 0; i < num; i++)
		post_open(s, i * 64);
	if (!settled(s, count + num))
		return s->down ? good(v, "%u OPENs at once: path closed", num) :
			bad(v, "%u OPENs at once: %u answers", num, s->answers - count);
	for (unsigned int i = 1; i < num; i++) {
		if (get32(s->rx + i * 64 + 4) != get32(s->rx + 4))
			return bad(v, "one name, several ids");
	}
	return good(v, "%u OPENs at once: one id", num);
}

#define SETS	8

/* OPEN, READ and CLOSE of one id after the other, none of them awaited. */
static void post_sets(struct session *s, uint32_t id)
{
	for (uint32_t k = 0; k < SETS; k++) {
		post_open(s, k * 64);
		post_read(s, 1, id + k);
		post_close(s, 0, id + k);
	}
}

/* Whether the ids that post_sets() guesses are those that the server gives. */
static bool guessed(const struct session *s, uint32_t id)
{
	struct open_rsp rsp;

	for (uint32_t k = 0; k < SETS; k++) {
		parse_open_rsp(&rsp, s->rx + k * 64);
		if (rsp.type != RNBD_OPEN_RSP || rsp.id != id + k)
			return false;
	}
	return true;
}

/* Disconnect while OPENs, CLOSEs and READs of a device that is open are being worked on. */
static int vanish_in_control(struct verdict *v)
{
	for (int i = 0; i < 10; i++) {
		struct open_rsp rsp;
		char why[200];
		struct session *s = rnbd_device(opt.device, ACCESS_RO, &rsp, why, sizeof(why));
		unsigned int count;

		if (!s)
			return bad(v, "round %d: %s", i, why);
		count = s->answers;
		memset(s->rx, 0, SETS * 64);
		post_sets(s, rsp.id);
		/* The first stays, to show that the ids are right. */
		if (!i && !settled(s, count + SETS * 3))
			return bad(v, "%u of %d answers", s->answers - count, SETS * 3);
		if (!i && !guessed(s, rsp.id))
			return bad(v, "the ids after %u are others than were guessed", rsp.id);
		session_close(s);
	}
	return good(v, "nine sessions left with %d messages in flight", SETS * 3);
}

const struct hostile_case race_cases[] = {
	{ "race-close-twice", "RNBD S8", close_twice },
	{ "race-guess-id", "RNBD S9", guess_id },
	{ "race-close-open", "RNBD S10", last_close_first_open },
	{ "race-open-flood", "RNBD S16, S15", open_flood },
	{ "race-vanish", "S15, RNBD S15", vanish_in_control },
	{ NULL, NULL, NULL },
};
