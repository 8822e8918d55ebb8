// SPDX-License-Identifier: GPL-2.0
/*
 * Lies in control messages: SESS_INFO, OPEN, CLOSE, unknown types, short
 * messages of every kind, names and access modes.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "case.h"

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

/* One OPEN message as it is in `usr`. */
static int open_raw(struct session *s, const uint8_t *usr, uint32_t len)
{
	struct ask a;

	ask_read(s, &a, 0, 0, RNBD_OPEN_RSP_LEN, usr, len);
	return ask_call(s, &a);
}

/* A message that is whole, and in which direction it goes. */
struct whole {
	uint16_t type;
	uint32_t need;			/* no byte less */
	bool read;
	uint32_t rw, data;		/* of an IO */
};

static void whole_build(const struct whole *w, uint32_t id, uint8_t usr[RNBD_OPEN_LEN])
{
	switch (w->type) {
	case RNBD_SESS_INFO: build_sess_info(usr, 2); break;
	case RNBD_OPEN: build_open(usr, ACCESS_RO, opt.device); break;
	case RNBD_IO: build_io(usr, id, 0, w->rw, w->data); break;
	default: build_close(usr, id);
	}
}

/* The first `len` bytes of the message, in the chunk that `a` was in or in any. */
static int whole_send(struct session *s, const struct whole *w, struct ask *a, bool again,
		      const uint8_t *usr, uint32_t len)
{
	static const uint8_t data[SECTOR];
	uint32_t chunk = a->chunk, room = w->type == RNBD_IO ? w->data : 64;

	if (w->read)
		ask_read(s, a, 0, 0, room, usr, len);
	else
		ask_write(s, a, 0, w->data ? data : NULL, w->data, usr, len);
	if (again)
		a->chunk = chunk;
	return ask_call(s, a);
}

/*
 * Every length below the message's own, for every type. Each comes behind the whole message in the
 * same chunk, which succeeds: neither zeroes nor what was there before may stand for what is missing.
 */
static int short_messages(struct verdict *v)
{
	static const struct whole kinds[] = {
		{ RNBD_SESS_INFO, RNBD_SESS_INFO_LEN, true, 0, 0 },
		{ RNBD_OPEN, RNBD_OPEN_LEN, true, 0, 0 },
		{ RNBD_IO, 24, true, OP_READ | RW_SYNC, SECTOR },
		{ RNBD_IO, 24, true, OP_FLUSH, 0 },
		{ RNBD_IO, 24, false, OP_WRITE | RW_SYNC, SECTOR },
		{ RNBD_CLOSE, RNBD_CLOSE_LEN, false, 0, 0 },
	};
	struct open_rsp rsp;
	char why[200];
	struct session *s = rnbd_device(opt.device, ACCESS_RW, &rsp, why, sizeof(why));
	unsigned int tried = 0;
	struct ask a = { 0 };
	int r;

	if (!s)
		return bad(v, "%s", why);
	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		const struct whole *w = &kinds[k];

		for (uint32_t len = 0; len < w->need; len++) {
			uint8_t usr[RNBD_OPEN_LEN] = { 0 };

			/* Of the long OPEN the ends and every 16th length will do. */
			if (len > 12 && len < w->need - 5 && len % 16)
				continue;
			whole_build(w, rsp.id, usr);
			r = whole_send(s, w, &a, false, usr, w->need);
			if (r)
				return bad(v, "type %u, whole: %s", w->type, reaction(r));
			rx_fill(s);
			r = whole_send(s, w, &a, true, usr, len);
			if (r != EINVAL)
				return bad(v, "type %u with %u of %u bytes: %s", w->type, len, w->need,
					   reaction(r));
			if (rx_foreign(s, 0, s->rx_len))
				return bad(v, "type %u with %u bytes: data arrived", w->type, len);
			tried++;
		}
	}
	return good(v, "%u short messages refused with EINVAL", tried);
}

/* IO of 24 and 28 bytes comes from older and from 32-bit clients: legal. */
static int old_lengths(struct verdict *v)
{
	static const uint32_t lens[] = { 24, 28, 32 };
	struct open_rsp rsp;
	char why[200];
	struct session *s = rnbd_device(opt.device, ACCESS_RO, &rsp, why, sizeof(why));
	uint8_t usr[RNBD_IO_LEN];
	struct ask a;
	int r;

	if (!s)
		return bad(v, "%s", why);
	for (int i = 0; i < 3; i++) {
		uint32_t bs = rsp.lbs > SECTOR ? rsp.lbs : SECTOR;

		build_io(usr, rsp.id, 0, OP_READ | RW_SYNC, bs);
		ask_read(s, &a, 1, 0, bs, usr, lens[i]);
		r = ask_call(s, &a);
		if (r)
			return bad(v, "IO message of %u bytes: %s", lens[i], reaction(r));
	}
	return good(v, "24, 28 and 32 bytes accepted");
}

static int unknown_types(struct verdict *v)
{
	static const uint16_t types[] = { 1, 3, 6, 7, 255, 256, 0x0400, 0xffff };
	struct session *s = NULL;
	uint8_t usr[RNBD_OPEN_LEN] = { 0 };
	struct ask a;
	int r;

	for (size_t i = 0; i < 2 * sizeof(types) / sizeof(types[0]); i++) {
		s = keep(s, v);
		if (!s)
			return -1;
		put16(usr, types[i / 2]);
		rx_fill(s);
		if (i & 1)
			ask_read(s, &a, 0, 0, 56, usr, sizeof(usr));
		else
			ask_write(s, &a, 1, NULL, 0, usr, sizeof(usr));
		r = ask_call(s, &a);
		if (r == 0 || r == SILENT)
			return bad(v, "type %u: %s", types[i / 2], reaction(r));
		if (rx_foreign(s, 0, s->rx_len))
			return bad(v, "type %u: data arrived", types[i / 2]);
	}
	return good(v, "eight types in both directions refused");
}

/* Names that must not open anything. */
static int open_names(struct verdict *v)
{
	static const char *const names[] = {
		"", "..", "../dev/ram0", "/dev/../dev/ram0", "a..b", "/", ".", "/dev", "/dev/null",
		"/dev/console", "/proc/self/exe", "/proc/kcore", "/sys/kernel", "/etc/passwd",
		"/nonexistent", "/dev/ram0/x", "%s%n%x", "\n", "/dev/\x1b[31m", "%SESSNAME%",
	};
	struct session *s = NULL;
	uint8_t usr[RNBD_OPEN_LEN];
	int r;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		s = keep(s, v);
		if (!s)
			return -1;
		build_open(usr, ACCESS_RO, names[i]);
		rx_fill(s);
		r = open_raw(s, usr, sizeof(usr));
		if (r == 0 || r == SILENT)
			return bad(v, "OPEN of name number %zu: %s", i, reaction(r));
		if (rx_foreign(s, 0, s->rx_len))
			return bad(v, "OPEN of name number %zu: refused, and data arrived", i);
	}
	return good(v, "%zu names refused, each with an errno", sizeof(names) / sizeof(names[0]));
}

/* A name of `len` bytes that leads to the device by way of many slashes; no zero byte behind it. */
static void slashes(uint8_t usr[RNBD_OPEN_LEN], size_t len)
{
	uint8_t *name = usr + 6;

	build_open(usr, ACCESS_RO, "");
	memset(name, '/', len);
	memcpy(name + len - strlen(opt.device), opt.device, strlen(opt.device));
}

/*
 * Names without an end in their field. Each would lead to the device if it were read as a string of
 * C, and the same with its end inside the field does.
 */
static int open_long_names(struct verdict *v)
{
	static const struct { size_t len; bool fits; const char *what; } names[] = {
		{ 254, true, "with its end in the field's last byte" },
		{ 255, false, "whose end is behind the field" },
		{ 256, false, "that runs on for a byte" },
		{ 257, false, "that runs on for two" },
	};
	uint8_t usr[RNBD_OPEN_LEN];
	struct session *s = NULL;
	int r;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		s = keep(s, v);
		if (!s)
			return -1;
		slashes(usr, names[i].len);
		rx_fill(s);
		r = open_raw(s, usr, sizeof(usr));
		if (r != (names[i].fits ? 0 : EINVAL))
			return bad(v, "name %s: %s", names[i].what, reaction(r));
		if (!names[i].fits && rx_foreign(s, 0, s->rx_len))
			return bad(v, "name %s: refused, and data arrived", names[i].what);
	}
	/* Nothing, with the device's name behind the end. */
	build_open(usr, ACCESS_RO, "");
	memcpy(usr + 7, opt.device, strlen(opt.device));
	r = open_raw(s, usr, sizeof(usr));
	if (r != EINVAL)
		return bad(v, "name behind the end: %s", reaction(r));
	return good(v, "254 bytes and an end lead to the device, four names without refused with EINVAL");
}

static int access_modes(struct verdict *v)
{
	struct session *s = keep(NULL, v);
	uint8_t usr[RNBD_OPEN_LEN];
	int r;

	if (!s)
		return -1;
	for (int mode = 3; mode < 256; mode++) {
		s = keep(s, v);
		if (!s)
			return -1;
		build_open(usr, mode, opt.device);
		r = open_raw(s, usr, sizeof(usr));
		if (r == 0 || r == SILENT)
			return bad(v, "access mode %d: %s", mode, reaction(r));
	}
	return good(v, "access modes 3 to 255 refused");
}

/* 4.3: at most one plain writer; a second one gets EPERM. */
static int two_writers(struct verdict *v)
{
	struct session *a = keep(NULL, v), *b = keep(NULL, v);
	struct open_rsp rsp;
	int r;

	if (!a || !b)
		return -1;
	r = rnbd_open_next(a, opt.device, ACCESS_RW, &rsp);
	if (r)
		return bad(v, "honest OPEN: %s", reaction(r));
	r = rnbd_open(b, opt.device, ACCESS_RW, &rsp);
	if (r != EPERM)
		return bad(v, "second writer: %s", reaction(r));
	r = rnbd_open(b, opt.device, ACCESS_RO, &rsp);
	if (r)
		return bad(v, "reader beside the writer: %s", reaction(r));
	return good(v, "second writer gets EPERM, a reader is let in");
}

/* Two spellings of one backend in one session. */
static int two_spellings(struct verdict *v)
{
	struct session *s = keep(NULL, v);
	char other[300];
	struct open_rsp first, second, again;
	int r, r2, r3;

	if (!s)
		return -1;
	r = rnbd_open(s, opt.device, ACCESS_RO, &first);
	if (r)
		return bad(v, "honest OPEN: %s", reaction(r));
	snprintf(other, sizeof(other), "/.//%s", opt.device);
	r2 = rnbd_open(s, other, ACCESS_RO, &second);
	if (r2 == SILENT || r2 == GONE)
		return bad(v, "second spelling: %s", reaction(r2));
	r3 = rnbd_open(s, opt.device, ACCESS_RO, &again);
	if (r3 || again.id != first.id)
		return bad(v, "OPEN of the same name again: %s, id %u then %u", reaction(r3),
			   first.id, again.id);
	if (rnbd_read(s, first.id, 0, 4096))
		return bad(v, "the first mapping was hurt");
	return good(v, "second spelling: %s; same spelling: same id", reaction(r2));
}

/* The second OPEN of a name must not lift its access mode. */
static int mode_upgrade(struct verdict *v)
{
	struct session *s = keep(NULL, v);
	struct open_rsp rsp;
	uint8_t junk[4096] = { 1 };
	int r;

	if (!s)
		return -1;
	if (rnbd_open(s, opt.device, ACCESS_RO, &rsp))
		return bad(v, "honest OPEN failed");
	rnbd_open(s, opt.device, ACCESS_RW, &rsp);
	r = rnbd_write(s, rsp.id, 0, junk, sizeof(junk));
	return refused(v, r, "write after OPEN ro, OPEN rw");
}

/* Answers that cannot be delivered as asked: wrong direction, too small a buffer. */
static int control_misplaced(struct verdict *v)
{
	struct session *s = keep(NULL, v);
	uint8_t open[RNBD_OPEN_LEN], info[RNBD_SESS_INFO_LEN], close[RNBD_CLOSE_LEN];
	struct ask a;
	int r[5];

	if (!s)
		return -1;
	build_open(open, ACCESS_RO, opt.device);
	build_sess_info(info, 255);
	build_close(close, 0);
	for (int i = 0; i < 5; i++) {
		s = keep(s, v);
		if (!s)
			return -1;
		rx_fill(s);
		switch (i) {
		case 0: ask_write(s, &a, 0, NULL, 0, open, sizeof(open)); break;
		case 1: ask_read(s, &a, 0, 0, 8, open, sizeof(open)); break;
		case 2: ask_read(s, &a, 1, 0, 0, info, sizeof(info)); break;
		case 3: ask_write(s, &a, 1, NULL, 36, info, sizeof(info)); break;
		default: ask_read(s, &a, 1, 0, 512, close, sizeof(close));
		}
		r[i] = ask_call(s, &a);
		if (r[i] == SILENT)
			return bad(v, "misplaced control message %d: silence", i);
		if (rx_foreign(s, i == 1 ? 8 : 0, s->rx_len))
			return bad(v, "misplaced control message %d: foreign data arrived", i);
	}
	return good(v, "OPEN as WRITE: %s; in 8 bytes: %s; SESS_INFO in 0 bytes: %s",
		    reaction(r[0]), reaction(r[1]), reaction(r[2]));
}

/* SESS_INFO with any version is answered with the smaller one, and not required. */
static int versions(struct verdict *v)
{
	struct session *s = session_new();
	uint8_t usr[RNBD_SESS_INFO_LEN];
	struct open_rsp rsp;
	struct ask a;
	int r;

	if (session_open(s))
		return bad(v, "honest session: %s", s->why);
	r = rnbd_open(s, opt.device, ACCESS_RO, &rsp);
	if (r)
		return bad(v, "OPEN without SESS_INFO: %s", reaction(r));
	for (int ver = 0; ver < 256; ver++) {
		build_sess_info(usr, ver);
		/* Everything but type and version is noise from a C client. */
		memset(usr + 2, 0xee, 2);
		memset(usr + 5, 0xee, 31);
		rx_fill(s);
		ask_read(s, &a, 0, 0, sizeof(usr), usr, sizeof(usr));
		r = ask_call(s, &a);
		if (r || s->rx[4] != (ver < 2 ? ver : 2))
			return bad(v, "version %d: %s, answer %u", ver, reaction(r), s->rx[4]);
		if (rx_foreign(s, 5, s->rx_len))
			return bad(v, "version %d: reserved bytes are not zero", ver);
	}
	return good(v, "OPEN without SESS_INFO works, 256 versions answered");
}

const struct hostile_case open_cases[] = {
	{ "message-short", "RNBD S5", short_messages },
	{ "message-old-length", "RNBD 9.1", old_lengths },
	{ "message-type-unknown", "RNBD 2.2", unknown_types },
	{ "open-names", "RNBD S6, 4.3", open_names },
	{ "open-unterminated", "RNBD S6", open_long_names },
	{ "open-access-mode", "RNBD 4.3", access_modes },
	{ "open-two-writers", "RNBD 4.3", two_writers },
	{ "open-two-spellings", "RNBD S1", two_spellings },
	{ "open-mode-upgrade", "RNBD S3, S23", mode_upgrade },
	{ "control-misplaced", "RNBD S23", control_misplaced },
	{ "versions", "RNBD 9.1", versions },
	{ NULL, NULL, NULL },
};
