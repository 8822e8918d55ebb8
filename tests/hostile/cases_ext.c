// SPDX-License-Identifier: GPL-2.0
/*
 * The extensions of OPEN and its answer: what a client gets that agreed on them,
 * what one gets that did not, and what bad wishes and small buffers lead to.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "case.h"

#define FEATURE_USER	4	/* the block protocol may use its own extensions */
#define EXT_LEN		256	/* an extended answer */
#define IO_MODE_ANY	0
#define IO_MODE_BLOCK	1
#define IO_MODE_FILE	2

/* A session that has agreed on the extensions of the block protocol. */
static struct session *extended(struct verdict *v)
{
	struct session *s = session_new();

	s->features = FEATURE_USER;
	if (session_open(s)) {
		bad(v, "honest connect: %s", s->why);
		return NULL;
	}
	if (s->con[0].rsp.features != FEATURE_USER) {
		bad(v, "offered extensions %#x, accepted %#x", s->features, s->con[0].rsp.features);
		return NULL;
	}
	return rnbd_sess_info(s) ? bad(v, "honest SESS_INFO"), NULL : s;
}

/* OPEN with the version and the io mode in its reserved bytes. */
static int open_ext(struct session *s, const char *name, uint8_t mode, uint8_t version,
		    uint8_t io_mode, uint32_t room)
{
	uint8_t usr[RNBD_OPEN_LEN];
	struct ask a;

	build_open(usr, mode, name);
	usr[5] = io_mode;
	usr[261] = version;
	rx_fill(s);
	ask_read(s, &a, 0, 0, room, usr, sizeof(usr));
	return ask_call(s, &a);
}

static int extended_answer(struct verdict *v)
{
	struct session *s = extended(v);
	struct open_rsp rsp;
	uint64_t first, again;
	uint8_t len;
	int r;

	if (!s)
		return -1;
	r = open_ext(s, opt.device, ACCESS_RO, 1, IO_MODE_ANY, EXT_LEN);
	if (r)
		return bad(v, "an extended OPEN: %s", reaction(r));
	parse_open_rsp(&rsp, s->rx);
	len = s->rx[104];
	if (s->rx[56] != 1 || get32(s->rx + 64) != rsp.lbs || get32(s->rx + 60) < rsp.lbs)
		return bad(v, "version %u, blocks of %u and %u bytes", s->rx[56], get32(s->rx + 64),
			   get32(s->rx + 60));
	if (len == 0 || len > 127)
		return bad(v, "an identity of %u characters", len);
	for (int i = 0; i < len; i++)
		if (s->rx[105 + i] < 0x21 || s->rx[105 + i] > 0x7e)
			return bad(v, "character %#x in the identity", s->rx[105 + i]);
	if (s->rx[58] != 1)
		return bad(v, "a device is opened with io mode %u", s->rx[58]);
	if (s->rx[57] & ~7 || rx_foreign(s, 59, 60) || rx_foreign(s, 105 + len, s->rx_len))
		return bad(v, "reserved bytes are not zero");
	first = get64(s->rx + 96);
	r = open_ext(s, opt.device, ACCESS_RO, 1, IO_MODE_ANY, EXT_LEN);
	again = get64(s->rx + 96);
	if (r || again != first || get32(s->rx + 4) != rsp.id)
		return bad(v, "the same device once more: %s, another opening", reaction(r));
	r = rnbd_close(s, rsp.id);
	if (!r)
		r = open_ext(s, opt.device, ACCESS_RO, 1, IO_MODE_ANY, EXT_LEN);
	again = get64(s->rx + 96);
	if (r || again <= first || get32(s->rx + 4) == rsp.id)
		return bad(v, "opened after a close: %s, opening %llu after %llu", reaction(r),
			   (unsigned long long)again, (unsigned long long)first);
	return good(v, "limits, identity and a new number for each opening");
}

/* Whoever leaves less room gets the answer of old and not a byte more. */
static int short_rooms(struct verdict *v)
{
	static const uint32_t rooms[] = { 56, 57, 100, 232, 255, 256, 300 };
	struct session *s = extended(v);

	if (!s)
		return -1;
	for (size_t i = 0; i < sizeof(rooms) / sizeof(rooms[0]); i++) {
		int r = open_ext(s, opt.device, ACCESS_RO, 1, IO_MODE_ANY, rooms[i]);
		size_t end = rooms[i] < EXT_LEN ? RNBD_OPEN_RSP_LEN : EXT_LEN;

		if (r)
			return bad(v, "room for %u bytes: %s", rooms[i], reaction(r));
		if (rx_foreign(s, end, s->rx_len) || (rooms[i] >= EXT_LEN && s->rx[56] != 1))
			return bad(v, "room for %u bytes: not the answer expected", rooms[i]);
	}
	for (uint32_t room = 0; room < RNBD_OPEN_RSP_LEN; room += 11) {
		int r = open_ext(s, opt.device2, ACCESS_RO, 1, IO_MODE_ANY, room);

		if (r != EINVAL)
			return bad(v, "room for %u bytes: %s", room, reaction(r));
	}
	return good(v, "the old answer without room, none without room for that");
}

static int io_modes(struct verdict *v)
{
	struct session *s = extended(v);
	int r;

	if (!s)
		return -1;
	for (int mode = 3; mode < 256; mode += 23) {
		r = open_ext(s, opt.device, ACCESS_RO, 1, (uint8_t)mode, EXT_LEN);
		if (r != EINVAL)
			return bad(v, "io mode %d: %s", mode, reaction(r));
	}
	/* Without a version the byte means nothing. */
	r = open_ext(s, opt.device2, ACCESS_RO, 0, 0xee, EXT_LEN);
	if (r || rx_foreign(s, RNBD_OPEN_RSP_LEN, s->rx_len))
		return bad(v, "no version and garbage: %s, %zu bytes too many", reaction(r),
			   rx_foreign(s, RNBD_OPEN_RSP_LEN, s->rx_len));
	/* Two ways to one device would not see each other's data. */
	r = open_ext(s, opt.device, ACCESS_RO, 1, IO_MODE_FILE, EXT_LEN);
	if (r)
		return bad(v, "a device through the page cache: %s", reaction(r));
	if (rnbd_read(s, get32(s->rx + 4), 0, 4096))
		return bad(v, "it cannot be read");
	s = extended(v);
	if (!s)
		return -1;
	r = open_ext(s, opt.device, ACCESS_RO, 1, IO_MODE_BLOCK, EXT_LEN);
	if (r != EBUSY)
		return bad(v, "the same device directly: %s", reaction(r));
	r = open_ext(s, opt.device, ACCESS_RO, 1, IO_MODE_FILE, EXT_LEN);
	return r ? bad(v, "the same device likewise: %s", reaction(r)) :
		   good(v, "unknown modes refused, two modes not mixed");
}

/* A client that agreed on nothing: its garbage is not looked at. */
static int garbage_without_agreement(struct verdict *v)
{
	char why[200];
	struct session *s = rnbd_session(why, sizeof(why));
	uint8_t usr[RNBD_OPEN_LEN];
	struct ask a;
	int r;

	if (!s)
		return bad(v, "%s", why);
	for (int byte = 0; byte < 256; byte += 15) {
		build_open(usr, ACCESS_RO, opt.device);
		usr[5] = (uint8_t)byte;
		memset(usr + 261, byte, 3);
		rx_fill(s);
		ask_read(s, &a, 0, 0, EXT_LEN, usr, sizeof(usr));
		r = ask_call(s, &a);
		if (r || rx_foreign(s, RNBD_OPEN_RSP_LEN, s->rx_len))
			return bad(v, "garbage %#x: %s, %zu bytes too many", byte, reaction(r),
				   rx_foreign(s, RNBD_OPEN_RSP_LEN, s->rx_len));
	}
	return good(v, "the answer of old, whatever the reserved bytes hold");
}

/* Offers that nobody makes: unknown bits are not accepted, and change nothing. */
static int unknown_features(struct verdict *v)
{
	struct session *s = session_new();
	char why[200];

	s->features = 0xfff8;
	if (session_open(s))
		return bad(v, "a connect with unknown extensions: %s", s->why);
	if (s->con[0].rsp.features)
		return bad(v, "accepted %#x of unknown extensions", s->con[0].rsp.features);
	if (rnbd_sess_info(s))
		return bad(v, "SESS_INFO");
	if (open_ext(s, opt.device, ACCESS_RO, 1, 0xee, EXT_LEN) ||
	    rx_foreign(s, RNBD_OPEN_RSP_LEN, s->rx_len))
		return bad(v, "an OPEN without the agreement");
	return honest_check(why, sizeof(why)) ? bad(v, "%s", why) : good(v, "none accepted");
}

#define MOST_OPEN	1024	/* Documentation/hardening.md */

/* One device more than a session may have open; closing one makes room. */
static int too_many(struct verdict *v)
{
	struct session *s;
	uint32_t first = 0;
	char name[200];
	int r;

	if (!opt.files)
		return skip(v, "needs --files");
	s = extended(v);
	if (!s)
		return -1;
	for (int i = 0; i < MOST_OPEN; i++) {
		snprintf(name, sizeof(name), "%s%d", opt.files, i);
		r = open_ext(s, name, ACCESS_RO, 1, IO_MODE_FILE, EXT_LEN);
		if (r)
			return bad(v, "device %d: %s", i, reaction(r));
		if (i == 0)
			first = get32(s->rx + 4);
	}
	snprintf(name, sizeof(name), "%s%d", opt.files, MOST_OPEN);
	r = open_ext(s, name, ACCESS_RO, 1, IO_MODE_FILE, EXT_LEN);
	if (r != ENOSPC)
		return bad(v, "one more than %d devices: %s", MOST_OPEN, reaction(r));
	r = rnbd_close(s, first);
	if (!r)
		r = open_ext(s, name, ACCESS_RO, 1, IO_MODE_FILE, EXT_LEN);
	return r ? bad(v, "after one was closed: %s", reaction(r)) :
		   good(v, "%d devices, the next is refused with ENOSPC until one is closed", MOST_OPEN);
}

const struct hostile_case ext_cases[] = {
	{ "open-extended", "RNBD 2.5", extended_answer },
	{ "open-extended-room", "RNBD S14", short_rooms },
	{ "open-io-mode", "RNBD 2.4", io_modes },
	{ "open-reserved-garbage", "RNBD 9.1", garbage_without_agreement },
	{ "features-unknown", "RTRS 2.2", unknown_features },
	{ "open-too-many", "RNBD S16", too_many },
	{ NULL, NULL, NULL },
};
