// SPDX-License-Identifier: GPL-2.0
/*
 * What an honest server does with a request: the device in memory, and the answers in both
 * modes.
 */
#include <errno.h>
#include <string.h>

#include "liar.h"

/* The data of a read, from the start of the chunk. */
void put_data(struct req *q)
{
	if (q->sg_cnt && q->desc.len)
		say_write(q->con, q->data, q->desc.len, q->desc.addr, q->desc.key);
}

/* The response itself, over the carrier that fits the mode. */
void respond(struct con *c, uint32_t chunk, int err, bool inv)
{
	uint32_t imm = imm_make(inv ? IMM_IO_RSP_INV : IMM_IO_RSP, (uint32_t)(err & 0x1ff) << 19 | chunk);
	uint8_t msg[8];

	if (srv.mode == PLAIN) {
		say_write_imm(c, imm);
		return;
	}
	put16(msg, RTRS_RKEY_RSP);
	put16(msg + 2, chunk);
	/* One region for all chunks: the key stays the same, which is legal. */
	put32(msg + 4, c->path->pool_mr->rkey);
	say_send_imm(c, imm, msg, sizeof(msg));
}

/* What an honest server does at the end of a request. */
void answer(struct req *q, int err)
{
	bool inv = q->type == RTRS_READ && q->sg_cnt && (q->flags & RTRS_NEED_INVAL);

	if (!err && q->type == RTRS_READ)
		put_data(q);
	if (inv)
		say_send_inv(q->con, q->desc.key);
	respond(q->con, q->chunk, err, inv);
}

static int serve_open(struct req *q)
{
	uint8_t *o = q->data;

	if (q->data_len < RNBD_OPEN_RSP_LEN)
		return EINVAL;
	memset(o, 0, q->data_len);
	put16(o, RNBD_OPEN_RSP);
	/* Opened again it is the same device. */
	put32(o + 4, 0);
	srv.opens++;
	put64(o + 8, srv.sectors);
	put32(o + 16, 248);
	put32(o + 20, 0xffff);
	put32(o + 24, 0xffff);
	put32(o + 28, 4096);
	put16(o + 36, 4096);
	put16(o + 38, 512);
	put16(o + 40, 128);
	put16(o + 42, 1);
	o[45] = 3;
	if (q->data_len >= 256 && q->con->path->features & srv.lie->features & EXT_USER) {
		o[56] = 1;
		put32(o + 60, 4096);
		put32(o + 64, 512);
		put64(o + 96, 1);
		o[104] = 4;
		memcpy(o + 105, "liar", 4);
	}
	return 0;
}

static int serve_io(struct req *q)
{
	uint64_t at = get64(q->usr + 8) * SECTOR;
	uint32_t len = get32(q->usr + 20);

	if (q->op == OP_FLUSH)
		return 0;
	if (len > DISK_LEN || at > DISK_LEN - len)
		return EIO;
	switch (q->op) {
	case OP_READ:
		memcpy(q->data, sh->disk + at, len);
		return 0;
	case OP_WRITE:
		memcpy(sh->disk + at, q->data, len);
		return 0;
	default:
		memset(sh->disk + at, 0, len);
		return 0;
	}
}

/* Does what a request asks for, without an answer; 0 or an errno. */
int serve_data(struct req *q)
{
	switch (q->msg) {
	case RNBD_SESS_INFO:
		memset(q->data, 0, q->data_len);
		put16(q->data, RNBD_SESS_INFO_RSP);
		q->data[4] = 2;
		return 0;
	case RNBD_OPEN:
		return serve_open(q);
	case RNBD_CLOSE:
		return 0;
	case RNBD_IO:
		return serve_io(q);
	default:
		return EINVAL;
	}
}

/* Serves a request as it should be served. */
void serve(struct req *q)
{
	if (q->type == RTRS_FENCE)
		respond(q->con, q->chunk, 0, false);
	else
		answer(q, serve_data(q));
}

/* --- what lies have in common ---------------------------------------------------- */

/* A read of the user that wants data. */
bool is_read(const struct req *q)
{
	return q->armed && q->op == OP_READ && q->sg_cnt;
}

/* True once: the lie is told once, then the server is honest. */
bool once(void)
{
	return sh->lies++ == 0;
}

/* The data of a read, without an answer. */
void fill(struct req *q)
{
	memcpy(q->data, sh->disk + get64(q->usr + 8) * SECTOR, q->data_len);
	put_data(q);
}

/* Counts what the client's adapter said to an intrusion. */
void count_probe(int status)
{
	if (status == IBV_WC_SUCCESS)
		sh->escaped++;
	else
		sh->caught++;
}
