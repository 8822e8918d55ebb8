// SPDX-License-Identifier: GPL-2.0
/*
 * Lies of the block protocol: the greeting, the answer to an opening, sizes that no
 * device has (rnbd 2.3 to 2.6; weak points C1 to C6, C8).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "liar.h"

/* --- one field of an answer ------------------------------------------------------------ */

/* arg: message << 56 | offset << 48 | length << 40; the value is in `values`. */
#define LIE(msg, off, len, index)	((uint64_t)(msg) << 56 | (uint64_t)(off) << 48 | (uint64_t)(len) << 40 | (index))

static const uint64_t values[] = {
	0, 1, 3, 100, 256, 0xffff, 0xffffffff, ~0ull, 1ull << 63, 1ull << 55, (1ull << 54) + 7, 65536, 32768, 48, 7,
};

static bool field(struct req *q)
{
	uint64_t arg = srv.lie->arg, value = values[arg & 0xff];
	uint8_t *at;

	if (q->msg != arg >> 56 || q->type != RTRS_READ)
		return false;
	sh->lies++;
	memset(q->data, 0, q->data_len);
	if (q->msg == RNBD_SESS_INFO) {
		put16(q->data, RNBD_SESS_INFO_RSP);
		q->data[4] = 2;
	} else {
		uint64_t sectors = srv.sectors;

		put16(q->data, RNBD_OPEN_RSP);
		put64(q->data + 8, sectors);
		put32(q->data + 24, 0xffff);
		put32(q->data + 28, 4096);
		put16(q->data + 36, 4096);
		put16(q->data + 38, 512);
		put16(q->data + 42, 1);
		q->data[45] = 3;
	}
	at = q->data + (arg >> 48 & 0xff);
	switch (arg >> 40 & 0xff) {
	case 1:
		*at = (uint8_t)value;
		break;
	case 2:
		put16(at, (uint16_t)value);
		break;
	case 4:
		put32(at, (uint32_t)value);
		break;
	default:
		put64(at, value);
	}
	answer(q, 0);
	return true;
}

/* --- whole answers ------------------------------------------------------------------------ */

static bool noise(struct req *q)
{
	if (q->msg != srv.lie->arg)
		return false;
	sh->lies++;
	for (uint32_t i = 2; i < q->data_len; i++)
		q->data[i] = rnd();
	put16(q->data, q->msg + 1);
	answer(q, 0);
	return true;
}

/* Success without a byte of an answer. */
static bool empty(struct req *q)
{
	if (q->msg != srv.lie->arg)
		return false;
	sh->lies++;
	say_send_inv(q->con, q->desc.key);
	respond(q->con, q->chunk, 0, true);
	return true;
}

/* The first bytes only. */
static bool part(struct req *q)
{
	if (q->msg != RNBD_OPEN)
		return false;
	sh->lies++;
	memset(q->data, 0, q->data_len);
	put16(q->data, RNBD_OPEN_RSP);
	say_write(q->con, q->data, (uint32_t)srv.lie->arg, q->desc.addr, q->desc.key);
	say_send_inv(q->con, q->desc.key);
	respond(q->con, q->chunk, 0, true);
	return true;
}

/* Reserved bytes are garbage, as those of old servers are. */
static bool garbage(struct req *q)
{
	if (q->msg != RNBD_OPEN && q->msg != RNBD_SESS_INFO)
		return false;
	sh->lies++;
	memset(q->data, 0xff, q->data_len);
	if (q->msg == RNBD_SESS_INFO) {
		put16(q->data, RNBD_SESS_INFO_RSP);
		q->data[4] = 2;
		answer(q, 0);
		return true;
	}
	put16(q->data, RNBD_OPEN_RSP);
	put32(q->data + 4, 0);
	put64(q->data + 8, srv.sectors);
	put16(q->data + 36, 512);
	put16(q->data + 38, 512);
	answer(q, 0);
	return true;
}

/* An errno: arg: message << 32 | errno. */
static bool refuse(struct req *q)
{
	if (q->msg != srv.lie->arg >> 32)
		return false;
	sh->lies++;
	answer(q, (int)(srv.lie->arg & 0x1ff));
	return true;
}

static bool silence(struct req *q)
{
	if (q->msg != srv.lie->arg)
		return false;
	sh->lies++;
	return true;
}

static bool twice(struct req *q)
{
	if (q->msg != RNBD_OPEN)
		return false;
	sh->lies++;
	serve(q);
	respond(q->con, q->chunk, 0, true);
	return true;
}

/* Opens it, and is gone: with connection 0 goes the answer, with another one only the way for IO. */
static bool good_bye(struct req *q)
{
	if (q->msg != RNBD_OPEN)
		return false;
	sh->lies++;
	serve(q);
	rdma_disconnect(q->con->path->con[srv.lie->arg]->id);
	return true;
}

/* Goes away with the first read, which is that of the partition scan. */
static bool scan_good_bye(struct req *q)
{
	if (q->msg != RNBD_IO)
		return false;
	sh->lies++;
	rdma_disconnect(q->con->path->con[0]->id);
	return true;
}

/* Gives a partition table full of nonsense to the scan. */
static bool scan_noise(struct req *q)
{
	if (q->msg != RNBD_IO || q->op != OP_READ)
		return false;
	sh->lies++;
	for (uint32_t i = 0; i < q->data_len; i++)
		q->data[i] = rnd();
	if (q->data_len >= 512) {
		q->data[510] = 0x55;
		q->data[511] = 0xaa;
	}
	answer(q, 0);
	return true;
}

static bool scan_errors(struct req *q)
{
	if (q->msg != RNBD_IO)
		return false;
	sh->lies++;
	answer(q, 5);
	return true;
}

/* --- extensions (Documentation/protocol.md) --------------------------------------------------- */

/* An opening with an extended answer; arg: what is wrong with it. */
static bool extended(struct req *q)
{
	uint8_t *o = q->data;

	if (q->msg != RNBD_OPEN || q->data_len < 256)
		return false;
	sh->lies++;
	memset(o, 0, q->data_len);
	put16(o, RNBD_OPEN_RSP);
	put64(o + 8, srv.sectors);
	put16(o + 36, 512);
	put16(o + 38, 512);
	o[45] = 3;
	o[56] = 1;
	put32(o + 60, 4096);
	put32(o + 64, 512);
	put32(o + 68, 4096);
	put32(o + 72, 65536);
	put32(o + 84, 256);
	put32(o + 88, 511);
	put64(o + 96, 1);
	o[104] = 4;
	memcpy(o + 105, "wwid", 4);
	switch (srv.lie->arg) {
	case 0:
		break;
	case 1:
		memset(o + 57, 0xff, q->data_len - 57);
		break;
	case 2:
		for (uint32_t i = 57; i < q->data_len; i++)
			o[i] = rnd();
		break;
	case 3:
		o[104] = 255;
		break;
	case 4:
		memcpy(o + 105, "\n\0%s\033", 4);
		break;
	case 5:
		put32(o + 60, 3);
		put32(o + 64, 7);
		break;
	case 6:
		put32(o + 64, 65536);
		put32(o + 60, 65536);
		break;
	case 7:
		put32(o + 68, 0xffffffff);
		put32(o + 72, 0xffffffff);
		break;
	case 8:
		put32(o + 88, 0xffffffff);
		put32(o + 92, 3);
		break;
	case 9:
		put32(o + 76, 0xffffffff);
		put32(o + 80, 3);
		break;
	case 10:
		put32(o + 84, 1);
		break;
	case 11:
		o[56] = 77;
		break;
	case 12:
		/* Physical blocks larger than any IO. */
		put32(o + 60, 1u << 31);
		put32(o + 92, 1u << 31);
		break;
	}
	answer(q, 0);
	return true;
}

/* --- what the user does ------------------------------------------------------------------------ */

static void erase(struct user *u)
{
	uint64_t range[2] = { 65536, 65536 };

	sh->extra = user_open(u);
	if (sh->extra)
		return;
	step("secure erase");
	sh->extra = ioctl(u->fd, BLKSECDISCARD, range) ? errno : 0;
	step("discard");
	if (!sh->extra)
		sh->extra = ioctl(u->fd, BLKDISCARD, range) ? errno : 0;
	step("write zeroes");
	if (!sh->extra)
		sh->extra = ioctl(u->fd, BLKZEROOUT, range) ? errno : 0;
	step("flush");
	if (!sh->extra)
		sh->extra = fsync(u->fd) ? errno : 0;
}

/* At the end of what the device claims to have. */
static void far(struct user *u)
{
	uint64_t size = 0;

	sh->extra = user_open(u);
	if (sh->extra)
		return;
	step("read at the end");
	if (ioctl(u->fd, BLKGETSIZE64, &size) || size < 65536)
		return;
	sh->read = user_read(u, (size - 65536) & ~4095ull, 65536, false);
	step("write at the end");
	sh->write = user_write_blind(u, (size - 65536) & ~4095ull, 65536);
}

#define BOTH	(PLAIN | KEYS)
#define OPEN(off, len, index)	LIE(RNBD_OPEN, off, len, index)
#define INFO(off, len, index)	LIE(RNBD_SESS_INFO, off, len, index)

const struct lie rnbd_lies[] = {
	{ .name = "greeting-type", .weak = "rnbd C5", .request = field, .arg = INFO(0, 2, 2), .map = EINVAL, .lies = 1 },
	{ .name = "greeting-version-0", .weak = "rnbd C17", .request = field, .arg = INFO(4, 1, 0), .io = IO_OK, .lies = 1 },
	{ .name = "greeting-version-255", .weak = "rnbd C17", .request = field, .arg = INFO(4, 1, 5), .io = IO_OK, .lies = 1 },
	{ .name = "greeting-noise", .weak = "rnbd C5", .request = noise, .arg = RNBD_SESS_INFO, .io = IO_OK, .lies = 1 },
	{ .name = "greeting-empty", .weak = "rnbd C5", .modes = BOTH, .request = empty, .arg = RNBD_SESS_INFO, .map = EINVAL, .lies = 1 },
	{ .name = "greeting-refused", .weak = "rnbd C5", .request = refuse, .arg = 0ull << 32 | 71, .map = EPROTO, .lies = 1 },
	{ .name = "greeting-never", .slow = true, .weak = "rnbd C8", .request = silence, .arg = RNBD_SESS_INFO, .map = ETIMEDOUT, .lies = 1, .limit_s = 120 },
	{ .name = "open-type", .weak = "rnbd C5", .request = field, .arg = OPEN(0, 2, 1), .map = EINVAL, .lies = 1 },
	{ .name = "open-empty", .weak = "rnbd C5", .modes = BOTH, .request = empty, .arg = RNBD_OPEN, .map = EINVAL, .lies = 1 },
	{ .name = "open-part", .weak = "rnbd C5", .request = part, .arg = 8, .map = EINVAL, .lies = 1 },
	{ .name = "open-garbage", .weak = "rnbd C5", .request = garbage, .io = IO_OK, .lies = 1 },
	{ .name = "open-noise", .weak = "rnbd C5", .request = noise, .arg = RNBD_OPEN, .map = EINVAL, .lies = 1 },
	{ .name = "open-block-0", .weak = "rnbd C5", .request = field, .arg = OPEN(38, 2, 0), .map = EINVAL, .lies = 1 },
	{ .name = "open-block-3", .weak = "rnbd C5", .request = field, .arg = OPEN(38, 2, 2), .map = EINVAL, .lies = 1 },
	{ .name = "open-block-256", .weak = "rnbd C5", .request = field, .arg = OPEN(38, 2, 4), .map = EINVAL, .lies = 1 },
	{ .name = "open-block-65535", .weak = "rnbd C5", .request = field, .arg = OPEN(38, 2, 5), .map = EINVAL, .lies = 1 },
	{ .name = "open-block-32768", .weak = "rnbd C5", .request = field, .arg = OPEN(38, 2, 12), .map = ANY, .io = IO_ANY, .lies = 1 },
	{ .name = "open-physical-0", .weak = "rnbd C5", .request = field, .arg = OPEN(36, 2, 0), .io = IO_OK, .lies = 1 },
	{ .name = "open-physical-odd", .weak = "rnbd C5", .request = field, .arg = OPEN(36, 2, 5), .map = EINVAL, .lies = 1 },
	{ .name = "open-size-0", .weak = "rnbd C5", .request = field, .arg = OPEN(8, 8, 0), .map = ANY, .io = IO_ANY, .lies = 1 },
	{ .name = "open-size-1", .weak = "rnbd C5", .request = field, .arg = OPEN(8, 8, 1), .map = ANY, .io = IO_ANY, .user = far, .lies = 1 },
	{ .name = "open-size-max", .weak = "rnbd C5", .request = field, .arg = OPEN(8, 8, 7), .map = EINVAL, .lies = 1 },
	{ .name = "open-size-sign", .weak = "rnbd C5", .request = field, .arg = OPEN(8, 8, 8), .map = EINVAL, .lies = 1 },
	{ .name = "open-size-bytes-wrap", .weak = "rnbd C5", .request = field, .arg = OPEN(8, 8, 9), .map = EINVAL, .lies = 1 },
	{ .name = "open-size-huge", .weak = "rnbd C5", .request = field, .arg = OPEN(8, 8, 10), .map = ANY, .io = IO_ANY, .user = far, .lies = 1 },
	{ .name = "open-discard-granularity", .weak = "rnbd C5", .request = field, .arg = OPEN(28, 4, 3), .user = erase, .map = ANY, .io = IO_ANY, .lies = 1 },
	{ .name = "open-discard-max", .weak = "rnbd C5", .request = field, .arg = OPEN(28, 4, 6), .user = erase, .map = ANY, .io = IO_ANY, .lies = 1 },
	{ .name = "open-discard-align", .weak = "rnbd C5", .request = field, .arg = OPEN(32, 4, 6), .user = erase, .map = ANY, .io = IO_ANY, .lies = 1 },
	{ .name = "open-discard-sectors", .weak = "rnbd C5", .request = field, .arg = OPEN(24, 4, 6), .user = erase, .map = ANY, .io = IO_ANY, .lies = 1 },
	{ .name = "open-zeroes-sectors", .weak = "rnbd C5", .request = field, .arg = OPEN(20, 4, 6), .user = erase, .map = ANY, .io = IO_ANY, .lies = 1 },
	{ .name = "secure-erase", .weak = "rnbd C2", .modes = BOTH, .user = erase, .io = IO_OK },
	{ .name = "open-refused-511", .weak = "rnbd C5", .request = refuse, .arg = (uint64_t)RNBD_OPEN << 32 | 511, .map = ANY, .lies = 1 },
	{ .name = "open-refused", .weak = "rnbd C1", .modes = BOTH, .request = refuse, .arg = (uint64_t)RNBD_OPEN << 32 | 2, .map = ENOENT, .lies = 1 },
	{ .name = "open-never", .weak = "rnbd C8", .request = silence, .arg = RNBD_OPEN, .map = ETIMEDOUT, .lies = 1, .limit_s = 150 },
	{ .name = "close-never", .slow = true, .weak = "rnbd C8", .request = silence, .arg = RNBD_CLOSE, .io = IO_OK, .lies = 1, .limit_s = 150 },
	{ .name = "close-refused", .weak = "rnbd C5", .request = refuse, .arg = (uint64_t)RNBD_CLOSE << 32 | 5, .io = IO_OK, .lies = 1 },
	{ .name = "open-twice", .weak = "rtrs C8", .modes = BOTH, .request = twice, .map = ANY, .io = IO_ANY, .lies = 1 },
	{ .name = "open-good-bye", .weak = "rnbd C3", .modes = BOTH, .request = good_bye, .arg = 0, .map = ECONNABORTED, .io = IO_ANY, .lies = 1, .limit_s = 90 },
	{ .name = "open-good-bye-io", .weak = "rnbd C3", .request = good_bye, .arg = 1, .map = ANY, .io = IO_ANY, .lies = 1, .limit_s = 90 },
	{ .name = "scan-good-bye", .weak = "rnbd C3", .modes = BOTH, .request = scan_good_bye, .map = ECOMM, .io = IO_ANY, .lies = 1, .limit_s = 90 },
	{ .name = "scan-noise", .weak = "rnbd C5", .request = scan_noise, .map = ANY, .io = IO_ANY, .lie_data = true, .lies = 1, .lines = 120 },
	{ .name = "scan-errors", .weak = "rnbd C5", .request = scan_errors, .map = ANY, .io = IO_BAD, .lies = 1, .lines = 80 },
	{ .name = "ext-open", .weak = "rnbd C5", .modes = BOTH, .features = EXT_USER, .request = extended, .arg = 0, .io = IO_OK },
	{ .name = "ext-open-ones", .weak = "rnbd C5", .features = EXT_USER, .request = extended, .arg = 1, .map = ANY, .io = IO_ANY },
	{ .name = "ext-open-noise", .weak = "rnbd C5", .features = EXT_USER, .request = extended, .arg = 2, .map = ANY, .io = IO_ANY },
	{ .name = "ext-open-identity-long", .weak = "rnbd C5", .features = EXT_USER, .request = extended, .arg = 3, .map = ANY, .io = IO_ANY },
	{ .name = "ext-open-identity-text", .weak = "rnbd C5", .features = EXT_USER, .request = extended, .arg = 4, .map = ANY, .io = IO_ANY },
	{ .name = "ext-open-blocks-odd", .weak = "rnbd C5", .features = EXT_USER, .request = extended, .arg = 5, .map = ANY, .io = IO_ANY },
	{ .name = "ext-open-blocks-large", .weak = "rnbd C5", .features = EXT_USER, .request = extended, .arg = 6, .map = ANY, .io = IO_ANY },
	{ .name = "ext-open-io-sizes", .weak = "rnbd C5", .features = EXT_USER, .request = extended, .arg = 7, .map = ANY, .io = IO_ANY },
	{ .name = "ext-open-alignment", .weak = "rnbd C5", .features = EXT_USER, .request = extended, .arg = 8, .map = ANY, .io = IO_ANY },
	{ .name = "ext-open-erase", .weak = "rnbd C5", .features = EXT_USER, .request = extended, .arg = 9, .user = erase, .map = ANY, .io = IO_ANY },
	{ .name = "ext-open-max-sectors", .weak = "rnbd C5", .features = EXT_USER, .request = extended, .arg = 10, .map = ANY, .io = IO_ANY },
	{ .name = "ext-open-version", .weak = "rnbd C5", .features = EXT_USER, .request = extended, .arg = 11, .map = ANY, .io = IO_ANY },
	{ .name = "ext-open-blocks-huge", .weak = "rnbd C5", .features = EXT_USER, .request = extended, .arg = 12, .map = ANY, .io = IO_ANY },
	{ }
};
