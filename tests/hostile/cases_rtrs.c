// SPDX-License-Identifier: GPL-2.0
/*
 * Lies in one request: offsets, lengths, types, descriptors.
 */
#include <stdio.h>
#include <string.h>

#include "case.h"

/* A session that is replaced when the server has closed it. */
static struct session *keep(struct session *s, struct verdict *v)
{
	char why[200];

	if (s && !s->down)
		return s;
	if (s)
		session_close(s);
	s = rnbd_session(why, sizeof(why));
	if (!s)
		bad(v, "%s", why);
	return s;
}

/* An honest SESS_INFO request, to be bent. */
static void info_ask(struct session *s, struct ask *a, uint32_t data_len)
{
	uint8_t usr[RNBD_SESS_INFO_LEN];

	build_sess_info(usr, 2);
	rx_fill(s);
	ask_read(s, a, 0, 0, data_len, usr, sizeof(usr));
}

/* The RTRS message begins so near to the chunk's end that it does not fit. */
static int message_at_end(struct verdict *v)
{
	static const struct { bool read; uint8_t left; } cuts[] = {
		{ false, 1 }, { false, 2 }, { false, 3 },
		{ true, 1 }, { true, 4 }, { true, 7 }, { true, 8 }, { true, 12 }, { true, 23 },
	};
	struct session *s = NULL;
	struct ask a;
	char what[64];
	int r, gone = 0;

	for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
		uint8_t usr[RNBD_SESS_INFO_LEN];
		uint32_t data_len;

		s = keep(s, v);
		if (!s)
			return -1;
		data_len = s->chunk_size - cuts[i].left - sizeof(usr);
		build_sess_info(usr, 2);
		if (cuts[i].read)
			ask_read(s, &a, 1, 0, data_len, usr, sizeof(usr));
		else
			ask_write(s, &a, 1, NULL, data_len, usr, sizeof(usr));
		a.desc[0].len = RNBD_SESS_INFO_LEN;
		rx_fill(s);
		r = ask_call(s, &a);
		snprintf(what, sizeof(what), "%s message %u bytes before the end",
			 cuts[i].read ? "READ" : "WRITE", cuts[i].left);
		if (r == 0 || r == SILENT || rx_foreign(s, 0, s->rx_len))
			return bad(v, "%s: %s", what, reaction(r));
		gone += r == GONE;
	}
	return good(v, "nine cut messages: %d times path closed, else error", gone);
}

/* The same offsets, but told only by the immediate and beyond the chunk. */
static int offset_outside(struct verdict *v)
{
	struct session *s = NULL;
	uint32_t top, offs[4];
	int r;

	s = keep(s, v);
	if (!s)
		return -1;
	top = (1u << (28 - ceil_log2(s->depth))) - 1;
	if (top < s->chunk_size)
		return good(v, "chunks are as large as the immediate can say");
	offs[0] = s->chunk_size;
	offs[1] = s->chunk_size + 1;
	offs[2] = top - 3;
	offs[3] = top;
	for (int i = 0; i < 4; i++) {
		uint32_t chunk;

		s = keep(s, v);
		if (!s)
			return -1;
		chunk = pick_chunk(s);
		poke(s, 1, imm_io_req(s->depth, chunk, offs[i]));
		r = ask_wait(s, chunk, s->chunk[chunk].answers + 1, opt.timeout_ms);
		if (r == 0 || r == SILENT)
			return bad(v, "offset %u of %u: %s", offs[i], s->chunk_size, reaction(r));
	}
	return good(v, "four offsets beyond the chunk refused");
}

static int index_outside(struct verdict *v)
{
	struct session *s = keep(NULL, v);
	unsigned int bits, before;
	int r;

	if (!s)
		return -1;
	bits = ceil_log2(s->depth);
	if (s->depth == 1u << bits)
		return skip(v, "depth %u leaves no index out of range; use another one", s->depth);
	for (uint32_t index = s->depth; index < 1u << bits; index += 7) {
		s = keep(s, v);
		if (!s)
			return -1;
		before = s->answers;
		poke(s, 1, imm_make(IMM_IO_REQ, (index << (28 - bits)) + 32));
		if (!session_wait_down(s, opt.timeout_ms) && s->answers == before)
			return bad(v, "index %u of %u: silence", index, s->depth);
	}
	r = s->down ? GONE : 1;
	return good(v, "indices from %u on: %s", s->depth, r == GONE ? "path closed" : "error");
}

static int answer_too_long(struct verdict *v)
{
	struct session *s = NULL;
	uint32_t lens[6];
	struct ask a;
	int r, errors = 0, gone = 0, cut = 0;

	for (int i = 0; i < 6; i++) {
		s = keep(s, v);
		if (!s)
			return -1;
		lens[0] = RNBD_SESS_INFO_LEN + 1;
		lens[1] = 4096;
		lens[2] = s->chunk_size;
		lens[3] = s->chunk_size + 1;
		lens[4] = 0x80000000;
		lens[5] = UINT32_MAX;
		/* A chunk nobody has used: whatever comes out of it is not ours. */
		s->next_chunk = s->depth / 2 + i;
		info_ask(s, &a, RNBD_SESS_INFO_LEN);
		a.desc[0].len = lens[i];
		r = ask_call(s, &a);
		for (size_t k = RNBD_SESS_INFO_LEN; k < s->rx_len; k++) {
			if (s->rx[k] != CANARY)
				return bad(v, "descriptor of %u bytes: byte %zu beyond the data "
					   "arrived (%s)", lens[i], k, reaction(r));
		}
		if (r == SILENT)
			return bad(v, "descriptor of %u bytes: silence", lens[i]);
		errors += r > 0;
		gone += r == GONE;
		cut += r == 0;
	}
	return good(v, "nothing beyond the data arrived; %d errors, %d times closed, %d cut short",
		    errors, gone, cut);
}

/* A short answer in a long buffer: what follows must not be old memory. */
static int answer_tail(struct verdict *v)
{
	struct session *s = keep(NULL, v);
	struct ask a;
	size_t foreign;
	int r;

	if (!s)
		return -1;
	s->next_chunk = s->depth - 2;
	info_ask(s, &a, s->max_io);
	r = ask_call(s, &a);
	if (r == SILENT)
		return bad(v, "silence");
	foreign = rx_foreign(s, RNBD_SESS_INFO_LEN, s->rx_len);
	if (foreign)
		return bad(v, "%zu bytes of foreign memory behind the answer", foreign);
	return good(v, "%s, nothing foreign behind the answer", reaction(r));
}

/* One bent field in an otherwise honest READ; see `bends` below. */
static void bend_zero_len(struct ask *a) { a->desc[0].len = 0; }
static void bend_addr(struct ask *a) { a->desc[0].addr = 0x1000; }
static void bend_key(struct ask *a) { a->desc[0].key ^= 0x00ffff00; }
static void bend_sg2(struct ask *a) { a->sg_cnt = 2; a->desc_num = 2; a->desc[1] = a->desc[0]; }
static void bend_sg_many(struct ask *a) { a->sg_cnt = 0xffff; }
static void bend_sg_swapped(struct ask *a) { a->sg_cnt = 0x0100; }
static void bend_usr_by_one(struct ask *a) { a->usr_field = a->data_len + a->usr_len + 1; }
static void bend_usr_max(struct ask *a) { a->usr_field = 0xffff; }
static void bend_type0(struct ask *a) { a->type = 0; }
static void bend_type1(struct ask *a) { a->type = 1; }
static void bend_type4(struct ask *a) { a->type = 4; }
static void bend_type5(struct ask *a) { a->type = 5; }
static void bend_type_max(struct ask *a) { a->type = 0xffff; }

static int bent(struct verdict *v, void (*const *bends)(struct ask *a), size_t num)
{
	struct session *s = NULL;
	struct ask a;
	int r, errors = 0, gone = 0;

	for (size_t i = 0; i < num; i++) {
		s = keep(s, v);
		if (!s)
			return -1;
		info_ask(s, &a, RNBD_SESS_INFO_LEN);
		bends[i](&a);
		r = ask_call(s, &a);
		if (r == 0 || r == SILENT)
			return bad(v, "lie number %zu: %s", i, reaction(r));
		if (rx_foreign(s, 0, s->rx_len))
			return bad(v, "lie number %zu: refused, and data arrived", i);
		errors += r > 0;
		gone += r == GONE;
	}
	return good(v, "%zu lies: %d errors, %d times path closed", num, errors, gone);
}

#define BENT(name, ...)								\
static int name(struct verdict *v)						\
{										\
	static void (*const bends[])(struct ask *a) = { __VA_ARGS__ };		\
										\
	return bent(v, bends, sizeof(bends) / sizeof(bends[0]));		\
}

BENT(descriptor_lies, bend_zero_len, bend_addr, bend_key)
BENT(descriptor_count, bend_sg2, bend_sg_many, bend_sg_swapped)
BENT(user_length, bend_usr_by_one, bend_usr_max)
BENT(message_type, bend_type0, bend_type1, bend_type4, bend_type5, bend_type_max)

const struct hostile_case rtrs_cases[] = {
	{ "message-at-chunk-end", "S4", message_at_end },
	{ "offset-outside", "S4", offset_outside },
	{ "index-outside", "5.2", index_outside },
	{ "answer-too-long", "S5, RNBD S14", answer_too_long },
	{ "answer-tail", "S5, RNBD S14", answer_tail },
	{ "descriptor-lies", "S5, S6", descriptor_lies },
	{ "descriptor-count", "S18, S29", descriptor_count },
	{ "user-length", "S18", user_length },
	{ "message-type", "5.2", message_type },
	{ NULL, NULL, NULL },
};
