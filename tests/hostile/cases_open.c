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

/* Every length below the message's own, for every type. */
static int short_messages(struct verdict *v)
{
	static const struct { uint16_t type; uint32_t need; bool read; } kinds[] = {
		{ RNBD_SESS_INFO, RNBD_SESS_INFO_LEN, true },
		{ RNBD_OPEN, RNBD_OPEN_LEN, true },
		{ RNBD_IO, 24, true },
		{ RNBD_IO, 24, false },
		{ RNBD_CLOSE, RNBD_CLOSE_LEN, false },
	};
	struct session *s = NULL;
	unsigned int tried = 0;
	struct ask a;
	int r;

	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		for (uint32_t len = 0; len < kinds[k].need; len++) {
			uint8_t usr[RNBD_OPEN_LEN] = { 0 };

			/* Of the long OPEN the ends and every 16th length will do. */
			if (len > 12 && len < kinds[k].need - 5 && len % 16)
				continue;
			s = keep(s, v);
			if (!s)
				return -1;
			if (kinds[k].type == RNBD_OPEN)
				build_open(usr, ACCESS_RO, opt.device);
			put16(usr, kinds[k].type);
			rx_fill(s);
			if (kinds[k].read)
				ask_read(s, &a, 0, 0, 64, usr, len);
			else
				ask_write(s, &a, 0, NULL, 0, usr, len);
			r = ask_call(s, &a);
			if (r == 0 || r == SILENT)
				return bad(v, "type %u with %u of %u bytes: %s", kinds[k].type, len,
					   kinds[k].need, reaction(r));
			if (rx_foreign(s, 0, s->rx_len))
				return bad(v, "type %u with %u bytes: data arrived", kinds[k].type, len);
			tried++;
		}
	}
	return good(v, "%u short messages refused", tried);
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

/* Names that must not open anything; a status above 511 would arrive as success. */
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

static int open_long_names(struct verdict *v)
{
	struct session *s = NULL;
	uint8_t usr[RNBD_OPEN_LEN];
	char name[RNBD_NAME_LEN + 1];
	int r;

	for (int i = 0; i < 4; i++) {
		s = keep(s, v);
		if (!s)
			return -1;
		memset(name, 0, sizeof(name));
		memset(name, i & 1 ? '/' : 'n', i < 2 ? 255 : 254);
		build_open(usr, ACCESS_RO, name);
		/* The unterminated name runs on into the reserved bytes. */
		if (i == 0)
			memset(usr + 261, 'n', 3);
		r = open_raw(s, usr, sizeof(usr));
		if (r == 0 || r == SILENT)
			return bad(v, "name of %d characters '%c': %s", i < 2 ? 255 : 254, name[0],
				   reaction(r));
	}
	/* The device's own name, preceded by slashes until no zero byte fits. */
	s = keep(s, v);
	if (!s)
		return -1;
	memset(name, '/', sizeof(name));
	memcpy(name + 255 - strlen(opt.device), opt.device, strlen(opt.device));
	name[255] = 0;
	build_open(usr, ACCESS_RO, name);
	r = open_raw(s, usr, sizeof(usr));
	if (r == 0 || r == SILENT)
		return bad(v, "unterminated name of the device: %s", reaction(r));
	return good(v, "unterminated and overlong names refused");
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
	{ "open-names", "RNBD S6, 4.3, S25", open_names },
	{ "open-unterminated", "RNBD S6", open_long_names },
	{ "open-access-mode", "RNBD 4.3", access_modes },
	{ "open-two-writers", "RNBD 4.3", two_writers },
	{ "open-two-spellings", "RNBD S1", two_spellings },
	{ "open-mode-upgrade", "RNBD S3, S23", mode_upgrade },
	{ "control-misplaced", "RNBD S23", control_misplaced },
	{ "versions", "RNBD 9.1", versions },
	{ NULL, NULL, NULL },
};
