// SPDX-License-Identifier: GPL-2.0
/*
 * One RC connection: address, route, queue pair, connect, and the posting of
 * receives and sends on it. Private data is whatever the caller hands in.
 */
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "session.h"

#define SEND_DEPTH	1100u
#define SEND_LIMIT	1000u

/* Pumps until a CM event for this connection came. */
static int wait_event(struct con *c, int timeout_ms)
{
	long long end = now_ms() + timeout_ms;

	while (c->event < 0) {
		if (now_ms() >= end) {
			c->state = CON_FAILED;
			snprintf(c->s->why, sizeof(c->s->why), "cid %u: no CM event in time", c->cid);
			return -1;
		}
		session_pump(c->s);
	}
	return c->event;
}

static int fail(struct con *c, const char *what)
{
	c->state = CON_FAILED;
	snprintf(c->s->why, sizeof(c->s->why), "cid %u: %s failed: %m", c->cid, what);
	return -1;
}

static int resolve(struct con *c)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST };
	struct addrinfo *ai;
	char port[8];
	int rc;

	snprintf(port, sizeof(port), "%d", opt.port);
	if (getaddrinfo(c->s->dst, port, &hints, &ai))
		return fail(c, "parsing the address");
	c->event = -1;
	rc = rdma_resolve_addr(c->id, NULL, ai->ai_addr, 5000);
	freeaddrinfo(ai);
	if (rc)
		return fail(c, "rdma_resolve_addr");
	if (wait_event(c, opt.timeout_ms) != RDMA_CM_EVENT_ADDR_RESOLVED)
		return fail(c, "address resolution");
	c->event = -1;
	if (rdma_resolve_route(c->id, 5000))
		return fail(c, "rdma_resolve_route");
	if (wait_event(c, opt.timeout_ms) != RDMA_CM_EVENT_ROUTE_RESOLVED)
		return fail(c, "route resolution");
	return 0;
}

/* The memory every connection of the session shares, made with the first one. */
static int make_memory(struct session *s, struct ibv_context *verbs)
{
	size_t msg_len = (size_t)MAX_CONS * (s->recvs + 1) * 16;

	if (s->pd)
		return 0;
	s->pd = ibv_alloc_pd(verbs);
	if (!s->pd)
		return -1;
	s->tx = calloc(1, s->tx_len);
	s->rx = malloc(s->rx_len);
	s->msg = calloc(1, msg_len);
	if (!s->tx || !s->rx || !s->msg)
		return -1;
	rx_fill(s);
	s->tx_mr = ibv_reg_mr(s->pd, s->tx, s->tx_len, IBV_ACCESS_LOCAL_WRITE);
	s->rx_mr = ibv_reg_mr(s->pd, s->rx, s->rx_len, IBV_ACCESS_LOCAL_WRITE |
			      IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_MW_BIND);
	s->msg_mr = ibv_reg_mr(s->pd, s->msg, msg_len, IBV_ACCESS_LOCAL_WRITE);
	return s->tx_mr && s->rx_mr && s->msg_mr ? 0 : -1;
}

static int make_qp(struct con *c)
{
	struct session *s = c->s;
	struct ibv_qp_init_attr attr = {
		.qp_type = IBV_QPT_RC,
		.cap = {
			.max_send_wr = SEND_DEPTH,
			.max_recv_wr = s->recvs + 2,
			.max_send_sge = 1,
			.max_recv_sge = 1,
		},
	};

	if (make_memory(s, c->id->verbs))
		return fail(c, "registering memory");
	c->cq = ibv_create_cq(c->id->verbs, SEND_DEPTH + s->recvs + 2, c, NULL, 0);
	if (!c->cq)
		return fail(c, "ibv_create_cq");
	attr.send_cq = c->cq;
	attr.recv_cq = c->cq;
	if (rdma_create_qp(c->id, s->pd, &attr))
		return fail(c, "rdma_create_qp");
	return 0;
}

/*
 * Connects with `len` bytes of private data. Returns 0 when established. On
 * anything else the reason is in the state, `rej_errno` and the session's text.
 */
int con_connect(struct con *c, const uint8_t *priv, uint8_t len)
{
	struct rdma_conn_param param = {
		.private_data = len ? priv : NULL,
		.private_data_len = len,
		.retry_count = 7,
		.rnr_retry_count = 7,
	};

	c->state = CON_TRYING;
	c->bad_send = IBV_WC_SUCCESS;
	if (rdma_create_id(c->s->ch, &c->id, c, RDMA_PS_TCP))
		return fail(c, "rdma_create_id");
	if (resolve(c) || make_qp(c))
		return -1;
	c->event = -1;
	if (rdma_connect(c->id, &param))
		return fail(c, "rdma_connect");
	if (wait_event(c, opt.timeout_ms) < 0)
		return -1;
	if (c->state != CON_UP) {
		snprintf(c->s->why, sizeof(c->s->why), "cid %u: %s", c->cid, con_outcome(c));
		return -1;
	}
	return 0;
}

/* Destroys what hangs on the connection; the id itself goes later. */
void con_release(struct con *c)
{
	if (c->id && c->id->qp)
		rdma_destroy_qp(c->id);
	if (c->cq)
		ibv_destroy_cq(c->cq);
	c->cq = NULL;
}

/* Posts the 8-byte receive number `slot` of this connection. */
int con_post_recv(struct con *c, uint32_t slot)
{
	struct session *s = c->s;
	uint8_t *buf = s->msg + ((size_t)c->cid % MAX_CONS * s->recvs + slot) * 16;
	struct ibv_sge sge = { (uintptr_t)buf, 8, s->msg_mr->lkey };
	struct ibv_recv_wr wr = { .wr_id = slot, .sg_list = &sge, .num_sge = 1 }, *bad;

	return ibv_post_recv(c->id->qp, &wr, &bad);
}

/* Posts the receive for the info response; the first one on connection 0. */
int con_post_info_recv(struct con *c)
{
	struct session *s = c->s;
	size_t len = 8 + 16 * (size_t)s->depth;
	struct ibv_sge sge;
	struct ibv_recv_wr wr = { .wr_id = UINT32_MAX, .sg_list = &sge, .num_sge = 1 }, *bad;

	if (!s->info) {
		s->info = calloc(1, len);
		if (!s->info)
			return -1;
		s->info_mr = ibv_reg_mr(s->pd, s->info, len, IBV_ACCESS_LOCAL_WRITE);
		if (!s->info_mr)
			return -1;
	}
	sge = (struct ibv_sge){ (uintptr_t)s->info, len, s->info_mr->lkey };
	return ibv_post_recv(c->id->qp, &wr, &bad);
}

/* Posts one signaled send; waits for room in the send queue if there is none. */
int con_post_send(struct con *c, struct ibv_send_wr *wr)
{
	long long end = now_ms() + opt.timeout_ms;
	struct ibv_send_wr *bad;

	while (c->sends_out >= SEND_LIMIT && c->state == CON_UP && now_ms() < end)
		session_pump(c->s);
	if (c->sends_out >= SEND_LIMIT || !c->id || !c->id->qp)
		return -1;
	wr->send_flags |= IBV_SEND_SIGNALED;
	wr->wr_id = SEND_ID;
	if (ibv_post_send(c->id->qp, wr, &bad))
		return -1;
	c->sends_out++;
	return 0;
}

/* What became of a connection attempt, for a person. */
const char *con_outcome(const struct con *c)
{
	static char text[80];

	switch (c->state) {
	case CON_UP:
		return "accepted";
	case CON_REJECTED:
		if (!c->rej_errno)
			return "rejected without an RTRS message";
		snprintf(text, sizeof(text), "rejected with -%d (%s)", c->rej_errno,
			 strerror(c->rej_errno));
		return text;
	case CON_DOWN:
		return "disconnected";
	case CON_FAILED:
		snprintf(text, sizeof(text), "failed (%s)",
			 c->event < 0 ? "no event" : rdma_event_str(c->event));
		return text;
	default:
		return "not connected";
	}
}
