// SPDX-License-Identifier: GPL-2.0
/*
 * Lies around the info request: names, lengths, order, and paths that never
 * send one.
 */
#include <stdio.h>
#include <string.h>

#include "case.h"

/* A connected path whose info request is bent by `bend`; it must be closed. */
static int info_refused(struct verdict *v, const char *name, size_t len, const char *what)
{
	struct session *s = session_new();

	if (session_connect(s))
		return bad(v, "honest connect: %s", s->why);
	memset(s->name, 0, sizeof(s->name));
	memcpy(s->name, name, len);
	if (session_send_info(s, 0))
		return bad(v, "cannot send");
	session_wait_info(s);
	if (s->got_info)
		return bad(v, "%s: accepted", what);
	if (!s->down)
		return bad(v, "%s: silence", what);
	session_close(s);
	return 0;
}

static int name_empty(struct verdict *v)
{
	if (info_refused(v, "", 0, "empty name"))
		return -1;
	if (info_refused(v, "\0abc", 4, "zero byte before the name"))
		return -1;
	return good(v, "path closed");
}

static int name_unterminated(struct verdict *v)
{
	char name[RTRS_NAME_LEN];

	memset(name, 'x', sizeof(name));
	return info_refused(v, name, sizeof(name), "255 bytes without a zero") ? -1 :
		good(v, "path closed");
}

static int name_characters(struct verdict *v)
{
	static const char *const names[] = {
		"a/b", "/", "..", "a.b", ".", "a\nb", "a\tb", "a\x1b[31mb", "\x7f", "\x01",
		"a\r", "%n%s%\n",
	};
	char what[48];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(what, sizeof(what), "name number %zu (first byte %#x)", i,
			 (unsigned char)names[i][0]);
		if (info_refused(v, names[i], strlen(names[i]), what))
			return -1;
	}
	return good(v, "%zu names refused, path closed each time",
		    sizeof(names) / sizeof(names[0]));
}

static int name_longest(struct verdict *v)
{
	struct session *s = session_new();
	char name[RTRS_NAME_LEN] = { 0 };

	memset(name, 'y', 254);
	session_name(s, name);
	if (session_connect(s))
		return bad(v, "honest connect: %s", s->why);
	if (session_exchange(s))
		return good(v, "254 characters: %s", s->why);
	return rnbd_sess_info(s) ? bad(v, "254 characters: accepted, then no answers") :
		good(v, "254 characters: accepted and usable");
}

static int name_clash(struct verdict *v)
{
	struct session *a = session_new(), *b = session_new();

	if (session_open(a))
		return bad(v, "honest session: %s", a->why);
	if (session_connect(b))
		return bad(v, "honest connect: %s", b->why);
	memcpy(b->name, a->name, sizeof(a->name));
	/* The owner answers heartbeats. */
	b->beside = a;
	session_send_info(b, 0);
	session_wait_info(b);
	if (b->got_info)
		return bad(v, "two sessions share one name");
	if (!b->down)
		return bad(v, "second session of one name: silence");
	if (rnbd_sess_info(a))
		return bad(v, "the owner of the name was hurt");
	return good(v, "second owner closed, first goes on");
}

static int info_lengths(struct verdict *v)
{
	static const uint32_t lengths[] = { 0, 1, 2, 4, 16, 256, 271, 273, 1000 };

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct session *s = session_new();

		s->info_len = lengths[i];
		if (session_connect(s))
			return bad(v, "honest connect: %s", s->why);
		session_send_info(s, 0);
		session_wait_info(s);
		/* A longer one is legal if the server has room for it. */
		if (s->got_info && lengths[i] < RTRS_INFO_LEN)
			return bad(v, "%u bytes of info request accepted", lengths[i]);
		if (!s->down && !s->got_info)
			return bad(v, "%u bytes of info request: silence", lengths[i]);
		session_close(s);
	}
	return good(v, "nine wrong lengths, none too short accepted");
}

static int info_type(struct verdict *v)
{
	static const uint16_t types[] = { 1, 2, 3, 4, 0xffff };

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		struct session *s = session_new();

		s->info_type = types[i];
		if (session_connect(s))
			return bad(v, "honest connect: %s", s->why);
		session_send_info(s, 0);
		session_wait_info(s);
		if (s->got_info || !s->down)
			return bad(v, "type %u: %s", types[i], s->got_info ? "accepted" : "silence");
		session_close(s);
	}
	return good(v, "five wrong types, path closed each time");
}

static int info_twice(struct verdict *v)
{
	struct session *s = session_new();
	int r;

	if (session_open(s))
		return bad(v, "honest session: %s", s->why);
	session_send_info(s, 0);
	session_wait_down(s, opt.timeout_ms / 2);
	r = s->down ? GONE : rnbd_sess_info(s);
	if (r == SILENT)
		return bad(v, "silence afterwards");
	return good(v, "second info request: %s", r == GONE ? "path closed" : "ignored");
}

static int info_twice_at_once(struct verdict *v)
{
	struct session *s = session_new();

	if (session_connect(s))
		return bad(v, "honest connect: %s", s->why);
	for (int i = 0; i < 8; i++)
		session_send_info(s, 0);
	if (!session_wait_down(s, opt.timeout_ms) && !s->got_info)
		return bad(v, "silence");
	return good(v, "eight info requests in a row: %s", s->down ? "path closed" : "one answered");
}

/* Receives for it do not exist on connection 1 before, nor fit it after, the exchange. */
static int info_wrong_con(struct verdict *v)
{
	struct session *s = session_new();

	if (session_open(s))
		return bad(v, "honest session: %s", s->why);
	session_send_info(s, 1);
	if (!session_wait_down(s, opt.timeout_ms) && rnbd_sess_info(s))
		return bad(v, "info request on connection 1: silence and no service");
	return good(v, "info request on connection 1: %s", s->down ? "path closed" : "ignored");
}

static int info_before_all(struct verdict *v)
{
	struct session *s = session_new();

	if (session_connect_one(s, 0))
		return bad(v, "honest connect: %s", s->why);
	if (session_exchange(s) == 0)
		return bad(v, "info answered with a connection missing");
	return s->down ? good(v, "path closed") : bad(v, "silence");
}

static int io_before_info(struct verdict *v)
{
	static const uint32_t imms[] = { 0x00000000, 0x00001020, 0x0fffffff, 0x80000000 };

	for (size_t i = 0; i < sizeof(imms) / sizeof(imms[0]); i++) {
		struct session *s = session_new();

		if (session_connect(s))
			return bad(v, "honest connect: %s", s->why);
		poke(s, 0, imms[i]);
		poke(s, 1, imms[i]);
		if (!session_wait_down(s, opt.timeout_ms))
			return bad(v, "immediate %#x before the info request: silence", imms[i]);
		if (s->answers || s->got_info)
			return bad(v, "immediate %#x before the info request: answered", imms[i]);
		session_close(s);
	}
	return good(v, "path closed each time");
}

/* The info request and IO behind it in one breath, before the response. */
static int io_with_info(struct verdict *v)
{
	struct session *s = session_new();

	if (session_connect(s))
		return bad(v, "honest connect: %s", s->why);
	session_send_info(s, 0);
	for (uint32_t i = 0; i < 16; i++) {
		poke(s, 1, imm_io_req(s->depth, i, 32));
		poke(s, 0, imm_io_req(s->depth, i + 16, 32));
	}
	session_wait_info(s);
	session_wait_down(s, opt.timeout_ms / 2);
	if (!s->down && rnbd_sess_info(s) == SILENT)
		return bad(v, "neither closed nor in service");
	return good(v, "%s, %u answers", s->down ? "path closed" : "still in service", s->answers);
}

/* Only connection 0, and all connections, both without an info request. */
static int half_open(struct verdict *v)
{
	long long start = now_ms(), end = start + opt.halfopen_s * 1000LL;
	struct session *a = session_new(), *b = session_new();

	if (session_connect_one(a, 0) || session_connect(b))
		return bad(v, "honest connect: %s%s", a->why, b->why);
	while ((!a->down || !b->down) && now_ms() < end) {
		session_pump(a);
		session_pump(b);
	}
	if (!a->down || !b->down)
		return bad(v, "%s still open after %d s", a->down ? "all connections, no info" :
			   "connection 0 alone", opt.halfopen_s);
	return good(v, "both kinds closed by the server after %lld s", (now_ms() - start) / 1000);
}

const struct hostile_case info_cases[] = {
	{ "name-empty", "S2, S23", name_empty },
	{ "name-unterminated", "S10", name_unterminated },
	{ "name-characters", "S11", name_characters },
	{ "name-longest", "S10", name_longest },
	{ "name-clash", "S12, S34", name_clash },
	{ "info-length", "3.4", info_lengths },
	{ "info-type", "3.4", info_type },
	{ "info-twice", "3.4", info_twice },
	{ "info-twice-at-once", "S14, S15", info_twice_at_once },
	{ "info-wrong-con", "S23", info_wrong_con },
	{ "info-before-all", "CVE-2024-50062", info_before_all },
	{ "io-before-info", "S15, S23", io_before_info },
	{ "io-with-info", "S15", io_with_info },
	{ "half-open", "S21", half_open },
	{ NULL, NULL, NULL },
};
