// SPDX-License-Identifier: GPL-2.0
/*
 * The raw things that a server can send, one work request each. None of them looks at what
 * it is given.
 */
#include <arpa/inet.h>
#include <string.h>

#include "liar.h"

static uint8_t *stage(const void *bytes, uint32_t len)
{
	uint8_t *p;

	if (len > TX_LEN)
		return NULL;
	if (srv.tx_pos + len > TX_LEN)
		srv.tx_pos = 0;
	p = srv.tx + srv.tx_pos;
	memcpy(p, bytes, len);
	srv.tx_pos += (len + 63) / 64 * 64;
	return p;
}

static int post(struct con *c, struct ibv_send_wr *wr, const void *from, uint32_t len, uint64_t kind)
{
	struct ibv_sge sge = { .addr = (uintptr_t)from, .length = len };
	long long end = now_ms() + 5000;
	struct ibv_send_wr *bad;

	while (c->sends_out >= SEND_DEPTH - 2 && c->up && now_ms() < end)
		server_pump(1);
	if (c->sends_out >= SEND_DEPTH - 2 || !c->id->qp)
		return -1;
	if (len) {
		const uint8_t *f = from;

		if (f >= srv.tx && f < srv.tx + TX_LEN)
			sge.lkey = srv.tx_mr->lkey;
		else if (f >= srv.scratch && f < srv.scratch + TX_LEN)
			sge.lkey = srv.scratch_mr->lkey;
		else
			sge.lkey = c->path->pool_mr->lkey;
		wr->sg_list = &sge;
		wr->num_sge = 1;
	}
	wr->send_flags |= IBV_SEND_SIGNALED;
	wr->wr_id = kind << 56 | (uint64_t)c->nr << 32;
	if (ibv_post_send(c->id->qp, wr, &bad))
		return -1;
	c->sends_out++;
	return 0;
}

int say_write_imm(struct con *c, uint32_t imm)
{
	struct ibv_send_wr wr = { .opcode = IBV_WR_RDMA_WRITE_WITH_IMM, .imm_data = htonl(imm) };

	return post(c, &wr, NULL, 0, WR_SEND);
}

int say_send(struct con *c, const void *bytes, uint32_t len)
{
	struct ibv_send_wr wr = { .opcode = IBV_WR_SEND };
	uint8_t *p = stage(bytes, len);

	return p ? post(c, &wr, p, len, WR_SEND) : -1;
}

int say_send_imm(struct con *c, uint32_t imm, const void *bytes, uint32_t len)
{
	struct ibv_send_wr wr = { .opcode = IBV_WR_SEND_WITH_IMM, .imm_data = htonl(imm) };
	uint8_t *p = stage(bytes, len);

	return p ? post(c, &wr, p, len, WR_SEND) : -1;
}

int say_send_inv(struct con *c, uint32_t key)
{
	struct ibv_send_wr wr = { .opcode = IBV_WR_SEND_WITH_INV, .invalidate_rkey = key };

	return post(c, &wr, NULL, 0, WR_SEND);
}

int say_write(struct con *c, const void *from, uint32_t len, uint64_t addr, uint32_t key)
{
	struct ibv_send_wr wr = { .opcode = IBV_WR_RDMA_WRITE };

	wr.wr.rdma.remote_addr = addr;
	wr.wr.rdma.rkey = key;
	return post(c, &wr, from, len, WR_SEND);
}

int probe_write(struct con *c, uint64_t addr, uint32_t key, uint32_t len)
{
	struct ibv_send_wr wr = { .opcode = IBV_WR_RDMA_WRITE };
	long long end = now_ms() + 8000;

	memset(srv.scratch, 0x66, len);
	wr.wr.rdma.remote_addr = addr;
	wr.wr.rdma.rkey = key;
	if (!c->up)
		return -1;
	c->probing = true;
	if (post(c, &wr, srv.scratch, len, WR_PROBE)) {
		c->probing = false;
		return -1;
	}
	while (c->probing && now_ms() < end)
		server_pump(5);
	return c->probing ? -1 : (int)c->probe;
}
