/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One RTRS path as a client sees it, with nothing hidden.
 *
 * A session made by `session_new()` and opened by `session_open()` behaves like
 * an honest client. A case bends it by changing fields in between, by sending
 * an `ask` whose fields lie, or by posting raw work requests.
 *
 * Everything runs in one thread: whoever waits calls `session_pump()`.
 */
#ifndef HOSTILE_SESSION_H
#define HOSTILE_SESSION_H

#include <infiniband/verbs.h>
#include <rdma/rdma_cma.h>

#include "wire.h"

#define SLOW_MS		4000		/* what --slow-device takes for anything */
#define MAX_CONS	8
#define RX_LEN		(512u << 10)	/* where the server may put answers */
#define TX_LEN		(512u << 10)	/* ring that outgoing bytes live in */
#define SEND_ID		(1ull << 40)	/* wr_id of every send */
#define CANARY		0xa5		/* what the receive area is filled with */

/* What the command line said. */
struct options {
	const char *dst;
	const char *dst2;		/* a second address of the same server, or NULL */
	const char *device;
	const char *device2;		/* another backend than `device` */
	const char *flush_device;	/* a backend with 4 KiB blocks and a cache, if any */
	const char *slow_device;	/* a backend that takes SLOW_MS for everything, if any */
	bool slow;			/* also the cases that wait for it for long */
	const char *files;		/* with a number behind it: more than 1024 files, if any */
	const char *many;		/* with a number behind it: 129 more addresses, if any */
	int port;
	int timeout_ms;			/* for an answer, a disconnect, a connect */
	int halfopen_s;			/* for a half-open path to be reaped */
	int recover_s;			/* for an honest session to be possible again */
	int sessions;			/* upper bound for the many-sessions case */
};

extern struct options opt;

enum con_state { CON_NONE, CON_TRYING, CON_UP, CON_REJECTED, CON_FAILED, CON_DOWN };

struct session;

struct con {
	struct session *s;
	struct rdma_cm_id *id;
	struct ibv_cq *cq;
	uint16_t cid;
	enum con_state state;
	int event;			/* the last CM event, -1 if none since asked */
	int rej_errno;			/* positive; 0 if the reject was not RTRS's */
	struct connect_rsp rsp;
	unsigned int sends_out;		/* posted and not completed */
	unsigned int sends_ok;
	enum ibv_wc_status bad_send;	/* first failure of a send, or SUCCESS */
};

/* What is known about one chunk of the server. */
struct chunk {
	uint64_t addr;
	uint32_t key;
	unsigned int answers;		/* responses seen for this index */
	int err;			/* positive errno of the last one */
	uint8_t type;			/* immediate type of the last one */
};

struct session {
	/* Set by session_new(), free to be changed before session_connect(). */
	uint16_t cons;			/* connections that are really made */
	uint16_t cid_num;		/* what the requests say */
	uint32_t recvs;			/* receives posted per connection */
	size_t rx_len, tx_len;
	uint8_t sess_uuid[16], paths_uuid[16];
	uint8_t first_conn;
	uint16_t features;		/* extensions to offer */
	const char *dst;
	struct session *beside;		/* goes on being served meanwhile */
	/* Free to be changed before session_exchange(). */
	uint8_t name[RTRS_NAME_LEN];
	uint16_t info_type;
	uint32_t info_len;

	/* Learned from the server. */
	uint32_t depth, chunk_size, max_io;
	bool new_rkey;
	struct chunk *chunk;
	uint32_t sg_cnt;

	struct rdma_event_channel *ch;
	struct ibv_pd *pd;
	struct con con[MAX_CONS];
	uint8_t *tx, *rx, *msg, *info;
	struct ibv_mr *tx_mr, *rx_mr, *msg_mr, *info_mr;
	size_t tx_pos;
	uint32_t next_chunk;

	bool got_info;
	uint32_t info_bytes;
	bool down;			/* the server disconnected */
	unsigned int answers;		/* all responses */
	unsigned int garbage;		/* receptions that make no sense */
	unsigned int hb_msgs, hb_acks;	/* heartbeats seen */
	char why[160];			/* why the last call failed */
};

/* con.c: one connection. */
int con_connect(struct con *c, const uint8_t *priv, uint8_t len);
void con_release(struct con *c);
int con_post_recv(struct con *c, uint32_t slot);
int con_post_info_recv(struct con *c);
int con_post_send(struct con *c, struct ibv_send_wr *wr);
const char *con_outcome(const struct con *c);

/* session.c: a path. */
struct session *session_new(void);
int session_connect(struct session *s);
int session_connect_one(struct session *s, uint16_t cid);
struct connect_req session_req(const struct session *s, uint16_t cid);
int session_send_info(struct session *s, uint16_t cid);
int session_wait_info(struct session *s);
int session_exchange(struct session *s);
int session_open(struct session *s);
void session_close(struct session *s);
void session_pump(struct session *s);
bool session_broken(const struct session *s);
bool session_wait_down(struct session *s, int timeout_ms);
void session_name(struct session *s, const char *name);
long long now_ms(void);

/* io.c: requests and answers. Reactions below zero are not answers. */
#define GONE	(-1)	/* the server disconnected */
#define SILENT	(-2)	/* neither an answer nor a disconnect in time */

struct ask {
	uint16_t cid;
	uint32_t chunk;
	uint16_t type;			/* RTRS message type as sent */
	uint16_t usr_field;		/* usr_len as claimed */
	uint16_t flags;
	uint16_t sg_cnt;		/* as claimed */
	struct sg_desc desc[2];
	size_t desc_num;		/* really sent */
	bool is_read;			/* long form of the RTRS message */
	uint32_t data_len;
	const uint8_t *data;		/* NULL: the data area is not written */
	uint8_t usr[300];
	uint32_t usr_len;		/* really sent */
	bool raw_imm;
	uint32_t imm;			/* used if raw_imm */
};

uint32_t pick_chunk(struct session *s);
void ask_write(struct session *s, struct ask *a, uint16_t cid, const uint8_t *data,
	       uint32_t data_len, const uint8_t *usr, uint32_t usr_len);
void ask_read(struct session *s, struct ask *a, uint16_t cid, uint32_t rx_off,
	      uint32_t data_len, const uint8_t *usr, uint32_t usr_len);
int ask_send(struct session *s, const struct ask *a);
int ask_wait(struct session *s, uint32_t chunk, unsigned int count, int timeout_ms);
int ask_call(struct session *s, const struct ask *a);
const char *reaction(int r);

int poke(struct session *s, uint16_t cid, uint32_t imm);
int send_bytes(struct session *s, uint16_t cid, const void *bytes, uint32_t len);
int write_bytes(struct session *s, uint16_t cid, uint64_t addr, uint32_t key,
		const void *bytes, uint32_t len);
int bind_window(struct session *s, uint16_t cid, uint32_t rx_off, uint32_t len, uint32_t *key);
void rx_fill(struct session *s);
size_t rx_foreign(const struct session *s, size_t from, size_t to);

#endif
