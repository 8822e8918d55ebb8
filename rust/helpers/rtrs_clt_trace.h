/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Trace points of rtrs_client (spec: rtrs 9). Names, fields and texts are those
 * that tools of the C implementation know. rust/trace/trace_client.rs calls them.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM rtrs_clt

#if !defined(_RTRS_CLT_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _RTRS_CLT_TRACE_H

#include <linux/limits.h>
#include <linux/string.h>
#include <linux/tracepoint.h>

#ifndef RTRS_CLT_STATES
/* The codes of rtrs_logic::client_path::State. */
#define RTRS_CLT_STATES				\
	{ 0, "CONNECTING" },			\
	{ 1, "CONNECTING_ERR" },		\
	{ 2, "RECONNECTING" },			\
	{ 3, "CONNECTED" },			\
	{ 4, "CLOSING" },			\
	{ 5, "CLOSED" },			\
	{ 6, "DEAD" }
#endif

DECLARE_EVENT_CLASS(rtrs_clt_conn_class,
	TP_PROTO(int state, int attempts, int max_attempts, int failures,
		 int successes, const char *name),
	TP_ARGS(state, attempts, max_attempts, failures, successes, name),
	TP_STRUCT__entry(
		__field(int, state)
		__field(int, reconnect_attempts)
		__field(int, max_reconnect_attempts)
		__field(int, fail_cnt)
		__field(int, success_cnt)
		__array(char, sessname, NAME_MAX)
	),
	TP_fast_assign(
		__entry->state = state;
		__entry->reconnect_attempts = attempts;
		__entry->max_reconnect_attempts = max_attempts;
		__entry->fail_cnt = failures;
		__entry->success_cnt = successes;
		strscpy_pad(__entry->sessname, name, NAME_MAX);
	),
	TP_printk("RTRS-CLT: sess='%s' state=%s attempts='%d' max-attempts='%d' fail='%d' success='%d'",
		  __entry->sessname,
		  __print_symbolic(__entry->state, RTRS_CLT_STATES),
		  __entry->reconnect_attempts,
		  __entry->max_reconnect_attempts,
		  __entry->fail_cnt,
		  __entry->success_cnt)
);

DEFINE_EVENT(rtrs_clt_conn_class, rtrs_clt_reconnect_work,
	TP_PROTO(int state, int attempts, int max_attempts, int failures,
		 int successes, const char *name),
	TP_ARGS(state, attempts, max_attempts, failures, successes, name)
);

DEFINE_EVENT(rtrs_clt_conn_class, rtrs_clt_close_conns,
	TP_PROTO(int state, int attempts, int max_attempts, int failures,
		 int successes, const char *name),
	TP_ARGS(state, attempts, max_attempts, failures, successes, name)
);

DEFINE_EVENT(rtrs_clt_conn_class, rtrs_rdma_error_recovery,
	TP_PROTO(int state, int attempts, int max_attempts, int failures,
		 int successes, const char *name),
	TP_ARGS(state, attempts, max_attempts, failures, successes, name)
);

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE rtrs_clt_trace
#include <trace/define_trace.h>
