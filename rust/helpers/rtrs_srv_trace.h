/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Trace point of rtrs_server (spec: rtrs 9). Name, fields and text are those that
 * tools of the C implementation know. rust/trace/trace_server.rs calls it.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM rtrs_srv

#if !defined(_RTRS_SRV_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _RTRS_SRV_TRACE_H

#include <linux/fs.h>
#include <linux/limits.h>
#include <linux/string.h>
#include <linux/tracepoint.h>

#ifndef RTRS_SRV_STATES
/* The codes of rtrs_logic::server_path::State. */
#define RTRS_SRV_STATES				\
	{ 0, "CONNECTING" },			\
	{ 1, "CONNECTED" },			\
	{ 2, "CLOSING" },			\
	{ 3, "CLOSED" }
#endif

TRACE_EVENT(send_io_resp_imm,
	TP_PROTO(bool write, bool need_inval, bool always_invalidate, u32 msg_id,
		 int wr_cnt, u32 signal_interval, int state, int errno,
		 const char *name),
	TP_ARGS(write, need_inval, always_invalidate, msg_id, wr_cnt,
		signal_interval, state, errno, name),
	TP_STRUCT__entry(
		__field(u8, dir)
		__field(bool, need_inval)
		__field(bool, always_invalidate)
		__field(u32, msg_id)
		__field(int, wr_cnt)
		__field(u32, signal_interval)
		__field(int, state)
		__field(int, errno)
		__array(char, sessname, NAME_MAX)
	),
	TP_fast_assign(
		__entry->dir = write ? WRITE : READ;
		__entry->need_inval = need_inval;
		__entry->always_invalidate = always_invalidate;
		__entry->msg_id = msg_id;
		__entry->wr_cnt = wr_cnt;
		__entry->signal_interval = signal_interval;
		__entry->state = state;
		__entry->errno = errno;
		strscpy_pad(__entry->sessname, name, NAME_MAX);
	),
	TP_printk("sess='%s' state='%s' dir=%s err='%d' inval='%d' glob-inval='%d' msgid='%u' wrcnt='%d' sig-interval='%u'",
		  __entry->sessname,
		  __print_symbolic(__entry->state, RTRS_SRV_STATES),
		  __print_symbolic(__entry->dir,
			{ READ, "READ" },
			{ WRITE, "WRITE" }),
		  __entry->errno,
		  __entry->need_inval,
		  __entry->always_invalidate,
		  __entry->msg_id,
		  __entry->wr_cnt,
		  __entry->signal_interval)
);

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE rtrs_srv_trace
#include <trace/define_trace.h>
