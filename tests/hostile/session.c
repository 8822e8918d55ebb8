// SPDX-License-Identifier: GPL-2.0
/*
 * The life of a path: the honest sequence of section 3.2 (every connection in
 * turn, then the info exchange), the pump that takes in completions and CM
 * events, and the teardown.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "session.h"

long long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

void session_name(struct session *s, const char *name)
{
	memset(s->name, 0, sizeof(s->name));
	memcpy(s->name, name, strnlen(name, sizeof(s->name)));
}

/* An honest client that has done nothing yet, with a name of its own. */
struct session *session_new(void)
{
	static unsigned int number;
	struct session *s = calloc(1, sizeof(*s));
	char name[64];

	if (!s)
		abort();
	s->cons = 2;
	s->cid_num = 2;
	s->recvs = 600;
	s->rx_len = RX_LEN;
	s->tx_len = TX_LEN;
	s->first_conn = 1;
	s->dst = opt.dst;
	s->info_type = RTRS_INFO_REQ;
	s->info_len = RTRS_INFO_LEN;
	if (getrandom(s->sess_uuid, 16, 0) != 16 || getrandom(s->paths_uuid, 16, 0) != 16)
		abort();
	snprintf(name, sizeof(name), "hostile_%d_%u", (int)getpid(), number++);
	session_name(s, name);
	s->ch = rdma_create_event_channel();
	if (!s->ch) {
		fprintf(stderr, "no RDMA event channel: %m\n");
		exit(2);
	}
	fcntl(s->ch->fd, F_SETFL, fcntl(s->ch->fd, F_GETFL) | O_NONBLOCK);
	for (uint16_t i = 0; i < MAX_CONS; i++) {
		s->con[i].s = s;
		s->con[i].cid = i;
	}
	return s;
}

/* The honest connect request for one connection. */
struct connect_req session_req(const struct session *s, uint16_t cid)
{
	struct connect_req r = {
		.magic = RTRS_MAGIC,
		.version = RTRS_VERSION,
		.cid = cid,
		.cid_num = s->cid_num,
		.recon_cnt = 1,
		.first_conn = s->first_conn,
		.features = s->features,
	};

	memcpy(r.sess_uuid, s->sess_uuid, 16);
	memcpy(r.paths_uuid, s->paths_uuid, 16);
	return r;
}

/* Takes the parameters of the session from the response to connection 0. */
static int learn(struct session *s, const struct connect_rsp *rsp)
{
	s->depth = rsp->depth;
	s->max_io = rsp->max_io;
	s->chunk_size = rsp->max_io + rsp->max_hdr;
	s->new_rkey = rsp->flags & RTRS_NEW_RKEY;
	if (!s->depth || s->chunk_size < 8192 || rsp->err) {
		snprintf(s->why, sizeof(s->why), "nonsense in the connect response");
		return -1;
	}
	s->chunk = calloc(s->depth, sizeof(*s->chunk));
	return s->chunk ? 0 : -1;
}

int session_connect_one(struct session *s, uint16_t cid)
{
	struct connect_req r = session_req(s, cid);
	struct con *c = &s->con[cid];
	uint8_t priv[RTRS_PRIV_LEN];

	build_connect_req(priv, &r);
	if (con_connect(c, priv, sizeof(priv)))
		return -1;
	if (cid == 0 && (learn(s, &c->rsp) || con_post_info_recv(c)))
		return -1;
	for (uint32_t i = 0; i < s->recvs; i++) {
		if (con_post_recv(c, i)) {
			snprintf(s->why, sizeof(s->why), "cannot post a receive");
			return -1;
		}
	}
	return 0;
}

int session_connect(struct session *s)
{
	for (uint16_t i = 0; i < s->cons; i++) {
		if (session_connect_one(s, i))
			return -1;
	}
	return 0;
}

int session_send_info(struct session *s, uint16_t cid)
{
	uint8_t req[1024] = { 0 };

	build_info_req(req, s->info_type, s->name);
	return send_bytes(s, cid, req, s->info_len);
}

/* Walks the descriptors in order; chunk i gets its address and key. */
static int fill_chunks(struct session *s)
{
	uint32_t at = 0;

	s->sg_cnt = get16(s->info + 2);
	if (get16(s->info) != RTRS_INFO_RSP || s->info_bytes < 8 + 16 * s->sg_cnt)
		return -1;
	for (uint32_t i = 0; i < s->sg_cnt; i++) {
		struct sg_desc d = parse_desc(s->info + 8 + 16 * (size_t)i);

		if (!d.len || d.len % s->chunk_size)
			return -1;
		for (uint32_t k = 0; k < d.len / s->chunk_size; k++, at++) {
			if (at >= s->depth)
				return -1;
			s->chunk[at].addr = d.addr + (uint64_t)k * s->chunk_size;
			s->chunk[at].key = d.key;
		}
	}
	return at == s->depth ? 0 : -1;
}

int session_wait_info(struct session *s)
{
	long long end = now_ms() + opt.timeout_ms;

	while (!s->got_info && !s->down && now_ms() < end)
		session_pump(s);
	if (!s->got_info) {
		snprintf(s->why, sizeof(s->why), s->down ? "disconnected instead of an info response" :
			 "no info response in time");
		return -1;
	}
	if (fill_chunks(s)) {
		snprintf(s->why, sizeof(s->why), "nonsense in the info response");
		return -1;
	}
	return 0;
}

int session_exchange(struct session *s)
{
	if (session_send_info(s, 0)) {
		snprintf(s->why, sizeof(s->why), "cannot send the info request");
		return -1;
	}
	return session_wait_info(s);
}

int session_open(struct session *s)
{
	return session_connect(s) ? -1 : session_exchange(s);
}

/* One reception with an immediate: an answer or a heartbeat. */
static void take_imm(struct con *c, const struct ibv_wc *wc, const uint8_t *msg)
{
	uint32_t imm = ntohl(wc->imm_data), type = imm >> 28, id = imm & 0x7ffff;
	struct session *s = c->s;
	struct chunk *chunk;

	if (type == IMM_HB) {
		s->hb_msgs++;
		if (c->state == CON_UP)
			poke(s, c->cid, imm_make(IMM_HB_ACK, 0));
		return;
	}
	if (type == IMM_HB_ACK) {
		s->hb_acks++;
		return;
	}
	if ((type != IMM_IO_RSP && type != IMM_IO_RSP_INV) || !s->chunk || id >= s->depth) {
		s->garbage++;
		return;
	}
	chunk = &s->chunk[id];
	if (wc->opcode == IBV_WC_RECV) {
		if (wc->byte_len != 8 || get16(msg) != RTRS_RKEY_RSP || get16(msg + 2) != id)
			s->garbage++;
		else
			chunk->key = get32(msg + 4);
	}
	chunk->answers++;
	chunk->err = imm >> 19 & 0x1ff;
	chunk->type = type;
	s->answers++;
}

static void take_wc(struct con *c, const struct ibv_wc *wc)
{
	struct session *s = c->s;
	const uint8_t *msg;

	if (wc->wr_id == SEND_ID) {
		c->sends_out--;
		if (wc->status == IBV_WC_SUCCESS)
			c->sends_ok++;
		else if (c->bad_send == IBV_WC_SUCCESS)
			c->bad_send = wc->status;
		return;
	}
	if (wc->status != IBV_WC_SUCCESS)
		return;
	if (wc->wr_id == UINT32_MAX) {
		if (wc->wc_flags & IBV_WC_WITH_IMM) {
			s->garbage++;
			return;
		}
		s->got_info = true;
		s->info_bytes = wc->byte_len;
		return;
	}
	msg = s->msg + ((size_t)c->cid * s->recvs + wc->wr_id) * 16;
	if (wc->wc_flags & IBV_WC_WITH_IMM)
		take_imm(c, wc, msg);
	else if (wc->byte_len)
		s->garbage++;
	con_post_recv(c, wc->wr_id);
}

static void take_event(struct session *s, struct rdma_cm_event *ev)
{
	struct con *c = ev->id->context;
	const struct rdma_conn_param *p = &ev->param.conn;

	c->event = ev->event;
	switch (ev->event) {
	case RDMA_CM_EVENT_ADDR_RESOLVED:
	case RDMA_CM_EVENT_ROUTE_RESOLVED:
		break;
	case RDMA_CM_EVENT_ESTABLISHED:
		c->state = parse_connect_rsp(&c->rsp, p->private_data, p->private_data_len) ?
			CON_UP : CON_FAILED;
		break;
	case RDMA_CM_EVENT_REJECTED:
		c->state = CON_REJECTED;
		if (ev->status == RTRS_REJ_CONSUMER &&
		    parse_connect_rsp(&c->rsp, p->private_data, p->private_data_len))
			c->rej_errno = -c->rsp.err;
		break;
	case RDMA_CM_EVENT_DISCONNECTED:
		c->state = CON_DOWN;
		s->down = true;
		break;
	case RDMA_CM_EVENT_TIMEWAIT_EXIT:
		break;
	default:
		c->state = CON_FAILED;
	}
}

/* Takes in all that has happened; waits up to a millisecond if nothing has. */
void session_pump(struct session *s)
{
	struct pollfd fd = { .fd = s->ch->fd, .events = POLLIN };
	struct rdma_cm_event *ev;
	struct ibv_wc wc[32];
	bool idle = true;
	int n;

	if (s->beside)
		session_pump(s->beside);
	for (int i = 0; i < MAX_CONS; i++) {
		struct con *c = &s->con[i];

		while (c->cq && (n = ibv_poll_cq(c->cq, 32, wc)) > 0) {
			idle = false;
			for (int k = 0; k < n; k++)
				take_wc(c, &wc[k]);
		}
	}
	if (poll(&fd, 1, idle ? 1 : 0) <= 0)
		return;
	if (rdma_get_cm_event(s->ch, &ev))
		return;
	take_event(s, ev);
	if (ev->event == RDMA_CM_EVENT_DISCONNECTED)
		rdma_disconnect(ev->id);
	rdma_ack_cm_event(ev);
}

/* Whether an adapter, ours or theirs, has given up one of the connections. */
bool session_broken(const struct session *s)
{
	struct ibv_qp_init_attr init;
	struct ibv_qp_attr attr;

	for (int i = 0; i < MAX_CONS; i++) {
		const struct con *c = &s->con[i];

		if (c->bad_send != IBV_WC_SUCCESS)
			return true;
		if (c->state == CON_UP && !ibv_query_qp(c->id->qp, &attr, IBV_QP_STATE, &init) &&
		    attr.qp_state == IBV_QPS_ERR)
			return true;
	}
	return false;
}

bool session_wait_down(struct session *s, int timeout_ms)
{
	long long end = now_ms() + timeout_ms;

	while (!s->down && now_ms() < end)
		session_pump(s);
	return s->down;
}

/* Disconnects what is connected, waits a little for the peer, frees all. */
void session_close(struct session *s)
{
	long long end = now_ms() + 3000;
	bool up = true;

	for (int i = 0; i < MAX_CONS; i++) {
		if (s->con[i].state == CON_UP)
			rdma_disconnect(s->con[i].id);
	}
	while (up && now_ms() < end) {
		up = false;
		session_pump(s);
		for (int i = 0; i < MAX_CONS; i++)
			up |= s->con[i].state == CON_UP;
	}
	for (int i = 0; i < MAX_CONS; i++)
		con_release(&s->con[i]);
	if (s->tx_mr)
		ibv_dereg_mr(s->tx_mr);
	if (s->rx_mr)
		ibv_dereg_mr(s->rx_mr);
	if (s->msg_mr)
		ibv_dereg_mr(s->msg_mr);
	if (s->info_mr)
		ibv_dereg_mr(s->info_mr);
	if (s->pd)
		ibv_dealloc_pd(s->pd);
	for (int i = 0; i < MAX_CONS; i++) {
		if (s->con[i].id)
			rdma_destroy_id(s->con[i].id);
	}
	rdma_destroy_event_channel(s->ch);
	free(s->tx);
	free(s->rx);
	free(s->msg);
	free(s->info);
	free(s->chunk);
	free(s);
}
