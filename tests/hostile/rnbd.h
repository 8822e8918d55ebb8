/* SPDX-License-Identifier: GPL-2.0 */
/*
 * RNBD spoken honestly over a session: what a case needs around its one lie.
 * Each call returns the reaction: 0, a positive errno, GONE or SILENT.
 */
#ifndef HOSTILE_RNBD_H
#define HOSTILE_RNBD_H

#include "session.h"

#define SECTOR	512u

int rnbd_sess_info(struct session *s);
int rnbd_open(struct session *s, const char *name, uint8_t mode, struct open_rsp *rsp);
/* The same, soon after a client that had the device open has gone. */
int rnbd_open_next(struct session *s, const char *name, uint8_t mode, struct open_rsp *rsp);
int rnbd_close(struct session *s, uint32_t id);
/* Reads to the start of the receive area. */
int rnbd_read(struct session *s, uint32_t id, uint64_t sector, uint32_t len);
int rnbd_write(struct session *s, uint32_t id, uint64_t sector, const uint8_t *data, uint32_t len);
/* An operation without data, sent in the direction the C client uses. */
int rnbd_plain(struct session *s, uint32_t id, uint64_t sector, uint32_t rw, uint32_t size);
/* session_open() and rnbd_sess_info(); NULL and a text in `why` on failure. */
struct session *rnbd_session(char *why, size_t why_len);
/* The same and the device opened. */
struct session *rnbd_device(const char *name, uint8_t mode, struct open_rsp *rsp,
			    char *why, size_t why_len);
/* Whether a fresh honest client can connect, open the device and read. */
int honest_check(char *why, size_t why_len);

#endif
