// SPDX-License-Identifier: GPL-2.0
/*
 * Lies by number and timing: one chunk used twice, full queues, floods,
 * receives withheld, many sessions, clients that vanish.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "case.h"

/* Pumps until `count` answers came in all, or the path is down, or time is up. */
static void drain(struct session *s, unsigned int count, int timeout_ms)
{
	long long end = now_ms() + timeout_ms;

	while (s->answers < count && !s->down && now_ms() < end)
		session_pump(s);
}

static struct session *device(struct verdict *v, struct open_rsp *rsp)
{
	char why[200];
	struct session *s = rnbd_device(opt.device, ACCESS_RO, rsp, why, sizeof(why));

	if (!s)
		bad(v, "%s", why);
	return s;
}

static void read_ask(struct session *s, struct ask *a, uint16_t cid, uint32_t id, uint32_t slot)
{
	uint8_t usr[RNBD_IO_LEN];

	build_io(usr, id, 0, OP_READ | RW_SYNC, SECTOR);
	ask_read(s, a, cid, slot * SECTOR, SECTOR, usr, sizeof(usr));
}

/* A session with a backend on which everything takes SLOW_MS, so that a chunk stays busy. */
static struct session *slow_device(struct verdict *v, struct open_rsp *rsp)
{
	char why[200];
	struct session *s;

	if (!opt.slow_device) {
		skip(v, "needs --slow-device");
		return NULL;
	}
	s = rnbd_device(opt.slow_device, ACCESS_RO, rsp, why, sizeof(why));
	if (!s)
		bad(v, "%s", why);
	return s;
}

/* The path has to be closed while the first request is still at its backend, so unanswered. */
static int must_close(struct verdict *v, struct session *s, unsigned int before)
{
	if (!session_wait_down(s, SLOW_MS / 2))
		return bad(v, "a busy chunk took another request: path open after %d ms, %u answers",
			   SLOW_MS / 2, s->answers - before);
	if (s->answers != before)
		return bad(v, "%u answers, while the chunk was busy", s->answers - before);
	if (s->garbage)
		return bad(v, "%u senseless messages", s->garbage);
	return good(v, "path closed, and nothing answered");
}

/* The same immediate again, on one or both connections, `ms` after the request. */
static int duplicates(struct verdict *v, unsigned int copies, bool both_cons, int ms)
{
	struct open_rsp rsp;
	struct session *s = slow_device(v, &rsp);
	unsigned int before;
	uint32_t imm;
	struct ask a;

	if (!s)
		return -1;
	before = s->answers;
	read_ask(s, &a, 1, rsp.id, 0);
	imm = imm_io_req(s->depth, a.chunk, a.data_len + a.usr_len);
	if (ask_send(s, &a))
		return bad(v, "cannot send");
	if (ms && session_wait_down(s, ms))
		return bad(v, "path closed for one honest request");
	for (unsigned int i = 0; i < copies; i++) {
		if (poke(s, both_cons ? i & 1 : 1, imm))
			break;
	}
	return must_close(v, s, before);
}

/* When the first is at the backend for sure. */
static int chunk_twice(struct verdict *v)
{
	return duplicates(v, 1, false, SLOW_MS / 8);
}

/* When it is anywhere between arriving and the backend. */
static int chunk_burst(struct verdict *v)
{
	return duplicates(v, 16, true, 0);
}

/* Another request in the same chunk, from the other connection. */
static int chunk_two_cons(struct verdict *v)
{
	struct open_rsp rsp;
	struct session *s = slow_device(v, &rsp);
	unsigned int before;
	struct ask a, b;

	if (!s)
		return -1;
	before = s->answers;
	read_ask(s, &a, 1, rsp.id, 0);
	b = a;
	b.cid = 0;
	build_sess_info(b.usr, 2);
	if (ask_send(s, &a))
		return bad(v, "cannot send");
	if (session_wait_down(s, SLOW_MS / 8))
		return bad(v, "path closed for one honest request");
	/* Without new keys it gets there; with them the adapter is the first to refuse. */
	if (ask_send(s, &b))
		return bad(v, "cannot send the second");
	return must_close(v, s, before);
}

/* All chunks in flight on one connection: legal, and all must be answered. */
static int full_depth(struct verdict *v, uint16_t cid)
{
	struct open_rsp rsp;
	struct session *s = device(v, &rsp);
	unsigned int sent = 0, before, errors = 0;
	struct ask a;

	if (!s)
		return -1;
	before = s->answers;
	for (uint32_t i = 0; i < s->depth && i < RX_LEN / SECTOR; i++) {
		read_ask(s, &a, cid, rsp.id, i);
		sent += !ask_send(s, &a);
	}
	drain(s, before + sent, 6 * opt.timeout_ms);
	if (s->down)
		return bad(v, "%u legal requests at once: path closed", sent);
	if (s->answers - before != sent || s->garbage)
		return bad(v, "%u requests, %u answers, %u senseless", sent, s->answers - before,
			   s->garbage);
	for (uint32_t i = 0; i < s->depth; i++)
		errors += s->chunk[i].err != 0;
	if (errors)
		return bad(v, "%u of %u reads failed", errors, sent);
	return good(v, "%u requests at once, all answered", sent);
}

static int full_depth_io(struct verdict *v)
{
	return full_depth(v, 1);
}

static int full_depth_admin(struct verdict *v)
{
	return full_depth(v, 0);
}

/* Requests without a single receive for their answers, then a silent end. */
static int no_receives(struct verdict *v)
{
	struct session *s = session_new();
	uint8_t usr[RNBD_SESS_INFO_LEN];
	struct ask a;

	s->recvs = 0;
	if (session_open(s))
		return bad(v, "honest session: %s", s->why);
	build_sess_info(usr, 2);
	for (uint32_t i = 0; i < s->depth; i++) {
		ask_read(s, &a, 1, 0, RNBD_SESS_INFO_LEN, usr, sizeof(usr));
		if (ask_send(s, &a))
			break;
	}
	session_wait_down(s, 2000);
	return good(v, "answers that nobody takes: %s", s->down ? "path closed" : "parked");
}

/* Disconnects, and in a second round just vanishes, with IO in flight. */
static int vanish(struct verdict *v)
{
	for (int round = 0; round < 6; round++) {
		struct open_rsp rsp;
		struct session *s = device(v, &rsp);
		struct ask a;

		if (!s)
			return -1;
		for (uint32_t i = 0; i < 128; i++) {
			read_ask(s, &a, 1, rsp.id, i);
			if (ask_send(s, &a))
				break;
		}
		if (round & 1) {
			/* No disconnect: the ids are destroyed under the requests. */
			for (int i = 0; i < s->cons; i++)
				s->con[i].state = CON_DOWN;
		}
		session_close(s);
	}
	return good(v, "six sessions left with 128 reads in flight");
}

/* One connection goes away; the server has to take the whole path down. */
static int one_con_down(struct verdict *v)
{
	for (int cid = 0; cid < 2; cid++) {
		struct open_rsp rsp;
		struct session *s = device(v, &rsp);
		struct con *other;
		long long end;

		if (!s)
			return -1;
		other = &s->con[!cid];
		rdma_disconnect(s->con[cid].id);
		end = now_ms() + opt.timeout_ms;
		while (other->state == CON_UP && now_ms() < end)
			session_pump(s);
		if (other->state == CON_UP)
			return bad(v, "connection %u outlives connection %d", other->cid, cid);
		session_close(s);
	}
	return good(v, "the other connection was closed too");
}

/* Immediates that mean nothing, by the thousand; the log is for the script. */
static int flood(struct verdict *v)
{
	struct session *s = session_new();
	unsigned int sent = 0;
	int r;

	if (session_open(s))
		return bad(v, "honest session: %s", s->why);
	for (int i = 0; i < 2000 && !s->down; i++) {
		sent += !poke(s, 1, imm_make(3 + i % 5, i));
		session_pump(s);
	}
	r = s->down ? GONE : rnbd_sess_info(s);
	if (r && r != GONE)
		return bad(v, "%u unknown immediates, then %s", sent, reaction(r));
	return good(v, "%u unknown immediates, then %s", sent, reaction(r));
}

static int heartbeat_flood(struct verdict *v)
{
	struct session *s = session_new();
	long long end;
	int r;

	if (session_open(s))
		return bad(v, "honest session: %s", s->why);
	for (int i = 0; i < 2000 && !s->down; i++)
		poke(s, 0, imm_make(IMM_HB, i));
	end = now_ms() + opt.timeout_ms;
	while (s->hb_acks < 2000 && !s->down && now_ms() < end)
		session_pump(s);
	r = s->down ? GONE : rnbd_sess_info(s);
	if (r && r != GONE)
		return bad(v, "%u heartbeats answered, then %s", s->hb_acks, reaction(r));
	return good(v, "%u of 2000 heartbeats answered, then %s", s->hb_acks, reaction(r));
}

/* Refused requests by the hundred, each on a fresh path if it was closed. */
static int refusal_flood(struct verdict *v)
{
	struct session *s = session_new();
	unsigned int sent = 0;
	uint8_t usr[RNBD_IO_LEN];
	struct ask a;

	if (session_open(s))
		return bad(v, "honest session: %s", s->why);
	build_io(usr, 0x7777, 0, OP_READ, SECTOR);
	for (int i = 0; i < 1000 && !s->down; i++, sent++) {
		int r;

		ask_read(s, &a, 1, 0, SECTOR, usr, sizeof(usr));
		r = ask_call(s, &a);
		if (r == 0 || r == SILENT)
			return bad(v, "request %d to an unknown device: %s", i, reaction(r));
	}
	return good(v, "%u requests to an unknown device refused", sent);
}

/* Opens as many sessions as it can, at most opt.sessions, and closes them. */
static int open_many(struct verdict *v, char *refusal, size_t len)
{
	struct session **all = calloc(opt.sessions + 1, sizeof(*all));
	int num = 0;

	refusal[0] = 0;
	while (num < opt.sessions) {
		struct session *s = session_new();

		s->rx_len = 16384;
		s->tx_len = 16384;
		s->recvs = 16;
		all[num] = s;
		if (session_open(s)) {
			snprintf(refusal, len, "%s", s->why);
			session_close(s);
			break;
		}
		num++;
		for (int i = 0; i < num; i++)
			session_pump(all[i]);
	}
	for (int i = 0; i < num; i++) {
		if (!all[i]->down && rnbd_sess_info(all[i]) == SILENT)
			return bad(v, "session %d of %d does not answer", i, num);
	}
	for (int i = 0; i < num; i++)
		session_close(all[i]);
	free(all);
	return num;
}

static int many_sessions(struct verdict *v)
{
	char refusal[160], why[200];
	int first, then;

	first = open_many(v, refusal, sizeof(refusal));
	if (first < 0)
		return -1;
	if (!first)
		return bad(v, "not even one session: %s", refusal);
	if (honest_check(why, sizeof(why)))
		return bad(v, "after %d sessions: %s", first, why);
	then = open_many(v, refusal, sizeof(refusal));
	if (then < 0)
		return -1;
	/* What was given back must be there again, but for a late teardown. */
	if (then < first - 2)
		return bad(v, "%d sessions, then only %d: %s", first, then, refusal);
	return good(v, "%d sessions and again %d; refusal: %s", first, then,
		    refusal[0] ? refusal : "none within --sessions");
}

/* A refusal in the middle of a path's making, many times. */
static int connect_churn(struct verdict *v)
{
	for (int i = 0; i < 30; i++) {
		struct session *s = session_new();

		if (session_connect_one(s, 0))
			return bad(v, "attempt %d: %s", i, s->why);
		if (i & 1)
			session_connect_one(s, 1);
		if (i % 3 == 0)
			session_send_info(s, 0);
		session_close(s);
	}
	return good(v, "30 paths abandoned at different points");
}

/* With a second address pair: each path must have chunks of its own. */
static int second_path(struct verdict *v)
{
	struct session *a = session_new(), *b = session_new();
	uint8_t pattern[SECTOR];
	int r;

	if (!opt.dst2)
		return skip(v, "needs --dst2");
	memset(pattern, 'K', sizeof(pattern));
	if (session_open(a))
		return bad(v, "honest session: %s", a->why);
	memcpy(b->paths_uuid, a->paths_uuid, 16);
	memcpy(b->name, a->name, sizeof(a->name));
	b->first_conn = 0;
	b->dst = opt.dst2;
	if (session_open(b))
		return bad(v, "a path of another address family may not join: %s", b->why);
	if (b->depth != a->depth || b->chunk_size != a->chunk_size)
		return bad(v, "the paths disagree on the session's parameters");
	for (uint32_t i = 0; i < a->depth; i++) {
		if (a->chunk[i].addr == b->chunk[i].addr)
			return bad(v, "chunk %u is the same memory on both paths", i);
	}
	r = write_bytes(b, 1, a->chunk[5].addr, a->chunk[5].key, pattern, sizeof(pattern));
	return good(v, "own chunks per path; a key of the other path: %s",
		    r == IBV_WC_SUCCESS ? "works, same session" : "refused");
}

const struct hostile_case load_cases[] = {
	{ "chunk-twice", "S7", chunk_twice },
	{ "chunk-burst", "S7, S8", chunk_burst },
	{ "chunk-two-cons", "S7, S6", chunk_two_cons },
	{ "full-depth", "S26, S27", full_depth_io },
	{ "full-depth-admin", "S26", full_depth_admin },
	{ "no-receives", "S8, S9, S26", no_receives },
	{ "vanish", "S9, S14", vanish },
	{ "one-con-down", "11 row 29", one_con_down },
	{ "immediate-flood", "S23", flood },
	{ "heartbeat-flood", "S26", heartbeat_flood },
	{ "refusal-flood", "S23, RNBD S16", refusal_flood },
	{ "connect-churn", "S3, S14, S21", connect_churn },
	{ "many-sessions", "S20", many_sessions },
	{ "second-path", "S1, S28", second_path },
	{ NULL, NULL, NULL },
};
