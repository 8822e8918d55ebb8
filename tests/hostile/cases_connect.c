// SPDX-License-Identifier: GPL-2.0
/*
 * Lies in the connect request: section 3.4, row by row, with the errno that
 * the reject must carry.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "case.h"

/*
 * One attempt with the given private data; the errno of the reject, 0 if it was
 * accepted, GONE if it was rejected or dropped without an RTRS message.
 */
static int attempt(const uint8_t *priv, uint8_t len, char *text, size_t text_len)
{
	struct session *s = session_new();
	struct con *c = &s->con[0];
	int r;

	con_connect(c, priv, len);
	r = c->state == CON_UP ? 0 : c->state == CON_REJECTED && c->rej_errno ? c->rej_errno : GONE;
	snprintf(text, text_len, "%s", con_outcome(c));
	session_close(s);
	return r;
}

static struct connect_req fresh_req(void)
{
	struct session *s = session_new();
	struct connect_req r = session_req(s, 0);

	session_close(s);
	return r;
}

static int attempt_req(const struct connect_req *r, char *text, size_t text_len)
{
	uint8_t priv[RTRS_PRIV_LEN];

	build_connect_req(priv, r);
	return attempt(priv, sizeof(priv), text, text_len);
}

/* A single lie that must be rejected with `want`. */
static int expect(struct verdict *v, const struct connect_req *r, int want, const char *what)
{
	char text[100];

	if (attempt_req(r, text, sizeof(text)) != want)
		return bad(v, "%s: %s, expected %s", what, text, want ? strerror(want) : "success");
	return 0;
}

static int bad_magic(struct verdict *v)
{
	struct connect_req r = fresh_req();

	r.magic = 0xbd1b;
	if (expect(v, &r, ECONNRESET, "magic in the wrong byte order"))
		return -1;
	r.magic = 0;
	return expect(v, &r, ECONNRESET, "magic 0") ? -1 : good(v, "rejected with ECONNRESET");
}

static int bad_version(struct verdict *v)
{
	static const uint16_t versions[] = { 0x0000, 0x0100, 0x0300, 0xff00, 0x0002 };
	struct connect_req r = fresh_req();
	char what[32];

	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
		r.version = versions[i];
		snprintf(what, sizeof(what), "version %#06x", versions[i]);
		if (expect(v, &r, ECONNRESET, what))
			return -1;
	}
	return good(v, "five other majors rejected with ECONNRESET");
}

static int bad_cid(struct verdict *v)
{
	static const uint16_t pairs[][2] = {	/* cid, cid_num */
		{ 0, 0 }, { 0, 4097 }, { 0, 65535 }, { 1, 1 }, { 2, 2 }, { 7, 2 },
		{ 65535, 2 }, { 4096, 4096 }, { 65535, 65535 },
	};
	struct connect_req r = fresh_req();
	char what[40];

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		r.cid = pairs[i][0];
		r.cid_num = pairs[i][1];
		snprintf(what, sizeof(what), "cid %u of %u", r.cid, r.cid_num);
		if (expect(v, &r, ECONNRESET, what))
			return -1;
	}
	return good(v, "nine impossible pairs rejected with ECONNRESET");
}

/* The CM pads private data with zeroes, so a short request has zero fields. */
static int short_private_data(struct verdict *v)
{
	static const struct { uint8_t len; int want; } cuts[] = {
		{ 0, ECONNRESET }, { 2, ECONNRESET }, { 4, ECONNRESET }, { 8, ECONNRESET },
		{ 44, ENXIO },
	};
	struct connect_req r = fresh_req();
	uint8_t priv[RTRS_PRIV_LEN];
	char text[100];

	build_connect_req(priv, &r);
	for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
		if (attempt(priv, cuts[i].len, text, sizeof(text)) != cuts[i].want)
			return bad(v, "%u bytes of private data: %s", cuts[i].len, text);
	}
	return good(v, "requests cut at 0, 2, 4, 8 and 44 bytes rejected with their errno");
}

static int unknown_session(struct verdict *v)
{
	struct connect_req r = fresh_req();

	r.first_conn = 0;
	if (expect(v, &r, ENXIO, "first_conn 0 for an unknown session"))
		return -1;
	r.first_conn = 0xfe;
	if (expect(v, &r, ENXIO, "only reserved bits beside first_conn"))
		return -1;
	return good(v, "rejected with ENXIO");
}

/* Reserved bytes, the minor version and the counter are not the server's business. */
static int reserved_ignored(struct verdict *v)
{
	struct connect_req r = fresh_req();

	r.reserved = 0xff;
	r.first_conn = 0xff;
	r.version = 0x02ff;
	r.recon_cnt = 0xffff;
	if (expect(v, &r, 0, "reserved bytes and minor version set"))
		return -1;
	return good(v, "accepted as the protocol asks");
}

/* Connects one more connection of an existing session, with a changed request. */
static int second(struct con *c, const struct connect_req *r)
{
	uint8_t priv[RTRS_PRIV_LEN];

	build_connect_req(priv, r);
	con_connect(c, priv, sizeof(priv));
	return c->state == CON_UP ? 0 :
		c->state == CON_REJECTED && c->rej_errno ? c->rej_errno : GONE;
}

static int cid_twice(struct verdict *v)
{
	struct session *s = session_new();
	struct connect_req r;

	if (session_connect_one(s, 0))
		return bad(v, "honest connect: %s", s->why);
	r = session_req(s, 0);
	if (second(&s->con[2], &r) != ECONNRESET)
		return bad(v, "cid 0 again: %s", con_outcome(&s->con[2]));
	if (session_connect_one(s, 1) || session_exchange(s))
		return bad(v, "the first connection was hurt: %s", s->why);
	return good(v, "second cid 0 rejected with ECONNRESET, the first goes on");
}

static int cid_num_changes(struct verdict *v)
{
	struct session *s = session_new();
	struct connect_req r;

	if (session_connect_one(s, 0))
		return bad(v, "honest connect: %s", s->why);
	r = session_req(s, 1);
	r.cid_num = 3;
	if (second(&s->con[2], &r) != ECONNRESET)
		return bad(v, "cid_num 3 after 2: %s", con_outcome(&s->con[2]));
	r.cid_num = 4096;
	if (second(&s->con[3], &r) != ECONNRESET)
		return bad(v, "cid_num 4096 after 2: %s", con_outcome(&s->con[3]));
	return good(v, "rejected with ECONNRESET");
}

static int connect_when_connected(struct verdict *v)
{
	struct session *s = session_new();
	struct connect_req r;

	if (session_open(s))
		return bad(v, "honest session: %s", s->why);
	r = session_req(s, 1);
	if (second(&s->con[2], &r) != ECONNRESET)
		return bad(v, "one more connection: %s", con_outcome(&s->con[2]));
	if (rnbd_sess_info(s))
		return bad(v, "the session does not answer any more");
	return good(v, "rejected with ECONNRESET, the path goes on");
}

static int same_addresses(struct verdict *v)
{
	struct session *s = session_new();
	struct connect_req r;

	if (session_open(s))
		return bad(v, "honest session: %s", s->why);
	r = session_req(s, 0);
	r.sess_uuid[0] ^= 0xff;
	if (second(&s->con[2], &r) != EEXIST)
		return bad(v, "second path over one address pair: %s", con_outcome(&s->con[2]));
	r.first_conn = 0;
	if (second(&s->con[3], &r) != EEXIST)
		return bad(v, "the same without first_conn: %s", con_outcome(&s->con[3]));
	return good(v, "rejected with EEXIST");
}

/* Any order of connection ids is legal; the path works when all are there. */
static int cids_backwards(struct verdict *v)
{
	struct session *s = session_new();
	struct connect_req r = session_req(s, 1);

	if (second(&s->con[1], &r))
		return good(v, "cid 1 first: %s", con_outcome(&s->con[1]));
	if (session_connect_one(s, 0))
		return good(v, "cid 0 after cid 1: %s", s->why);
	for (uint32_t i = 0; i < s->recvs; i++)
		con_post_recv(&s->con[1], i);
	if (session_exchange(s) || rnbd_sess_info(s))
		return bad(v, "accepted, and then not usable: %s", s->why);
	return good(v, "accepted and usable");
}

/* One connection id of many: the rest never comes. */
static int huge_cid_num(struct verdict *v)
{
	struct session *s = session_new();

	s->cid_num = 4096;
	if (session_connect_one(s, 0))
		return good(v, "cid_num 4096: %s", s->why);
	if (session_send_info(s, 0))
		return bad(v, "cannot send");
	if (!session_wait_down(s, opt.timeout_ms))
		return bad(v, "info request with 4095 connections missing: silence");
	return good(v, "info request with 4095 connections missing: path closed");
}

#define MOST_PATHS	128

/* Path `i` of the session of `first`, between another pair of addresses than all others. */
static struct session *nth_path(const struct session *first, int i)
{
	struct session *s = session_new();
	char dst[64];

	snprintf(dst, sizeof(dst), "%s%d", opt.many, i + 1);
	s->dst = strdup(dst);
	s->cons = 1;
	s->cid_num = 1;
	s->recvs = 16;
	s->rx_len = 16384;
	s->tx_len = 16384;
	if (first) {
		s->first_conn = 0;
		memcpy(s->paths_uuid, first->paths_uuid, 16);
		memcpy(s->name, first->name, sizeof(s->name));
	}
	return s;
}

/* One path more than a session may have, by a client that does not count. */
static int path_too_many(struct verdict *v)
{
	static struct session *s[MOST_PATHS];
	struct session *more;

	for (int i = 0; i < MOST_PATHS; i++) {
		s[i] = nth_path(s[0], i);
		if (session_open(s[i]))
			return bad(v, "honest path %d: %s", i + 1, s[i]->why);
		/* All have to answer heartbeats. */
		for (int k = 0; k < i; k++)
			session_pump(s[k]);
	}
	more = nth_path(s[0], MOST_PATHS);
	if (!session_connect_one(more, 0) || more->con[0].rej_errno != ECONNRESET)
		return bad(v, "path %d: %s", MOST_PATHS + 1, con_outcome(&more->con[0]));
	for (int i = 0; i < MOST_PATHS; i++) {
		if (rnbd_sess_info(s[i]))
			return bad(v, "then path %d does not serve", i + 1);
	}
	/* It was the number: when one has gone there is room. */
	session_close(s[5]);
	for (int i = 0; i < 50; i++) {
		more = nth_path(s[0], MOST_PATHS);
		if (!session_open(more))
			return good(v, "path %d is rejected with ECONNRESET, all others serve", MOST_PATHS + 1);
		usleep(100000);
	}
	return bad(v, "no path can come for one that went: %s", more->why);
}

const struct hostile_case many_cases[] = {
	{ "path-129", "S23", path_too_many },
	{ NULL, NULL, NULL },
};

const struct hostile_case connect_cases[] = {
	{ "connect-magic", "3.4 row 2", bad_magic },
	{ "connect-version", "3.4 row 3", bad_version },
	{ "connect-cid", "3.4 rows 4, 5", bad_cid },
	{ "connect-short", "3.4 row 1", short_private_data },
	{ "connect-unknown-session", "3.4 row 6", unknown_session },
	{ "connect-reserved", "2.2", reserved_ignored },
	{ "connect-cid-twice", "3.4 row 10", cid_twice },
	{ "connect-cid-num-changes", "3.4 row 9", cid_num_changes },
	{ "connect-when-connected", "3.4 row 8", connect_when_connected },
	{ "connect-same-addresses", "3.4 row 12", same_addresses },
	{ "connect-cids-backwards", "3.4", cids_backwards },
	{ "connect-cid-missing", "S21, CVE-2024-50062", huge_cid_num },
	{ NULL, NULL, NULL },
};
