/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Trace points of rnbd_client, which the C implementation does not have: the
 * other ends of rnbd_srv's. rust/trace/trace_rnbd_client.rs calls them.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM rnbd_clt

#if !defined(_RNBD_CLT_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _RNBD_CLT_TRACE_H

#include <linux/string.h>
#include <linux/tracepoint.h>

#ifndef RNBD_CLT_STATES
/* The codes of rnbd_client's State. */
#define RNBD_CLT_STATES		\
	{ 0, "init" },		\
	{ 1, "open" },		\
	{ 2, "closed" },	\
	{ 3, "unmapped" }
#endif

TRACE_EVENT(send_io,
	TP_PROTO(u32 disk, u32 device_id, u64 sector, u32 flags, u32 bi_size, u16 ioprio),
	TP_ARGS(disk, device_id, sector, flags, bi_size, ioprio),
	TP_STRUCT__entry(
		__field(u32, disk)
		__field(u32, device_id)
		__field(u64, sector)
		__field(u32, flags)
		__field(u32, bi_size)
		__field(u16, ioprio)
	),
	TP_fast_assign(
		__entry->disk = disk;
		__entry->device_id = device_id;
		__entry->sector = sector;
		__entry->flags = flags;
		__entry->bi_size = bi_size;
		__entry->ioprio = ioprio;
	),
	TP_printk("I/O req: disk: rnbd%u, devid: %u, sector: %llu, bsize: %u, flags: %u, ioprio: %u",
		  __entry->disk, __entry->device_id, __entry->sector, __entry->bi_size,
		  __entry->flags, __entry->ioprio)
);

TRACE_EVENT(end_io,
	TP_PROTO(u32 disk, u64 sector, u32 bi_size, int error, u64 nanoseconds),
	TP_ARGS(disk, sector, bi_size, error, nanoseconds),
	TP_STRUCT__entry(
		__field(u32, disk)
		__field(u64, sector)
		__field(u32, bi_size)
		__field(int, error)
		__field(u64, nanoseconds)
	),
	TP_fast_assign(
		__entry->disk = disk;
		__entry->sector = sector;
		__entry->bi_size = bi_size;
		__entry->error = error;
		__entry->nanoseconds = nanoseconds;
	),
	TP_printk("I/O end: disk: rnbd%u, sector: %llu, bsize: %u, error: %d, ns: %llu",
		  __entry->disk, __entry->sector, __entry->bi_size, __entry->error,
		  __entry->nanoseconds)
);

TRACE_EVENT(device_state,
	TP_PROTO(u32 disk, int state, u32 device_id),
	TP_ARGS(disk, state, device_id),
	TP_STRUCT__entry(
		__field(u32, disk)
		__field(int, state)
		__field(u32, device_id)
	),
	TP_fast_assign(
		__entry->disk = disk;
		__entry->state = state;
		__entry->device_id = device_id;
	),
	TP_printk("disk: rnbd%u, state: %s, devid: %u", __entry->disk,
		  __print_symbolic(__entry->state, RNBD_CLT_STATES),
		  __entry->device_id)
);

DECLARE_EVENT_CLASS(rnbd_clt_session,
	TP_PROTO(int qdepth, const char *name),
	TP_ARGS(qdepth, name),
	TP_STRUCT__entry(
		__field(int, qdepth)
		__string(sessname, name)
	),
	TP_fast_assign(
		__entry->qdepth = qdepth;
		__assign_str(sessname);
	),
	TP_printk("sessname: %s qdepth: %d", __get_str(sessname), __entry->qdepth)
);

DEFINE_EVENT(rnbd_clt_session, create_sess,
	TP_PROTO(int qdepth, const char *name),
	TP_ARGS(qdepth, name)
);

DEFINE_EVENT(rnbd_clt_session, destroy_sess,
	TP_PROTO(int qdepth, const char *name),
	TP_ARGS(qdepth, name)
);

TRACE_EVENT(send_msg_sess_info,
	TP_PROTO(u8 agreed, u8 client, const char *name),
	TP_ARGS(agreed, client, name),
	TP_STRUCT__entry(
		__field(u8, proto_ver)
		__field(u8, clt_ver)
		__string(sessname, name)
	),
	TP_fast_assign(
		__entry->proto_ver = agreed;
		__entry->clt_ver = client;
		__assign_str(sessname);
	),
	TP_printk("Session %s using proto-ver %u (clt-ver: %u)",
		  __get_str(sessname), __entry->proto_ver, __entry->clt_ver)
);

TRACE_EVENT(send_msg_open,
	TP_PROTO(u8 access, const char *name, const char *path),
	TP_ARGS(access, name, path),
	TP_STRUCT__entry(
		__field(u8, access_mode)
		__string(sessname, name)
		__string(dev_name, path)
	),
	TP_fast_assign(
		__entry->access_mode = access;
		__assign_str(sessname);
		__assign_str(dev_name);
	),
	TP_printk("Open message to send: session='%s' path='%s' access_mode=%s",
		  __get_str(sessname),
		  __get_str(dev_name),
		  __print_symbolic(__entry->access_mode,
			{ 0, "RO" },
			{ 1, "RW" },
			{ 2, "MIGRATION" }))
);

TRACE_EVENT(send_msg_close,
	TP_PROTO(u32 id, const char *name),
	TP_ARGS(id, name),
	TP_STRUCT__entry(
		__field(u32, device_id)
		__string(sessname, name)
	),
	TP_fast_assign(
		__entry->device_id = id;
		__assign_str(sessname);
	),
	TP_printk("Close message to send: session='%s' device id='%u'",
		  __get_str(sessname), __entry->device_id)
);

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE rnbd_clt_trace
#include <trace/define_trace.h>
