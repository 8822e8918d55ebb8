// SPDX-License-Identifier: GPL-2.0
/*
 * A device that is opened again, after a loss or because the server says that it has
 * changed: what is told then (weak points rnbd C3, C5, C6, C8, C11).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "liar.h"

/* --- a device that is opened again after a loss ------------------------------------------------ */

/* Ends the first life of the path in the middle of a read; what the second opening says is a lie. */
static bool reopened(struct req *q)
{
	uint8_t *o = q->data;
	int err;

	if (q->con->path->life == 0) {
		if (!q->armed || q->op != OP_READ || sh->calm)
			return false;
		sh->calm = true;
		rdma_disconnect(q->con->path->con[0]->id);
		return false;
	}
	if (q->msg == RNBD_SESS_INFO && srv.lie->arg == 9) {
		sh->lies++;
		answer(q, 5);
		return true;
	}
	if (q->msg != RNBD_OPEN)
		return false;
	sh->lies++;
	err = serve_data(q);
	if (o[56]) {
		put64(o + 96, 2);
		memcpy(o + 105, "else", 4);
	}
	switch (srv.lie->arg) {
	case 0:
		break;
	case 1:
		put64(o + 8, 64);
		break;
	case 2:
		put64(o + 8, 0);
		break;
	case 3:
		put16(o + 38, 4096);
		if (o[56])
			put32(o + 64, 4096);
		break;
	case 4:
		err = 2;
		break;
	case 5:
		put16(o, RNBD_SESS_INFO);
		break;
	case 6:
		return true;
	case 7:
		o[45] = 0;
		put32(o + 20, 0);
		put32(o + 24, 0);
		break;
	case 8:
		put64(o + 8, ~0ull);
		break;
	case 10:
		put32(o + 4, 77);
		break;
	case 11:
		/* The first one after it is gone, too. */
		answer(q, 0);
		rdma_disconnect(q->con->path->con[0]->id);
		return true;
	}
	answer(q, err);
	return true;
}

/* IO while the path ends; a reconnect by hand; IO again, whatever has become of the device. */
static void reopen(struct user *u)
{
	char file[128];
	int err;

	user_default(u);
	sh->read = sh->write = sh->reread = NOT_RUN;
	for (int i = 0; i < 100 && user_path_state(u, "connected"); i++)
		user_sleep(50);
	step("reconnect");
	err = user_paths_put(u, "reconnect", "1");
	snprintf(sh->why, sizeof(sh->why), "reconnect: %s", err ? strerror(err) : "ok");
	user_sleep(1000);
	step("read after the reconnect");
	sh->extra = user_read(u, 0, 32768, true);
	step("remap");
	snprintf(file, sizeof(file), "/sys/block/%.64s/rnbd/remap_device", u->device);
	sh->remap = user_put(file, "1");
	step("write after the reconnect");
	sh->write = user_write_blind(u, 0, 4096);
	step("read far away");
	sh->read = user_read(u, DISK_LEN - 65536, 65536, false);
}

/* --- notices ------------------------------------------------------------------------------------- */

static unsigned int opens;

/* What the openings that notices cause are answered with. */
static bool noticed(struct req *q)
{
	static const uint64_t sizes[] = { 0, 1, 8, 4096, 1ull << 40, ~0ull, 8192, 1ull << 63 };

	if (q->msg != RNBD_OPEN || !sh->armed)
		return false;
	opens++;
	if (srv.lie->arg < 2)
		return false;
	sh->lies++;
	serve_data(q);
	put64(q->data + 8, sizes[opens % 8]);
	if (srv.lie->arg == 3)
		put32(q->data + 4, opens);
	if (srv.lie->arg == 4)
		put16(q->data + 38, 4096);
	answer(q, srv.lie->arg == 5 ? 2 : 0);
	return true;
}

/* Some at a time, as long as the user works. */
static void notices(void)
{
	struct con *c = service();
	static unsigned int sent;

	if (!sh->armed || !c || !c->up || sent > 3000)
		return;
	for (unsigned int i = 0; i < 20; i++) {
		uint32_t id = srv.lie->arg == 1 ? rnd() : 0;

		say_write_imm(c, imm_make(IMM_NOTICE, id));
		sent++;
	}
	sh->lies++;
	/* Each may make the client ask, but not each for itself. */
	if (opens > sent / 2 + 200)
		complain("%u openings for %u notices", opens, sent);
}

/* Works while notices come in. */
static void patient(struct user *u)
{
	user_default(u);
	step("wait");
	user_sleep(3000);
	step("read at the end");
	sh->extra = user_read(u, 0, 4096, false);
}

#define BOTH	(PLAIN | KEYS)

/* An honest answer but for the number, which all devices get. */
static bool same_id(struct req *q)
{
	if (q->msg == RNBD_OPEN)
		sh->lies++;
	return false;
}

const struct lie again_lies[] = {
	{ .name = "same-id", .weak = "rnbd C5, C6", .modes = BOTH, .request = same_id, .user = user_two_devices, .io = IO_ANY, .lies = 2 },
	{ .name = "reopen", .weak = "none", .modes = BOTH, .request = reopened, .arg = 0, .user = reopen, .io = IO_ANY, .lies = 1, .limit_s = 120 },
	{ .name = "reopen-smaller", .weak = "rnbd C6", .request = reopened, .arg = 1, .user = reopen, .io = IO_ANY, .lies = 1, .limit_s = 120 },
	{ .name = "reopen-size-0", .weak = "rnbd C6", .request = reopened, .arg = 2, .user = reopen, .io = IO_ANY, .lies = 1, .limit_s = 120 },
	{ .name = "reopen-block", .weak = "rnbd C6", .request = reopened, .arg = 3, .user = reopen, .io = IO_BAD, .lies = 1, .limit_s = 120 },
	{ .name = "reopen-refused", .weak = "rnbd C6", .request = reopened, .arg = 4, .user = reopen, .io = IO_BAD, .lies = 1, .limit_s = 120 },
	{ .name = "reopen-type", .weak = "rnbd C5, C6", .request = reopened, .arg = 5, .user = reopen, .io = IO_BAD, .lies = 1, .limit_s = 120 },
	{ .name = "reopen-never", .slow = true, .weak = "rnbd C8, C11", .request = reopened, .arg = 6, .user = reopen, .io = IO_ANY, .lies = 1, .limit_s = 240 },
	{ .name = "reopen-cache", .weak = "rnbd C6", .request = reopened, .arg = 7, .user = reopen, .io = IO_ANY, .lies = 1, .limit_s = 120 },
	{ .name = "reopen-size-max", .weak = "rnbd C5, C6", .request = reopened, .arg = 8, .user = reopen, .io = IO_BAD, .lies = 1, .limit_s = 120 },
	{ .name = "reopen-greeting", .weak = "rnbd C5, C6", .request = reopened, .arg = 9, .user = reopen, .io = IO_BAD, .lies = 1, .limit_s = 120 },
	{ .name = "reopen-id", .weak = "rnbd C6", .request = reopened, .arg = 10, .user = reopen, .io = IO_ANY, .lies = 1, .limit_s = 120 },
	{ .name = "reopen-identity", .weak = "rnbd C6", .features = EXT_USER, .request = reopened, .arg = 0, .user = reopen, .io = IO_BAD, .lies = 1,
	  .limit_s = 120 },
	{ .name = "reopen-good-bye", .weak = "rnbd C3, C6", .request = reopened, .arg = 11, .user = reopen, .io = IO_ANY, .lies = 1, .limit_s = 120 },
	{ .name = "notice-unagreed", .weak = "rtrs C9", .tick = notices, .request = noticed, .user = patient, .io = IO_OK, .lies = 1 },
	{ .name = "notice-flood", .weak = "rtrs C9", .modes = BOTH, .features = EXT_NOTICE | EXT_USER, .tick = notices, .request = noticed, .user = patient,
	  .io = IO_OK, .lies = 1, .lines = 100 },
	{ .name = "notice-unknown-id", .weak = "rtrs C9", .features = EXT_NOTICE, .tick = notices, .request = noticed, .arg = 1, .user = patient,
	  .io = IO_OK, .lies = 1, .lines = 100 },
	{ .name = "notice-sizes", .weak = "rnbd C5", .features = EXT_NOTICE | EXT_USER, .tick = notices, .request = noticed, .arg = 2,
	  .user = patient, .io = IO_ANY, .lies = 1 },
	{ .name = "notice-ids", .weak = "rnbd C5, C6", .features = EXT_NOTICE | EXT_USER, .tick = notices, .request = noticed, .arg = 3,
	  .user = patient, .io = IO_ANY, .lies = 1 },
	{ .name = "notice-blocks", .weak = "rnbd C6", .features = EXT_NOTICE | EXT_USER, .tick = notices, .request = noticed, .arg = 4,
	  .user = patient, .io = IO_ANY, .lies = 1 },
	{ .name = "notice-refused", .weak = "rnbd C6", .features = EXT_NOTICE | EXT_USER, .tick = notices, .request = noticed, .arg = 5,
	  .user = patient, .io = IO_ANY, .lies = 1 },
	{ }
};
