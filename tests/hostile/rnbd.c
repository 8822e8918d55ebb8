// SPDX-License-Identifier: GPL-2.0
/*
 * RNBD spoken honestly over a session: control messages on connection 0, IO on
 * connection 1, one request at a time.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "rnbd.h"

int rnbd_sess_info(struct session *s)
{
	uint8_t usr[RNBD_SESS_INFO_LEN];
	struct ask a;
	int r;

	build_sess_info(usr, 2);
	memset(s->rx, CANARY, RNBD_SESS_INFO_LEN);
	ask_read(s, &a, 0, 0, RNBD_SESS_INFO_LEN, usr, sizeof(usr));
	r = ask_call(s, &a);
	if (r == 0 && (get16(s->rx) != RNBD_SESS_INFO_RSP || s->rx[4] != 2))
		r = EPROTO;
	return r;
}

int rnbd_open(struct session *s, const char *name, uint8_t mode, struct open_rsp *rsp)
{
	uint8_t usr[RNBD_OPEN_LEN];
	struct ask a;
	int r;

	build_open(usr, mode, name);
	memset(s->rx, CANARY, RNBD_OPEN_RSP_LEN);
	ask_read(s, &a, 0, 0, RNBD_OPEN_RSP_LEN, usr, sizeof(usr));
	r = ask_call(s, &a);
	if (r)
		return r;
	parse_open_rsp(rsp, s->rx);
	return rsp->type == RNBD_OPEN_RSP && rsp->lbs ? 0 : EPROTO;
}

int rnbd_close(struct session *s, uint32_t id)
{
	uint8_t usr[RNBD_CLOSE_LEN];
	struct ask a;

	build_close(usr, id);
	ask_write(s, &a, 0, NULL, 0, usr, sizeof(usr));
	return ask_call(s, &a);
}

int rnbd_read(struct session *s, uint32_t id, uint64_t sector, uint32_t len)
{
	uint8_t usr[RNBD_IO_LEN];
	struct ask a;

	build_io(usr, id, sector, OP_READ | RW_SYNC, len);
	ask_read(s, &a, 1, 0, len, usr, sizeof(usr));
	return ask_call(s, &a);
}

int rnbd_write(struct session *s, uint32_t id, uint64_t sector, const uint8_t *data, uint32_t len)
{
	uint8_t usr[RNBD_IO_LEN];
	struct ask a;

	build_io(usr, id, sector, OP_WRITE | RW_SYNC, len);
	ask_write(s, &a, 1, data, len, usr, sizeof(usr));
	return ask_call(s, &a);
}

int rnbd_plain(struct session *s, uint32_t id, uint64_t sector, uint32_t rw, uint32_t size)
{
	uint8_t usr[RNBD_IO_LEN];
	struct ask a;

	build_io(usr, id, sector, rw, size);
	/* The low bit of the operation is the direction, as in the block layer. */
	if (rw & 1 || (rw & 0xff) == OP_SECURE_ERASE)
		ask_write(s, &a, 1, NULL, 0, usr, sizeof(usr));
	else
		ask_read(s, &a, 1, 0, 0, usr, sizeof(usr));
	return ask_call(s, &a);
}

/* Opens after a client that has just gone: until the server has closed its device, a second writer
 * is one too many.
 */
int rnbd_open_next(struct session *s, const char *name, uint8_t mode, struct open_rsp *rsp)
{
	long long end = now_ms() + opt.timeout_ms;
	int r = rnbd_open(s, name, mode, rsp);

	while (r == EPERM && now_ms() < end) {
		session_wait_down(s, 50);
		r = rnbd_open(s, name, mode, rsp);
	}
	return r;
}

struct session *rnbd_session(char *why, size_t why_len)
{
	struct session *s = session_new();
	int r;

	if (session_open(s)) {
		snprintf(why, why_len, "honest connect: %s", s->why);
		session_close(s);
		return NULL;
	}
	r = rnbd_sess_info(s);
	if (r) {
		snprintf(why, why_len, "honest SESS_INFO: %s", reaction(r));
		session_close(s);
		return NULL;
	}
	return s;
}

struct session *rnbd_device(const char *name, uint8_t mode, struct open_rsp *rsp,
			    char *why, size_t why_len)
{
	struct session *s = rnbd_session(why, why_len);
	int r;

	if (!s)
		return NULL;
	r = rnbd_open_next(s, name, mode, rsp);
	if (r) {
		snprintf(why, why_len, "honest OPEN of %s: %s", name, reaction(r));
		session_close(s);
		return NULL;
	}
	return s;
}

static int honest_once(char *why, size_t why_len)
{
	struct open_rsp rsp;
	struct session *s = rnbd_device(opt.device, ACCESS_RO, &rsp, why, why_len);
	int r;

	if (!s)
		return -1;
	r = rnbd_read(s, rsp.id, 0, rsp.lbs > SECTOR ? rsp.lbs : SECTOR);
	if (r)
		snprintf(why, why_len, "honest read: %s", reaction(r));
	if (!r) {
		r = rnbd_close(s, rsp.id);
		if (r)
			snprintf(why, why_len, "honest CLOSE: %s", reaction(r));
	}
	if (!r && s->garbage) {
		snprintf(why, why_len, "the server sent %u senseless messages", s->garbage);
		r = -1;
	}
	session_close(s);
	return r ? -1 : 0;
}

/* A server may need a while to clear up after a hostile client. */
int honest_check(char *why, size_t why_len)
{
	long long end = now_ms() + opt.recover_s * 1000LL;

	while (honest_once(why, why_len)) {
		if (now_ms() >= end)
			return -1;
		usleep(500000);
	}
	return 0;
}
