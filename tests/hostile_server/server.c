// SPDX-License-Identifier: GPL-2.0
/*
 * An honest RTRS/RNBD server for one client: the sequence of rtrs 3.2, and requests out
 * of their chunks; send.c and serve.c do the rest. The case's hooks are called
 * wherever something goes out or comes in. One thread; a hook may wait by pumping,
 * then new requests queue up behind the one it works on.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "liar.h"

#define MAX_WAITING	4096

struct server srv;

/* Requests that wait for the one being worked on. */
static struct {
	struct con *con;
	uint32_t imm;
} waiting[MAX_WAITING];
static unsigned int first_waiting, last_waiting;
static bool busy;

long long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

/* Repeatable, so that a failure can be seen again. */
uint32_t rnd(void)
{
	static uint32_t x = 0x9e3779b9;

	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	return x;
}

void complain(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(sh->liar, sizeof(sh->liar), fmt, ap);
	va_end(ap);
}

static void fatal(const char *what)
{
	complain("the liar's own %s failed: %s", what, strerror(errno));
	fprintf(stderr, "%s\n", sh->liar);
	_exit(3);
}

struct path *last_path(void)
{
	return srv.path_num ? &srv.paths[srv.path_num - 1] : NULL;
}

struct con *service(void)
{
	struct path *p = last_path();

	return p ? p->con[0] : NULL;
}

/* --- requests ------------------------------------------------------------------ */

/* Takes a request out of its chunk; an honest client never makes this fail. */
static bool take_req(struct req *q, struct con *c, uint32_t imm)
{
	const struct path *p = c->path;
	unsigned int bits = 28 - ceil_log2(p->p.depth);
	uint32_t size = p->p.max_io + p->p.max_hdr;
	const uint8_t *chunk, *msg;

	memset(q, 0, sizeof(*q));
	q->con = c;
	q->chunk = (imm & 0x0fffffff) >> bits;
	q->off = imm & ((1u << bits) - 1);
	if (q->chunk >= p->p.depth || q->off + 24 > size) {
		complain("request outside of the chunks: immediate %#x", imm);
		return false;
	}
	chunk = p->pool + (size_t)q->chunk * size;
	msg = chunk + q->off;
	q->type = get16(msg);
	q->usr_len = get16(msg + 2);
	if (q->type == RTRS_READ) {
		q->flags = get16(msg + 4);
		q->sg_cnt = get16(msg + 6);
		if (q->sg_cnt)
			q->desc = parse_desc(msg + 8);
	}
	if (q->type == RTRS_FENCE)
		return true;
	if (q->usr_len > q->off || q->usr_len > sizeof(q->usr))
		return false;
	q->data_len = q->off - q->usr_len;
	q->data = (uint8_t *)chunk;
	memcpy(q->usr, msg - q->usr_len, q->usr_len);
	q->msg = get16(q->usr);
	q->op = q->msg == RNBD_IO ? q->usr[16] : 0;
	if (q->msg == RNBD_CLOSE && srv.lie->request && srv.lie->map == EINVAL)
		complain("a CLOSE for an id that cannot have been understood");
	q->armed = q->msg == RNBD_IO && sh->armed;
	return true;
}

static void tick(void)
{
	/* Whoever waits in there, by pumping, must not get in again. */
	if (busy || !srv.lie->tick)
		return;
	busy = true;
	srv.lie->tick();
	busy = false;
}

/* The client says that it is there, or does what only a client does that is. */
static void now_up(struct con *c)
{
	if (!c->was_up)
		c->up = c->was_up = true;
}

static void take_info(struct con *c)
{
	struct path *p = c->path;
	uint8_t rsp[4096] = { 0 };
	struct out o = { .action = DO_SEND, .b = rsp, .len = 24 };

	/* Who wants to be early must be so now: the event that the connection is there may be late. */
	tick();
	if (p->info_done)
		return;
	put16(rsp, RTRS_INFO_RSP);
	put16(rsp + 2, 1);
	put64(rsp + 8, (uintptr_t)p->pool);
	put32(rsp + 16, p->pool_mr->rkey);
	put32(rsp + 20, p->p.depth * (p->p.max_io + p->p.max_hdr));
	p->info_done = true;
	if (srv.lie->info)
		srv.lie->info(p, &o);
	switch (o.action) {
	case DO_SEND:
		say_send(c, o.b, o.len);
		break;
	case DO_SEND_IMM:
		say_send_imm(c, o.imm, o.b, o.len);
		break;
	case DO_WRITE_IMM:
		say_write_imm(c, o.imm);
		break;
	default:
		break;
	}
}

static int post_recv(struct con *c, uint32_t slot)
{
	struct ibv_sge sge = { (uintptr_t)c->rx + (size_t)slot * RX_LEN, RX_LEN, c->rx_mr->lkey };
	struct ibv_recv_wr wr = { .sg_list = &sge, .num_sge = 1 }, *bad;

	wr.wr_id = WR_RECV << 56 | (uint64_t)c->nr << 32 | slot;
	return ibv_post_recv(c->id->qp, &wr, &bad);
}

static void take_wc(const struct ibv_wc *wc)
{
	struct con *c = &srv.cons[(wc->wr_id >> 32) & 0xffffff];
	uint32_t imm = ntohl(wc->imm_data), slot = (uint32_t)wc->wr_id;

	switch (wc->wr_id >> 56) {
	case WR_PROBE:
		c->probe = wc->status;
		c->probing = false;
		/* fall through */
	case WR_SEND:
		c->sends_out--;
		if (wc->status != IBV_WC_SUCCESS && c->bad == IBV_WC_SUCCESS)
			c->bad = wc->status;
		return;
	}
	if (wc->status != IBV_WC_SUCCESS)
		return;
	now_up(c);
	if (!(wc->wc_flags & IBV_WC_WITH_IMM)) {
		post_recv(c, slot);
		if (c->cid == 0 && wc->byte_len >= RTRS_INFO_LEN)
			take_info(c);
		return;
	}
	post_recv(c, slot);
	switch (imm >> 28) {
	case IMM_IO_REQ:
		waiting[last_waiting % MAX_WAITING].con = c;
		waiting[last_waiting++ % MAX_WAITING].imm = imm;
		break;
	case IMM_HB:
		say_write_imm(c, imm_make(IMM_HB_ACK, 0));
		break;
	}
}

/* --- connections --------------------------------------------------------------- */

static int make_once(struct ibv_context *verbs)
{
	if (srv.pd)
		return 0;
	srv.verbs = verbs;
	srv.pd = ibv_alloc_pd(verbs);
	srv.comp = ibv_create_comp_channel(verbs);
	if (!srv.pd || !srv.comp)
		return -1;
	srv.cq = ibv_create_cq(verbs, 16384, NULL, srv.comp, 0);
	if (!srv.cq || ibv_req_notify_cq(srv.cq, 0))
		return -1;
	fcntl(srv.comp->fd, F_SETFL, fcntl(srv.comp->fd, F_GETFL) | O_NONBLOCK);
	srv.tx = calloc(1, TX_LEN);
	srv.scratch = calloc(1, TX_LEN);
	srv.tx_mr = ibv_reg_mr(srv.pd, srv.tx, TX_LEN, IBV_ACCESS_LOCAL_WRITE);
	srv.scratch_mr = ibv_reg_mr(srv.pd, srv.scratch, TX_LEN, IBV_ACCESS_LOCAL_WRITE);
	return srv.tx_mr && srv.scratch_mr ? 0 : -1;
}

static struct path *make_path(const uint8_t *uuid, uint16_t cid_num, uint16_t features)
{
	struct path *p = &srv.paths[srv.path_num];
	size_t len;

	if (srv.path_num == MAX_PATHS)
		return NULL;
	for (unsigned int i = 0; i < srv.path_num; i++) {
		if (!memcmp(srv.paths[i].uuid, uuid, 16)) {
			p->nr = srv.paths[i].nr;
			p->life = srv.paths[i].life + 1;
		} else if (!p->life && srv.paths[i].nr >= p->nr) {
			p->nr = srv.paths[i].nr + 1;
		}
	}
	srv.path_num++;
	memcpy(p->uuid, uuid, 16);
	p->cid_num = cid_num;
	p->features = features;
	p->p = srv.p;
	len = (size_t)p->p.depth * (p->p.max_io + p->p.max_hdr);
	p->pool = aligned_alloc(4096, len);
	if (!p->pool)
		fatal("memory for the pool");
	memset(p->pool, 0, len);
	p->pool_mr = ibv_reg_mr(srv.pd, p->pool, len, IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE);
	if (!p->pool_mr)
		fatal("registration of the pool");
	return p;
}

static struct path *find_path(const uint8_t *uuid)
{
	for (unsigned int i = srv.path_num; i-- > 0;) {
		if (!srv.paths[i].down && !memcmp(srv.paths[i].uuid, uuid, 16))
			return &srv.paths[i];
	}
	return NULL;
}

/* Whether there is a queue pair now: the client may have given up meanwhile, for what happened
 * on another connection, and then the connection manager has nothing for it.
 */
static bool make_qp(struct con *c)
{
	struct ibv_qp_init_attr attr = {
		.qp_type = IBV_QPT_RC,
		.send_cq = srv.cq,
		.recv_cq = srv.cq,
		.cap = {
			.max_send_wr = SEND_DEPTH,
			.max_recv_wr = RX_SLOTS + 2,
			.max_send_sge = 1,
			.max_recv_sge = 1,
		},
	};

	if (rdma_create_qp(c->id, srv.pd, &attr)) {
		if (errno != EINVAL)
			fatal("rdma_create_qp");
		return false;
	}
	c->rx = calloc(RX_SLOTS, RX_LEN);
	c->rx_mr = ibv_reg_mr(srv.pd, c->rx, (size_t)RX_SLOTS * RX_LEN, IBV_ACCESS_LOCAL_WRITE);
	if (!c->rx || !c->rx_mr)
		fatal("memory for receives");
	for (uint32_t i = 0; i < RX_SLOTS; i++) {
		if (post_recv(c, i))
			fatal("ibv_post_recv");
	}
	return true;
}

static void take_connect(struct rdma_cm_event *ev)
{
	const uint8_t *d = ev->param.conn.private_data;
	uint8_t priv[256] = { 0 };
	struct out o = { .action = DO_SEND, .b = priv, .len = RTRS_PRIV_LEN };
	struct rdma_conn_param param = { .rnr_retry_count = 7 };
	struct params say;
	struct path *p;
	struct con *c;

	if (ev->param.conn.private_data_len < RTRS_PRIV_LEN || get16(d + 2) != RTRS_MAGIC) {
		complain("a connect request that is none");
		rdma_reject(ev->id, NULL, 0);
		return;
	}
	if (make_once(ev->id->verbs))
		fatal("set-up");
	p = get16(d + 6) == 0 ? NULL : find_path(d + 12);
	if (!p) {
		p = make_path(d + 12, get16(d + 8), d[45] ? get16(d + 46) : 0);
		if (!p) {
			rdma_reject(ev->id, NULL, 0);
			return;
		}
	}
	if (srv.con_num == MAX_CONS || get16(d + 6) >= 64)
		fatal("table of connections");
	c = &srv.cons[srv.con_num];
	c->nr = srv.con_num++;
	c->path = p;
	c->id = ev->id;
	c->id->context = c;
	c->cid = get16(d + 6);
	p->con[c->cid] = c;

	say = p->p;
	if (srv.lie->params)
		srv.lie->params(p, c->cid, &say);
	put16(priv, RTRS_MAGIC);
	put16(priv + 2, RTRS_VERSION);
	put16(priv + 6, say.depth);
	put32(priv + 8, say.max_io);
	put32(priv + 12, say.max_hdr);
	put32(priv + 16, say.flags);
	if (p->features & srv.lie->features) {
		priv[20] = 1;
		put16(priv + 22, p->features & srv.lie->features);
	}
	if (srv.lie->connect)
		srv.lie->connect(p, c->cid, &o);
	if (o.action == DO_NOTHING)
		return;
	if (o.action == DO_REJECT) {
		rdma_reject(ev->id, o.len ? priv : NULL, o.len);
		return;
	}
	if (!make_qp(c)) {
		p->con[c->cid] = NULL;
		return;
	}
	param.private_data = o.len ? priv : NULL;
	param.private_data_len = o.len;
	/* And the same again. */
	if (rdma_accept(ev->id, &param) && errno != EINVAL)
		fatal("rdma_accept");
}

static void take_event(struct rdma_cm_event *ev)
{
	struct con *c = ev->id->context;

	switch (ev->event) {
	case RDMA_CM_EVENT_CONNECT_REQUEST:
		take_connect(ev);
		break;
	case RDMA_CM_EVENT_ESTABLISHED:
		now_up(c);
		break;
	case RDMA_CM_EVENT_DISCONNECTED:
		c->up = false;
		c->path->down = true;
		rdma_disconnect(ev->id);
		break;
	case RDMA_CM_EVENT_CONNECT_ERROR:
	case RDMA_CM_EVENT_UNREACHABLE:
	case RDMA_CM_EVENT_REJECTED:
		if (c) {
			c->up = false;
			c->path->down = true;
		}
		break;
	default:
		break;
	}
}

void server_start(const struct lie *lie, int mode)
{
	struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons(opt.port) };

	srv.lie = lie;
	srv.mode = mode;
	srv.sectors = DISK_LEN / SECTOR;
	srv.p = (struct params){ 32, 126976, 4096, mode == KEYS ? RTRS_NEW_RKEY : 0 };
	if (lie->real) {
		srv.p = *lie->real;
		srv.p.flags = mode == KEYS ? RTRS_NEW_RKEY : 0;
	}
	srv.ch = rdma_create_event_channel();
	if (!srv.ch)
		fatal("rdma_create_event_channel");
	fcntl(srv.ch->fd, F_SETFL, fcntl(srv.ch->fd, F_GETFL) | O_NONBLOCK);
	if (rdma_create_id(srv.ch, &srv.listener, NULL, RDMA_PS_TCP) ||
	    rdma_bind_addr(srv.listener, (struct sockaddr *)&any) || rdma_listen(srv.listener, 64))
		fatal("listening");
}

/* Takes in what has happened; sleeps up to `timeout_ms` if nothing has. */
void server_pump(int timeout_ms)
{
	struct pollfd fds[2] = {
		{ .fd = srv.ch->fd, .events = POLLIN },
		{ .fd = srv.comp ? srv.comp->fd : -1, .events = POLLIN },
	};
	struct rdma_cm_event *ev;
	struct ibv_wc wc[32];
	struct ibv_cq *cq;
	struct req q;
	void *ctx;
	int n, seen = 0;

	if (srv.frozen) {
		usleep(timeout_ms * 1000);
		return;
	}
	while (srv.cq && (n = ibv_poll_cq(srv.cq, 32, wc)) > 0) {
		seen += n;
		for (int i = 0; i < n; i++)
			take_wc(&wc[i]);
	}
	if (!busy && first_waiting != last_waiting) {
		struct con *c = waiting[first_waiting % MAX_WAITING].con;
		uint32_t imm = waiting[first_waiting++ % MAX_WAITING].imm;

		busy = true;
		if (take_req(&q, c, imm) && !(srv.lie->request && srv.lie->request(&q)))
			serve(&q);
		busy = false;
		seen++;
	}
	tick();
	if (poll(fds, 2, seen ? 0 : timeout_ms) <= 0)
		return;
	if (fds[1].revents && !ibv_get_cq_event(srv.comp, &cq, &ctx)) {
		ibv_ack_cq_events(cq, 1);
		ibv_req_notify_cq(cq, 0);
	}
	if (fds[0].revents && !rdma_get_cm_event(srv.ch, &ev)) {
		take_event(ev);
		rdma_ack_cm_event(ev);
	}
}

void pump_ms(int ms)
{
	long long end = now_ms() + ms;

	while (now_ms() < end)
		server_pump(5);
}
