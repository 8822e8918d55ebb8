// SPDX-License-Identifier: GPL-2.0
/*
 * Keys that are stale, foreign or not to be invalidated; immediates that are
 * no requests.
 */
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

/* Invalidation asked for where there is nothing to invalidate. */
static int invalidate_nothing(struct verdict *v)
{
	struct session *s = keep(NULL, v);
	uint8_t usr[RNBD_IO_LEN];
	struct ask a;
	int r;

	if (!s)
		return -1;
	build_io(usr, 0xffff, 0, OP_FLUSH, 0);
	ask_read(s, &a, 1, 0, 0, usr, sizeof(usr));
	a.flags = 0xffff;
	r = ask_call(s, &a);
	if (r == SILENT && !session_broken(s))
		return bad(v, "silence");
	return good(v, "%s", reaction(r));
}

/*
 * A region, unlike a window, cannot be invalidated by the other side: our own
 * adapter gives the connection up, and the server may learn that late.
 */
static int invalidate_region(struct verdict *v)
{
	struct session *s = keep(NULL, v);
	struct ask a;
	int r;

	if (!s)
		return -1;
	info_ask(s, &a, RNBD_SESS_INFO_LEN);
	a.flags = RTRS_NEED_INVAL;
	r = ask_call(s, &a);
	if (r == SILENT && !session_broken(s))
		return bad(v, "silence");
	return good(v, "%s", r == SILENT ? "connection given up by the adapter" : reaction(r));
}

/* Honest use of NEED_INVAL, with a memory window. */
static int invalidate_honest(struct verdict *v)
{
	struct session *s = keep(NULL, v);
	struct ask a;
	uint32_t key;
	int r;

	if (!s)
		return -1;
	if (bind_window(s, 0, 0, RNBD_SESS_INFO_LEN, &key))
		return bad(v, "cannot bind a memory window");
	info_ask(s, &a, RNBD_SESS_INFO_LEN);
	a.flags = RTRS_NEED_INVAL;
	a.desc[0].key = key;
	r = ask_call(s, &a);
	if (r || get16(s->rx) != RNBD_SESS_INFO_RSP)
		return bad(v, "%s", reaction(r));
	if (s->chunk[a.chunk].type != IMM_IO_RSP_INV)
		return bad(v, "answered without the invalidation");
	return good(v, "answered with data and invalidation");
}

static int unknown_immediates(struct verdict *v)
{
	static const uint8_t types[] = { 1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13, 14, 15 };
	struct session *s = NULL;
	int gone = 0, r;

	for (size_t i = 0; i < sizeof(types); i++) {
		s = keep(s, v);
		if (!s)
			return -1;
		poke(s, i & 1, imm_make(types[i], 0x0abcdef));
		r = rnbd_sess_info(s);
		if (r && r != GONE)
			return bad(v, "type %u: then %s", types[i], reaction(r));
		gone += r == GONE;
	}
	return good(v, "13 types, path closed %d times, else ignored", gone);
}

static int heartbeat_wrong_con(struct verdict *v)
{
	struct session *s = keep(NULL, v);
	int r;

	if (!s)
		return -1;
	poke(s, 1, imm_make(IMM_HB, 0));
	poke(s, 1, imm_make(IMM_HB_ACK, 0));
	poke(s, 0, imm_make(IMM_HB_ACK, 0x0fffffff));
	r = rnbd_sess_info(s);
	if (r && r != GONE)
		return bad(v, "then %s", reaction(r));
	return good(v, "%s", r ? "path closed" : "ignored, the path goes on");
}

static int heartbeat_answered(struct verdict *v)
{
	struct session *s = keep(NULL, v);
	long long end = now_ms() + opt.timeout_ms;

	if (!s)
		return -1;
	poke(s, 0, imm_make(IMM_HB, 0));
	while (!s->hb_acks && !s->down && now_ms() < end)
		session_pump(s);
	return s->hb_acks ? good(v, "answered on connection 0") : bad(v, "no HB_ACK");
}

/*
 * A refused write kills the connection in the adapter. Whether the server is
 * told, and thus closes the path at once or by heartbeat, is the adapter's
 * choice.
 */
static const char *aftermath(struct session *s)
{
	return session_wait_down(s, 1000) ? "path closed" : "path left to the heartbeat";
}

/* The key of a chunk must die with the request that used it. */
static int stale_key(struct verdict *v)
{
	struct session *s = keep(NULL, v);
	struct ask a;
	uint32_t old;
	int r;

	if (!s)
		return -1;
	info_ask(s, &a, RNBD_SESS_INFO_LEN);
	old = s->chunk[a.chunk].key;
	r = ask_call(s, &a);
	if (r)
		return bad(v, "honest SESS_INFO: %s", reaction(r));
	if (!s->new_rkey)
		return s->chunk[a.chunk].key == old ? good(v, "plain mode: the key stays") :
			bad(v, "plain mode, but the key changed");
	if (s->chunk[a.chunk].key == old)
		return bad(v, "the same key was announced again");
	r = write_bytes(s, 1, s->chunk[a.chunk].addr, old, "stale", 5);
	if (r == IBV_WC_SUCCESS)
		return bad(v, "the old key still opens the chunk");
	return good(v, "write refused (%s), %s", ibv_wc_status_str(r), aftermath(s));
}

static int beyond_pool(struct verdict *v)
{
	struct session *s = keep(NULL, v);
	struct chunk *last;
	int r;

	if (!s)
		return -1;
	last = &s->chunk[s->depth - 1];
	r = write_bytes(s, 1, last->addr + s->chunk_size - 2, last->key, "over", 4);
	if (r == IBV_WC_SUCCESS)
		return bad(v, "two bytes behind the last chunk were writable");
	return good(v, "write refused (%s), %s", ibv_wc_status_str(r), aftermath(s));
}

/* Another session's key and address over our connection. */
static int foreign_key(struct verdict *v)
{
	struct session *victim = keep(NULL, v), *s = keep(NULL, v);
	int r;

	if (!s || !victim)
		return -1;
	r = write_bytes(s, 1, victim->chunk[3].addr, victim->chunk[3].key, "thief", 5);
	if (r == IBV_WC_SUCCESS)
		return bad(v, "wrote into a chunk of another session");
	if (rnbd_sess_info(victim))
		return bad(v, "the other session was hurt");
	return good(v, "write refused (%s), the other session goes on", ibv_wc_status_str(r));
}

const struct hostile_case key_cases[] = {
	{ "invalidate-nothing", "S23", invalidate_nothing },
	{ "invalidate-region", "5.4", invalidate_region },
	{ "invalidate-honest", "11 row 24", invalidate_honest },
	{ "immediate-unknown", "2.6", unknown_immediates },
	{ "heartbeat-wrong-con", "S23", heartbeat_wrong_con },
	{ "heartbeat-answered", "6.1", heartbeat_answered },
	{ "key-stale", "5.5, S17", stale_key },
	{ "key-beyond-pool", "5.1", beyond_pool },
	{ "key-foreign", "S19", foreign_key },
	{ NULL, NULL, NULL },
};
