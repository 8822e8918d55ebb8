/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The bytes of RTRS and RNBD, as builders and parsers over plain buffers.
 *
 * Every builder takes each field as an argument or in a struct, so a case can
 * put a lie into any of them; none of them checks anything. Sections cited are
 * those of the two protocol specifications.
 */
#ifndef HOSTILE_WIRE_H
#define HOSTILE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* RTRS 2.1: constants. */
#define RTRS_MAGIC		0x1bbd
#define RTRS_VERSION		0x0200
#define RTRS_PRIV_LEN		56
#define RTRS_INFO_LEN		272
#define RTRS_NAME_LEN		255
#define RTRS_NEW_RKEY		0x2
#define RTRS_NEED_INVAL		0x1
#define RTRS_REJ_CONSUMER	28

enum rtrs_msg { RTRS_INFO_REQ, RTRS_INFO_RSP, RTRS_WRITE, RTRS_READ, RTRS_RKEY_RSP };
/* Extensions between peers of this project (Documentation/protocol.md). */
#define EXT_FENCE		1
#define EXT_NOTICE		2
#define EXT_USER		4
#define RTRS_FENCE		16
#define IMM_NOTICE		3
enum rtrs_imm { IMM_IO_REQ = 0, IMM_IO_RSP = 1, IMM_IO_RSP_INV = 2, IMM_HB = 8, IMM_HB_ACK = 9 };

/* RNBD 2.2: message types and sizes. */
enum rnbd_msg { RNBD_SESS_INFO, RNBD_SESS_INFO_RSP, RNBD_OPEN, RNBD_OPEN_RSP, RNBD_IO, RNBD_CLOSE };
#define RNBD_SESS_INFO_LEN	36
#define RNBD_OPEN_LEN		264
#define RNBD_OPEN_RSP_LEN	56
#define RNBD_CLOSE_LEN		8
#define RNBD_IO_LEN		32
#define RNBD_NAME_LEN		255

enum rnbd_op { OP_READ, OP_WRITE, OP_FLUSH, OP_DISCARD, OP_SECURE_ERASE, OP_WRITE_ZEROES };
#define RW_SYNC			0x100
#define RW_FUA			0x200
#define RW_PREFLUSH		0x400
enum rnbd_access { ACCESS_RO, ACCESS_RW, ACCESS_MIGRATION };

void put16(uint8_t *p, uint16_t v);
void put32(uint8_t *p, uint32_t v);
void put64(uint8_t *p, uint64_t v);
uint16_t get16(const uint8_t *p);
uint32_t get32(const uint8_t *p);
uint64_t get64(const uint8_t *p);

/* RTRS 2.2: the connect request. */
struct connect_req {
	uint16_t magic;
	uint16_t version;
	uint16_t cid;
	uint16_t cid_num;
	uint16_t recon_cnt;
	uint8_t sess_uuid[16];
	uint8_t paths_uuid[16];
	uint8_t first_conn;	/* the whole byte 44 */
	uint8_t reserved;	/* repeated over bytes 45..55 */
	uint16_t features;	/* extensions that are offered; 0 leaves the bytes as they are */
};

/* RTRS 2.3: the connect response, in a REP or a REJ. */
struct connect_rsp {
	uint16_t magic;
	uint16_t version;
	int16_t err;
	uint16_t depth;
	uint32_t max_io;
	uint32_t max_hdr;
	uint32_t flags;
	uint16_t features;	/* extensions that were agreed to */
};

/* RTRS 2.4 and 2.5: an area of memory the other side may write to. */
struct sg_desc {
	uint64_t addr;
	uint32_t key;
	uint32_t len;
};

void build_connect_req(uint8_t out[RTRS_PRIV_LEN], const struct connect_req *r);
bool parse_connect_rsp(struct connect_rsp *rsp, const uint8_t *p, size_t len);
void build_info_req(uint8_t out[RTRS_INFO_LEN], uint16_t type, const uint8_t name[RTRS_NAME_LEN]);
struct sg_desc parse_desc(const uint8_t *p);
size_t build_write(uint8_t *out, uint16_t type, uint16_t usr_len);
size_t build_read(uint8_t *out, uint16_t type, uint16_t usr_len, uint16_t flags, uint16_t sg_cnt,
		  const struct sg_desc *desc, size_t desc_num);

/* RTRS 2.6: immediates, in CPU order. */
unsigned int ceil_log2(uint32_t n);
uint32_t imm_make(uint32_t type, uint32_t payload);
uint32_t imm_io_req(uint32_t depth, uint32_t chunk, uint32_t off);

/* RNBD 2.3 to 2.7. */
void build_sess_info(uint8_t out[RNBD_SESS_INFO_LEN], uint8_t ver);
void build_open(uint8_t out[RNBD_OPEN_LEN], uint8_t mode, const char *name);
void build_close(uint8_t out[RNBD_CLOSE_LEN], uint32_t id);
void build_io(uint8_t out[RNBD_IO_LEN], uint32_t id, uint64_t sector, uint32_t rw, uint32_t size);

struct open_rsp {
	uint16_t type;
	uint32_t id;
	uint64_t sectors;
	uint32_t max_write_zeroes;
	uint32_t max_discard;
	uint16_t lbs;
	uint8_t cache;
};

void parse_open_rsp(struct open_rsp *rsp, const uint8_t *p);

#endif
