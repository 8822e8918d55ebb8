// SPDX-License-Identifier: GPL-2.0
/*
 * Builders and parsers for the messages of RTRS and RNBD. They write exactly
 * what they are told and read exactly what is there: judging is for the cases.
 */
#include <string.h>

#include "wire.h"

void put16(uint8_t *p, uint16_t v)
{
	p[0] = v & 0xff;
	p[1] = v >> 8;
}

void put32(uint8_t *p, uint32_t v)
{
	put16(p, v & 0xffff);
	put16(p + 2, v >> 16);
}

void put64(uint8_t *p, uint64_t v)
{
	put32(p, v & 0xffffffff);
	put32(p + 4, v >> 32);
}

uint16_t get16(const uint8_t *p)
{
	return p[0] | p[1] << 8;
}

uint32_t get32(const uint8_t *p)
{
	return get16(p) | (uint32_t)get16(p + 2) << 16;
}

uint64_t get64(const uint8_t *p)
{
	return get32(p) | (uint64_t)get32(p + 4) << 32;
}

void build_connect_req(uint8_t out[RTRS_PRIV_LEN], const struct connect_req *r)
{
	memset(out, r->reserved, RTRS_PRIV_LEN);
	/* Bytes 0 and 1 belong to the CM and must stay zero. */
	put16(out, 0);
	put16(out + 2, r->magic);
	put16(out + 4, r->version);
	put16(out + 6, r->cid);
	put16(out + 8, r->cid_num);
	put16(out + 10, r->recon_cnt);
	memcpy(out + 12, r->sess_uuid, 16);
	memcpy(out + 28, r->paths_uuid, 16);
	out[44] = r->first_conn;
	if (r->features) {
		out[45] = 1;
		put16(out + 46, r->features);
	}
}

bool parse_connect_rsp(struct connect_rsp *rsp, const uint8_t *p, size_t len)
{
	if (len < RTRS_PRIV_LEN)
		return false;
	rsp->magic = get16(p);
	rsp->version = get16(p + 2);
	rsp->err = (int16_t)get16(p + 4);
	rsp->depth = get16(p + 6);
	rsp->max_io = get32(p + 8);
	rsp->max_hdr = get32(p + 12);
	rsp->flags = get32(p + 16);
	rsp->features = p[20] ? get16(p + 22) : 0;
	return rsp->magic == RTRS_MAGIC && rsp->version >> 8 == RTRS_VERSION >> 8;
}

void build_info_req(uint8_t out[RTRS_INFO_LEN], uint16_t type, const uint8_t name[RTRS_NAME_LEN])
{
	memset(out, 0, RTRS_INFO_LEN);
	put16(out, type);
	memcpy(out + 2, name, RTRS_NAME_LEN);
}

struct sg_desc parse_desc(const uint8_t *p)
{
	struct sg_desc d = { .addr = get64(p), .key = get32(p + 8), .len = get32(p + 12) };

	return d;
}

size_t build_write(uint8_t *out, uint16_t type, uint16_t usr_len)
{
	put16(out, type);
	put16(out + 2, usr_len);
	return 4;
}

size_t build_read(uint8_t *out, uint16_t type, uint16_t usr_len, uint16_t flags, uint16_t sg_cnt,
		  const struct sg_desc *desc, size_t desc_num)
{
	size_t at = 8;

	put16(out, type);
	put16(out + 2, usr_len);
	put16(out + 4, flags);
	put16(out + 6, sg_cnt);
	for (size_t i = 0; i < desc_num; i++, at += 16) {
		put64(out + at, desc[i].addr);
		put32(out + at + 8, desc[i].key);
		put32(out + at + 12, desc[i].len);
	}
	return at;
}

unsigned int ceil_log2(uint32_t n)
{
	unsigned int bits = 0;

	while (bits < 31 && (1u << bits) < n)
		bits++;
	return bits;
}

uint32_t imm_make(uint32_t type, uint32_t payload)
{
	return type << 28 | (payload & 0x0fffffff);
}

uint32_t imm_io_req(uint32_t depth, uint32_t chunk, uint32_t off)
{
	return imm_make(IMM_IO_REQ, (chunk << (28 - ceil_log2(depth))) + off);
}

void build_sess_info(uint8_t out[RNBD_SESS_INFO_LEN], uint8_t ver)
{
	memset(out, 0, RNBD_SESS_INFO_LEN);
	put16(out, RNBD_SESS_INFO);
	out[4] = ver;
}

void build_open(uint8_t out[RNBD_OPEN_LEN], uint8_t mode, const char *name)
{
	size_t len = strnlen(name, RNBD_NAME_LEN);

	memset(out, 0, RNBD_OPEN_LEN);
	put16(out, RNBD_OPEN);
	out[4] = mode;
	/* A name of 255 characters goes out without its zero byte. */
	memcpy(out + 6, name, len);
}

void build_close(uint8_t out[RNBD_CLOSE_LEN], uint32_t id)
{
	memset(out, 0, RNBD_CLOSE_LEN);
	put16(out, RNBD_CLOSE);
	put32(out + 4, id);
}

void build_io(uint8_t out[RNBD_IO_LEN], uint32_t id, uint64_t sector, uint32_t rw, uint32_t size)
{
	memset(out, 0, RNBD_IO_LEN);
	put16(out, RNBD_IO);
	put32(out + 4, id);
	put64(out + 8, sector);
	put32(out + 16, rw);
	put32(out + 20, size);
}

void parse_open_rsp(struct open_rsp *rsp, const uint8_t *p)
{
	rsp->type = get16(p);
	rsp->id = get32(p + 4);
	rsp->sectors = get64(p + 8);
	rsp->max_write_zeroes = get32(p + 20);
	rsp->max_discard = get32(p + 24);
	rsp->lbs = get16(p + 38);
	rsp->cache = p[45];
}
