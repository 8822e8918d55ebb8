// SPDX-License-Identifier: GPL-2.0
/*
 * Requests as a client places them in a chunk, answers as it waits for them,
 * and the raw work requests below both.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "session.h"

/* The next chunk index, round robin; the caller must not have it in flight. */
uint32_t pick_chunk(struct session *s)
{
	uint32_t i = s->next_chunk % s->depth;

	s->next_chunk = i + 1;
	return i;
}

/* Copies bytes into the ring that the adapter reads from. */
static uint8_t *stage(struct session *s, const void *bytes, uint32_t len)
{
	uint8_t *p;

	if (len > s->tx_len)
		return NULL;
	if (s->tx_pos + len > s->tx_len)
		s->tx_pos = 0;
	p = s->tx + s->tx_pos;
	if (bytes)
		memcpy(p, bytes, len);
	s->tx_pos += (len + 63) / 64 * 64;
	return p;
}

static int post(struct con *c, struct ibv_send_wr *wr, const uint8_t *staged, uint32_t len)
{
	struct ibv_sge sge = { (uintptr_t)staged, len, c->s->tx_mr ? c->s->tx_mr->lkey : 0 };

	if (len) {
		wr->sg_list = &sge;
		wr->num_sge = 1;
	}
	return con_post_send(c, wr);
}

/* A zero-length WRITE WITH IMM; needs no key at all. */
int poke(struct session *s, uint16_t cid, uint32_t imm)
{
	struct ibv_send_wr wr = { .opcode = IBV_WR_RDMA_WRITE_WITH_IMM, .imm_data = htonl(imm) };

	return post(&s->con[cid], &wr, NULL, 0);
}

/* A plain SEND. */
int send_bytes(struct session *s, uint16_t cid, const void *bytes, uint32_t len)
{
	struct ibv_send_wr wr = { .opcode = IBV_WR_SEND };
	uint8_t *p = stage(s, bytes, len);

	return p ? post(&s->con[cid], &wr, p, len) : -1;
}

/*
 * A plain RDMA WRITE, and what the adapter said to it: IBV_WC_SUCCESS, the
 * failure, or -1 if nothing came in time.
 */
int write_bytes(struct session *s, uint16_t cid, uint64_t addr, uint32_t key,
		const void *bytes, uint32_t len)
{
	struct ibv_send_wr wr = { .opcode = IBV_WR_RDMA_WRITE };
	struct con *c = &s->con[cid];
	long long end = now_ms() + opt.timeout_ms;
	uint8_t *p = stage(s, bytes, len);

	wr.wr.rdma.remote_addr = addr;
	wr.wr.rdma.rkey = key;
	if (!p || post(c, &wr, p, len))
		return -1;
	while (c->sends_out && now_ms() < end)
		session_pump(s);
	return c->sends_out ? -1 : (int)c->bad_send;
}

/*
 * Binds a memory window over part of the receive area. A window, unlike the
 * region itself, can be invalidated by the server, as NEED_INVAL asks for.
 */
int bind_window(struct session *s, uint16_t cid, uint32_t rx_off, uint32_t len, uint32_t *key)
{
	struct ibv_mw *mw = ibv_alloc_mw(s->pd, IBV_MW_TYPE_2);
	struct ibv_send_wr wr = { .opcode = IBV_WR_BIND_MW };
	struct con *c = &s->con[cid];
	long long end = now_ms() + opt.timeout_ms;

	if (!mw)
		return -1;
	*key = ibv_inc_rkey(mw->rkey);
	wr.bind_mw.mw = mw;
	wr.bind_mw.rkey = *key;
	wr.bind_mw.bind_info.mr = s->rx_mr;
	wr.bind_mw.bind_info.addr = (uintptr_t)s->rx + rx_off;
	wr.bind_mw.bind_info.length = len;
	wr.bind_mw.bind_info.mw_access_flags = IBV_ACCESS_REMOTE_WRITE;
	if (con_post_send(c, &wr))
		return -1;
	while (c->sends_out && now_ms() < end)
		session_pump(s);
	return c->sends_out || c->bad_send != IBV_WC_SUCCESS ? -1 : 0;
}

static void ask_init(struct session *s, struct ask *a, uint16_t cid, uint32_t data_len,
		     const uint8_t *usr, uint32_t usr_len)
{
	memset(a, 0, sizeof(*a));
	a->cid = cid;
	a->chunk = pick_chunk(s);
	a->data_len = data_len;
	a->usr_len = usr_len > sizeof(a->usr) ? sizeof(a->usr) : usr_len;
	if (a->usr_len)
		memcpy(a->usr, usr, a->usr_len);
	a->usr_field = a->usr_len;
}

/* An honest WRITE; `data` may be NULL to leave the data area as it is. */
void ask_write(struct session *s, struct ask *a, uint16_t cid, const uint8_t *data,
	       uint32_t data_len, const uint8_t *usr, uint32_t usr_len)
{
	ask_init(s, a, cid, data_len, usr, usr_len);
	a->type = RTRS_WRITE;
	a->data = data;
}

/* An honest READ of `data_len` bytes to `rx_off`; none means no descriptor. */
void ask_read(struct session *s, struct ask *a, uint16_t cid, uint32_t rx_off,
	      uint32_t data_len, const uint8_t *usr, uint32_t usr_len)
{
	ask_init(s, a, cid, data_len, usr, usr_len);
	a->type = RTRS_READ;
	a->is_read = true;
	a->sg_cnt = data_len ? 1 : 0;
	a->desc_num = a->sg_cnt;
	a->desc[0].addr = (uintptr_t)s->rx + rx_off;
	a->desc[0].key = s->rx_mr->rkey;
	a->desc[0].len = data_len;
}

/*
 * Puts data, user message and RTRS message where section 2.5 has them, cut off
 * at the chunk's end, and tells the server. Returns 0 when posted.
 */
int ask_send(struct session *s, const struct ask *a)
{
	struct ibv_send_wr wr = { .opcode = IBV_WR_RDMA_WRITE_WITH_IMM };
	const struct chunk *chunk = &s->chunk[a->chunk];
	uint32_t start = a->data ? 0 : a->data_len;
	uint32_t off = a->data_len + a->usr_len, len;
	uint8_t msg[8 + 16 * 2], *p;
	size_t msg_len;

	if (a->is_read)
		msg_len = build_read(msg, a->type, a->usr_field, a->flags, a->sg_cnt,
				     a->desc, a->desc_num);
	else
		msg_len = build_write(msg, a->type, a->usr_field);
	p = stage(s, NULL, off - start + msg_len);
	if (!p)
		return -1;
	if (a->data)
		memcpy(p, a->data, a->data_len);
	memcpy(p + a->data_len - start, a->usr, a->usr_len);
	memcpy(p + off - start, msg, msg_len);
	len = off - start + msg_len;
	if (start + len > s->chunk_size)
		len = start < s->chunk_size ? s->chunk_size - start : 0;
	wr.imm_data = htonl(a->raw_imm ? a->imm : imm_io_req(s->depth, a->chunk, off));
	wr.wr.rdma.remote_addr = chunk->addr + start;
	wr.wr.rdma.rkey = chunk->key;
	return post(&s->con[a->cid], &wr, p, len);
}

/* Waits until `count` answers came for the chunk; the last one's status. */
int ask_wait(struct session *s, uint32_t chunk, unsigned int count, int timeout_ms)
{
	long long end = now_ms() + timeout_ms;

	while (s->chunk[chunk].answers < count && !s->down && now_ms() < end)
		session_pump(s);
	if (s->chunk[chunk].answers >= count)
		return s->chunk[chunk].err;
	return s->down ? GONE : SILENT;
}

int ask_call(struct session *s, const struct ask *a)
{
	unsigned int count = s->chunk[a->chunk].answers + 1;

	if (ask_send(s, a))
		return s->down ? GONE : SILENT;
	return ask_wait(s, a->chunk, count, opt.timeout_ms);
}

/* A reaction in words; several may be used in one message. */
const char *reaction(int r)
{
	static char text[4][48];
	static unsigned int next;
	char *t = text[next++ % 4];

	if (r == GONE)
		return "path closed";
	if (r == SILENT)
		return "silence";
	if (r == 0)
		return "success";
	snprintf(t, sizeof(text[0]), "error %d (%s)", r, strerror(r));
	return t;
}

void rx_fill(struct session *s)
{
	memset(s->rx, CANARY, s->rx_len);
}

/* Bytes of the receive area in [from, to) that are neither zero nor canary. */
size_t rx_foreign(const struct session *s, size_t from, size_t to)
{
	static const uint8_t untouched[64] = { [0 ... 63] = CANARY };
	size_t n = 0, end = to < s->rx_len ? to : s->rx_len;

	for (size_t i = from; i < end; i++) {
		/* Most of it, and often. */
		while (end - i > sizeof(untouched) && !memcmp(s->rx + i, untouched, sizeof(untouched)))
			i += sizeof(untouched);
		n += s->rx[i] != CANARY && s->rx[i] != 0;
	}
	return n;
}
