// SPDX-License-Identifier: GPL-2.0
/*
 * Extensions of the protocol: fences that are none, or not one's own; requests that are
 * sent again over another path; sessions that come again, or pretend to
 * (Documentation/protocol.md; weak points S1, S12, S13, S33, S34).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "case.h"

/* A fence for `uuid`; 24 bytes, as long as a read with one descriptor. */
static void make_fence(struct session *s, struct ask *a, const uint8_t uuid[16])
{
	ask_read(s, a, 0, 0, 0, NULL, 0);
	a->type = RTRS_FENCE;
	a->desc_num = 1;
	a->desc[0].addr = get64(uuid);
	a->desc[0].key = get32(uuid + 8);
	a->desc[0].len = get32(uuid + 12);
}

static struct session *extended(uint16_t features)
{
	struct session *s = session_new();

	s->features = features;
	return s;
}

/* Two paths of one session, with fences. */
static int two_paths(struct session *s[2], struct verdict *v)
{
	s[0] = extended(EXT_FENCE);
	s[1] = extended(EXT_FENCE);
	memcpy(s[1]->paths_uuid, s[0]->paths_uuid, 16);
	memcpy(s[1]->name, s[0]->name, sizeof(s[0]->name));
	s[1]->dst = opt.dst2;
	if (!opt.dst2)
		return skip(v, "needs --dst2");
	if (session_open(s[0]) || session_open(s[1]))
		return bad(v, "two honest paths: %s%s", s[0]->why, s[1]->why);
	if (!(s[0]->con[0].rsp.features & EXT_FENCE))
		return skip(v, "the server has no fences");
	return 0;
}

static int unagreed(struct verdict *v)
{
	struct session *s = session_new();
	uint8_t uuid[16] = "nobody's path";
	struct ask a;

	if (session_open(s))
		return bad(v, "honest session: %s", s->why);
	if (s->con[0].rsp.features)
		return bad(v, "extensions that were not offered");
	make_fence(s, &a, uuid);
	return refused(v, ask_call(s, &a), "a fence without an agreement");
}

/* Everything that could ever be offered; only what is known is agreed to. */
static int offers(struct verdict *v)
{
	static const uint16_t offer[] = { 0xffff, 0x8000, 0xfff8, 1, 2, 4 };

	for (unsigned int i = 0; i < sizeof(offer) / sizeof(offer[0]); i++) {
		struct session *s = extended(offer[i]);
		uint16_t got;

		if (session_open(s))
			return bad(v, "offer %#x: %s", offer[i], s->why);
		got = s->con[0].rsp.features;
		if (got & ~offer[i] || got & ~(EXT_FENCE | EXT_NOTICE | EXT_USER))
			return bad(v, "offer %#x was answered with %#x", offer[i], got);
		if (rnbd_sess_info(s))
			return bad(v, "offer %#x: the session does not work", offer[i]);
		session_close(s);
	}
	return good(v, "known ones only");
}

static int nobody(struct verdict *v)
{
	struct session *s = extended(EXT_FENCE);
	struct ask a;

	if (session_open(s))
		return bad(v, "honest session: %s", s->why);
	if (!s->con[0].rsp.features)
		return skip(v, "the server has no fences");
	for (int i = 0; i < 300; i++) {
		uint8_t uuid[16] = { i, i >> 8, 1, 2, 3 };
		int r;

		make_fence(s, &a, uuid);
		a.cid = i & 1;
		r = ask_call(s, &a);
		if (r)
			return bad(v, "fence %d for a path that nobody has: %s", i, reaction(r));
	}
	return good(v, "300 fences for no path: success");
}

/* The path of another session must not end. */
static int foreign(struct verdict *v)
{
	struct session *s = extended(EXT_FENCE), *victim = extended(EXT_FENCE);
	struct ask a;
	int r;

	if (session_open(s) || session_open(victim))
		return bad(v, "two honest sessions: %s%s", s->why, victim->why);
	if (!s->con[0].rsp.features)
		return skip(v, "the server has no fences");
	make_fence(s, &a, victim->sess_uuid);
	r = ask_call(s, &a);
	for (long long end = now_ms() + 1000; now_ms() < end;)
		session_pump(victim);
	if (victim->down || rnbd_sess_info(victim))
		return bad(v, "a fence has ended a path of another session");
	make_fence(s, &a, victim->paths_uuid);
	if (r == 0)
		r = ask_call(s, &a);
	if (rnbd_sess_info(victim))
		return bad(v, "a fence has ended another session");
	return good(v, "the other session goes on; the fence got %s", reaction(r));
}

static int own(struct verdict *v)
{
	struct session *s = extended(EXT_FENCE);
	struct ask a;
	int r;

	if (session_open(s))
		return bad(v, "honest session: %s", s->why);
	if (!s->con[0].rsp.features)
		return skip(v, "the server has no fences");
	make_fence(s, &a, s->sess_uuid);
	r = ask_call(s, &a);
	return r == SILENT ? bad(v, "a fence for the path it came by: silence") :
		good(v, "a fence for the path it came by: %s", reaction(r));
}

/* What a fence must not have: a user header, data, less than its bytes. */
static int malformed(struct verdict *v)
{
	for (int i = 0; i < 4; i++) {
		struct session *s = extended(EXT_FENCE);
		uint8_t uuid[16] = "nobody", usr[8] = { 0 };
		struct ask a;
		int r;

		if (session_open(s))
			return bad(v, "honest session: %s", s->why);
		if (!s->con[0].rsp.features)
			return skip(v, "the server has no fences");
		make_fence(s, &a, uuid);
		switch (i) {
		case 0:
			a.usr_field = 4;
			break;
		case 1:
			a.flags = 0xffff;
			a.sg_cnt = 0xffff;
			break;
		case 2:
			memcpy(a.usr, usr, 8);
			a.usr_len = 8;
			break;
		case 3:
			/* The last twenty bytes of the chunk. */
			a.data_len = s->chunk_size - 20;
			break;
		}
		r = ask_call(s, &a);
		if (r == SILENT)
			return bad(v, "malformed fence %d: silence", i);
		if (i == 3 && r == 0)
			return bad(v, "a fence beyond the end of its chunk: success");
		session_close(s);
	}
	return good(v, "four malformed fences: answered or closed");
}

/* The other path really ends before the answer, and its chunks with it. */
static int other_path(struct verdict *v)
{
	struct session *s[2];
	struct ask a;
	int r = two_paths(s, v);

	if (r)
		return r;
	make_fence(s[0], &a, s[1]->sess_uuid);
	r = ask_call(s[0], &a);
	if (r)
		return bad(v, "a fence for the other path: %s", reaction(r));
	if (!session_wait_down(s[1], 2000))
		return bad(v, "the fence is answered and the path still up");
	if (rnbd_sess_info(s[0]))
		return bad(v, "the path that the fence came by does not work");
	return good(v, "closed, then answered");
}

/* Both paths fence each other, again and again, while both read. */
static int crossed(struct verdict *v)
{
	int ended = 0;

	for (int i = 0; i < 8; i++) {
		struct session *s[2];
		struct open_rsp rsp;
		struct ask a[2];
		int r = two_paths(s, v);

		if (r)
			return r;
		if (rnbd_open(s[0], opt.device, ACCESS_RO, &rsp))
			return bad(v, "honest OPEN failed");
		for (int k = 0; k < 2; k++) {
			for (int n = 0; n < 10; n++) {
				uint8_t usr[RNBD_IO_LEN];
				struct ask q;

				build_io(usr, rsp.id, 0, OP_READ | RW_SYNC, 4096);
				ask_read(s[k], &q, 1, 4096, 4096, usr, sizeof(usr));
				ask_send(s[k], &q);
			}
			make_fence(s[k], &a[k], s[!k]->sess_uuid);
			ask_send(s[k], &a[k]);
		}
		for (long long end = now_ms() + 3000; now_ms() < end && !(s[0]->down || s[1]->down);) {
			session_pump(s[0]);
			session_pump(s[1]);
		}
		ended += s[0]->down + s[1]->down;
		if (!s[0]->down && !s[1]->down)
			return bad(v, "two fences for each other: both paths go on");
		session_close(s[0]);
		session_close(s[1]);
	}
	return good(v, "eight pairs of fences ended %d paths", ended);
}

/* One index on both paths at once: the second copy waits, and both are answered. */
static int same_index(struct verdict *v)
{
	struct session *s[2];
	struct open_rsp rsp;
	int r = two_paths(s, v);

	if (r)
		return r;
	if (rnbd_open_next(s[0], opt.device, ACCESS_RW, &rsp))
		return bad(v, "honest OPEN failed");
	for (int i = 0; i < 100; i++) {
		uint8_t usr[RNBD_IO_LEN], data[SECTOR];
		unsigned int before[2];
		struct ask a;

		memset(data, i, sizeof(data));
		build_io(usr, rsp.id, 0, OP_WRITE | RW_SYNC, SECTOR);
		for (int k = 0; k < 2; k++) {
			ask_write(s[k], &a, 1, data, SECTOR, usr, sizeof(usr));
			a.chunk = i % s[k]->depth;
			before[k] = s[k]->chunk[a.chunk].answers;
			ask_send(s[k], &a);
		}
		for (int k = 0; k < 2; k++) {
			r = ask_wait(s[k], a.chunk, before[k] + 1, opt.timeout_ms);
			if (r)
				return bad(v, "round %d, copy %d: %s", i, k, reaction(r));
		}
	}
	return good(v, "100 requests on both paths at once, all answered");
}

/* A path that waits for its turn is left alone by its client. */
static int same_index_vanish(struct verdict *v)
{
	for (int i = 0; i < 6; i++) {
		struct session *s[2];
		struct open_rsp rsp;
		int r = two_paths(s, v);

		if (r)
			return r;
		if (rnbd_open_next(s[0], opt.device, ACCESS_RW, &rsp))
			return bad(v, "honest OPEN failed");
		/* Each index once: its key is gone until the answer comes. */
		for (uint32_t n = 1; n < 100 && n < s[0]->depth / 2; n++) {
			uint8_t usr[RNBD_IO_LEN], data[4096] = { 0 };
			struct ask a;

			build_io(usr, rsp.id, 0, OP_WRITE | RW_SYNC, sizeof(data));
			for (int k = 0; k < 2; k++) {
				ask_write(s[k], &a, 1, data, sizeof(data), usr, sizeof(usr));
				a.chunk = n;
				ask_send(s[k], &a);
			}
		}
		session_close(s[i & 1]);
		s[!(i & 1)]->next_chunk = s[!(i & 1)]->depth / 2;
		if (rnbd_sess_info(s[!(i & 1)]))
			return bad(v, "round %d: the other path does not work any more", i);
		session_close(s[!(i & 1)]);
	}
	return good(v, "six times; the other path went on");
}

/* --- several clients at once -------------------------------------------------------------- */

#define HEADS	4

/* Opens a session at the same moment as others do; what became of them. */
static int at_once(bool same_session, bool same_name, int *opened)
{
	volatile int *start = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint8_t uuid[16];
	char name[64];
	pid_t pid[HEADS];

	if (start == MAP_FAILED)
		return -1;
	memcpy(uuid, session_new()->paths_uuid, 16);
	snprintf(name, sizeof(name), "heads_%d", (int)getpid());
	for (int i = 0; i < HEADS; i++) {
		pid[i] = fork();
		if (pid[i] == 0) {
			struct session *s = session_new();

			if (same_session)
				memcpy(s->paths_uuid, uuid, 16);
			if (same_name)
				session_name(s, name);
			s->dst = i & 1 && opt.dst2 ? opt.dst2 : opt.dst;
			while (!start[0])
				usleep(100);
			if (!session_open(s) && !rnbd_sess_info(s))
				start[1 + i] = 1;
			start[1 + HEADS + i] = 1;
			/* Until all have tried. */
			for (long long end = now_ms() + 20000; start[1 + i] && now_ms() < end;) {
				int tried = 0;

				for (int k = 0; k < HEADS; k++)
					tried += start[1 + HEADS + k];
				if (tried == HEADS)
					break;
				session_pump(s);
			}
			if (start[1 + i] && rnbd_sess_info(s))
				start[1 + i] = 2;
			_exit(0);
		}
	}
	start[0] = 1;
	*opened = 0;
	for (int i = 0; i < HEADS; i++)
		waitpid(pid[i], NULL, 0);
	for (int i = 0; i < HEADS; i++) {
		*opened += start[1 + i] != 0;
		if (start[1 + i] == 2)
			return -1;
	}
	return 0;
}

static int one_uuid(struct verdict *v)
{
	int opened;

	for (int i = 0; i < 2; i++) {
		if (at_once(true, true, &opened))
			return bad(v, "a path that was open did not stay");
		if (!opened)
			return bad(v, "nobody got a path");
	}
	return good(v, "%d of %d connects with one identifier became paths", opened, HEADS);
}

static int one_name(struct verdict *v)
{
	int opened;

	for (int i = 0; i < 2; i++) {
		if (at_once(false, true, &opened))
			return bad(v, "a session that was open did not stay");
		if (opened != 1)
			return bad(v, "%d sessions took one name", opened);
	}
	return good(v, "one of %d took the name", HEADS);
}

/* Someone else's path, or name, is not to be had while its owner is heard of. */
static int take_over(struct verdict *v)
{
	struct session *owner = session_new(), *thief = session_new();

	if (session_open(owner))
		return bad(v, "honest session: %s", owner->why);
	session_name(thief, (const char *)owner->name);
	/* Who answers heartbeats keeps his name. */
	thief->beside = owner;
	if (!session_open(thief))
		return bad(v, "a name that is in use was taken");
	if (rnbd_sess_info(owner))
		return bad(v, "the owner of the name was hurt");
	return good(v, "refused: %s", thief->why);
}

/* Several want a name at once whose owner answers. */
static int contested(struct verdict *v)
{
	struct session *owner = session_new(), *thief[4], *last = owner;
	long long end = now_ms() + 20000;
	int down;

	if (session_open(owner))
		return bad(v, "honest session: %s", owner->why);
	for (int i = 0; i < 4; i++) {
		thief[i] = session_new();
		thief[i]->beside = last;
		last = thief[i];
		session_name(last, (const char *)owner->name);
		if (session_connect(last))
			return bad(v, "honest connect: %s", last->why);
	}
	for (int i = 0; i < 4; i++)
		session_send_info(thief[i], 0);
	do {
		session_pump(last);
		down = 0;
		for (int i = 0; i < 4; i++) {
			if (thief[i]->got_info)
				return bad(v, "a name that is in use was taken");
			down += thief[i]->down;
		}
	} while (down < 4 && now_ms() < end);
	if (down < 4)
		return bad(v, "%d of 4 were refused", down);
	if (rnbd_sess_info(owner))
		return bad(v, "the owner of the name was hurt");
	return good(v, "all refused");
}

/* Begins a connected path anew: the old one ends, then the new one is let in. */
static int come_again(struct verdict *v)
{
	struct session *old = session_new(), *again = session_new();

	if (session_open(old))
		return bad(v, "honest session: %s", old->why);
	memcpy(again->sess_uuid, old->sess_uuid, 16);
	memcpy(again->paths_uuid, old->paths_uuid, 16);
	memcpy(again->name, old->name, sizeof(old->name));
	if (!session_open(again))
		return bad(v, "a connected path was there twice");
	if (again->con[0].rej_errno != ECONNRESET)
		return bad(v, "the second attempt: %s", con_outcome(&again->con[0]));
	if (!session_wait_down(old, 5000))
		return good(v, "refused, the old one goes on");
	for (int i = 0; i < 20; i++) {
		struct session *s = session_new();

		memcpy(s->sess_uuid, old->sess_uuid, 16);
		memcpy(s->paths_uuid, old->paths_uuid, 16);
		memcpy(s->name, old->name, sizeof(old->name));
		if (!session_open(s) && !rnbd_sess_info(s))
			return good(v, "the old one ended, then the new one was let in");
		session_close(s);
		usleep(200000);
	}
	return bad(v, "the old path ended, and no new one is let in");
}

const struct hostile_case fence_cases[] = {
	{ "extension-offers", "10.4", offers },
	{ "fence-unagreed", "10.4", unagreed },
	{ "fence-nobody", "10.4", nobody },
	{ "fence-foreign", "S33", foreign },
	{ "fence-own", "10.4", own },
	{ "fence-malformed", "S4, S18", malformed },
	{ "fence-other-path", "10.4", other_path },
	{ "fence-crossed", "10.4, S14", crossed },
	{ "index-on-two-paths", "S1, S7, 11 row 28", same_index },
	{ "index-on-two-paths-vanish", "S9, S16", same_index_vanish },
	{ "session-uuid-race", "S13", one_uuid },
	{ "session-name-race", "S12", one_name },
	{ "session-take-over", "S34", take_over },
	{ "name-contested", "S34", contested },
	{ "path-comes-again", "S34", come_again },
	{ NULL, NULL, NULL },
};
