/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A server that behaves, up to one lie.
 *
 * The pieces of this program: server.c, serve.c and send.c are an honest RTRS/RNBD server
 * over librdmacm, with a hook wherever a peer could be lied to; user.c is the user of
 * this host who maps the liar's device with the kernel's client and looks at what
 * he gets; cases_*.c are the lies; main.c runs them.
 *
 * To add a case: write the hook that lies, add one row to the table at the end of
 * the cases_*.c file it belongs to, with what the user may see. Every case runs in
 * processes of its own, which end with it.
 */
#ifndef LIAR_H
#define LIAR_H

#include <infiniband/verbs.h>
#include <rdma/rdma_cma.h>

#include "../hostile/wire.h"

#define MAX_CONS	512		/* of all paths, reconnects included */
#define MAX_PATHS	16
#define RX_SLOTS	192u		/* receives of a connection */
#define RX_LEN		320u		/* bytes of each; the info request has 272 */
#define TX_LEN		(1u << 20)	/* ring that outgoing bytes live in */
#define DISK_LEN	(4u << 20)	/* the exported device */
#define SECTOR		512u
#define SEND_DEPTH	512u		/* sends of a connection */
/* What a completion is for; the top byte of its id. */
#define WR_RECV		1ull
#define WR_SEND		2ull
#define WR_PROBE	3ull

struct path;
struct req;

/* The parameters a server gives to a session; lies may change them at any time. */
struct params {
	uint16_t depth;
	uint32_t max_io, max_hdr;
	uint32_t flags;
};

enum action { DO_SEND, DO_SEND_IMM, DO_WRITE_IMM, DO_REJECT, DO_NOTHING };

/* An answer that is about to go out; what is in it is honest until a lie changes it. */
struct out {
	enum action action;
	uint8_t *b;
	uint32_t len;
	uint32_t imm;
};

struct con {
	unsigned int nr;		/* in the table of connections */
	struct path *path;
	struct rdma_cm_id *id;
	uint16_t cid;
	bool up;
	bool was_up;
	uint8_t *rx;
	struct ibv_mr *rx_mr;
	unsigned int sends_out;
	bool probing;			/* a probe's completion is awaited */
	enum ibv_wc_status probe;	/* what the last probe got */
	enum ibv_wc_status bad;		/* first failure of a send */
};

/* One path of the client, in one of its incarnations. */
struct path {
	uint8_t uuid[16];
	unsigned int nr;		/* 0 for the first path of the session, 1 for the second ... */
	unsigned int life;		/* 0 for the first incarnation */
	uint16_t cid_num;
	struct params p;
	uint8_t *pool;
	struct ibv_mr *pool_mr;
	struct con *con[64];
	bool info_done;
	bool down;
	uint16_t features;		/* offered by the client */
};

/* A request of the client, taken out of its chunk. */
struct req {
	struct con *con;
	uint32_t chunk, off;
	uint16_t type, flags, sg_cnt;
	struct sg_desc desc;
	uint8_t *data;
	uint32_t data_len;
	uint8_t usr[512];
	uint16_t usr_len;
	uint16_t msg;			/* RNBD type */
	uint32_t op;			/* RNBD operation, of an IO */
	bool armed;			/* IO of the user, after the mapping was complete */
};

/* What two processes share: the user tells what he saw, the liar what he got away with. */
#define NOT_RUN	(-1)
#define WRONG	(-2)			/* other data than was written */
#define SHORT	(-3)
struct shared {
	char step[80];			/* where the user is now */
	bool armed;			/* the device is mapped: lies about IO begin */
	bool calm;			/* the lie is over: be honest from now on */
	int map, read, write, reread, extra, unmap, remap, left, honest;
	char why[160];			/* more about a failure of the user */
	int lies;			/* how often the lie was told */
	int caught;			/* lies that the client's adapter refused */
	int escaped;			/* ... and those that it did not */
	char liar[160];			/* what the liar has to complain about */
	uint8_t disk[DISK_LEN];		/* the exported device's data */
};

extern struct shared *sh;

struct user;

/* What the user may see of an IO. */
enum io { IO_ANY, IO_OK, IO_BAD, IO_NONE };
/* Modes of a session. */
#define PLAIN	1
#define KEYS	2

struct lie {
	const char *name;
	const char *weak;		/* rows of the specifications it answers */
	int modes;			/* PLAIN, KEYS or both; 0: PLAIN */
	int map;			/* errno that map_device has to give; ANY */
	enum io io;			/* what all of the user's IO has to do */
	uint64_t arg;			/* for the hook */
	bool two_paths;			/* the user maps over both addresses */
	uint16_t features;		/* extensions to agree to, if they are offered */
	const struct params *real;	/* sizes that the session really has */
	/* Hooks; NULL for honesty. */
	void (*params)(const struct path *p, uint16_t cid, struct params *say);
	void (*connect)(struct path *p, uint16_t cid, struct out *o);
	void (*info)(struct path *p, struct out *o);
	bool (*request)(struct req *q);	/* true: dealt with */
	void (*tick)(void);		/* now and then */
	/* What the user does instead of reading, writing and reading again. */
	void (*user)(struct user *u);
	const char *options;		/* more options of map_device */
	int limit_s;			/* for the whole case; 0: 60 */
	int lines;			/* most lines in the kernel's log; 0: 60 */
	int lies;			/* at least so often the lie must have been told */
	bool slow;			/* only with --slow: it waits for a minute or more */
	bool lie_data;			/* the data is the lie: it may be anything */
};

#define ANY	(-1)

struct options {
	const char *dst;		/* this host's address */
	const char *dst2;		/* a second one, for a second path */
	const char *honest;		/* device of the honest server */
	int port, honest_port;
};

extern struct options opt;
extern struct server {
	const struct lie *lie;
	int mode;
	struct params p;
	struct rdma_event_channel *ch;
	struct rdma_cm_id *listener;
	struct ibv_context *verbs;
	struct ibv_pd *pd;
	struct ibv_cq *cq;
	struct ibv_comp_channel *comp;
	struct con cons[MAX_CONS];
	unsigned int con_num;
	struct path paths[MAX_PATHS];
	unsigned int path_num;
	uint8_t *tx;
	struct ibv_mr *tx_mr, *scratch_mr;
	uint8_t *scratch;		/* memory for lies that read */
	size_t tx_pos;
	uint32_t opens;
	uint64_t sectors;
	bool frozen;			/* answers nothing any more, not even heartbeats */
} srv;

/* server.c */
long long now_ms(void);
void server_start(const struct lie *lie, int mode);
void server_pump(int timeout_ms);
void pump_ms(int ms);
void serve(struct req *q);
int serve_data(struct req *q);
void answer(struct req *q, int err);
void put_data(struct req *q);
void respond(struct con *c, uint32_t chunk, int err, bool inv);
struct con *service(void);
struct path *last_path(void);
bool is_read(const struct req *q);
bool once(void);
void fill(struct req *q);
void count_probe(int status);

/* The raw things a server can send. Each returns 0 if it was posted. */
int say_write_imm(struct con *c, uint32_t imm);
int say_send(struct con *c, const void *bytes, uint32_t len);
int say_send_imm(struct con *c, uint32_t imm, const void *bytes, uint32_t len);
int say_send_inv(struct con *c, uint32_t key);
int say_write(struct con *c, const void *from, uint32_t len, uint64_t addr, uint32_t key);
/* Posts and waits; what the client's adapter said, or -1 for nothing in time. */
int probe_write(struct con *c, uint64_t addr, uint32_t key, uint32_t len);
uint32_t rnd(void);

__attribute__((format(printf, 1, 2))) void complain(const char *fmt, ...);

/* user.c */
struct user {
	const struct lie *lie;
	char session[64];
	char device[64];		/* the block device's name, once mapped */
	int fd;
};

void user_main(const struct lie *lie, int mode);
void user_default(struct user *u);
int user_open(struct user *u);
int user_read(struct user *u, uint64_t at, uint32_t len, bool compare);
int user_write(struct user *u, uint64_t at, uint32_t len);
int user_write_blind(struct user *u, uint64_t at, uint32_t len);
int user_put(const char *file, const char *text);
void user_sleep(int ms);
void user_two_devices(struct user *u);
void user_limited(struct user *u);
void user_abandon(struct user *u);
int user_another(struct user *u);
int user_paths_put(struct user *u, const char *file, const char *text);
bool user_path_state(struct user *u, const char *state);
void step(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

extern const struct lie connect_lies[], info_lies[], key_lies[], answer_lies[], carrier_lies[], end_lies[],
	path_lies[], rnbd_lies[], again_lies[];

#endif
