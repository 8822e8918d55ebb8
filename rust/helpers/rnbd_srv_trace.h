/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Trace points of rnbd_server (spec: rnbd 6.1). Names, fields and labels are those
 * that tools of the C implementation know. rust/trace/trace_rnbd_server.rs calls them.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM rnbd_srv

#if !defined(_RNBD_SRV_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _RNBD_SRV_TRACE_H

#include <linux/fs.h>
#include <linux/string.h>
#include <linux/tracepoint.h>

DECLARE_EVENT_CLASS(rnbd_srv_session,
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

DEFINE_EVENT(rnbd_srv_session, create_sess,
	TP_PROTO(int qdepth, const char *name),
	TP_ARGS(qdepth, name)
);

DEFINE_EVENT(rnbd_srv_session, destroy_sess,
	TP_PROTO(int qdepth, const char *name),
	TP_ARGS(qdepth, name)
);

TRACE_EVENT(process_rdma,
	TP_PROTO(const char *name, bool write, u8 version, u32 device_id, u64 sector,
		 u32 flags, u32 bi_size, u16 ioprio, u32 datalen, size_t usrlen),
	TP_ARGS(name, write, version, device_id, sector, flags, bi_size, ioprio,
		datalen, usrlen),
	TP_STRUCT__entry(
		__string(sessname, name)
		__field(u8, dir)
		__field(u8, ver)
		__field(u32, device_id)
		__field(u64, sector)
		__field(u32, flags)
		__field(u32, bi_size)
		__field(u16, ioprio)
		__field(u32, datalen)
		__field(size_t, usrlen)
	),
	TP_fast_assign(
		__assign_str(sessname);
		__entry->dir = write ? WRITE : READ;
		__entry->ver = version;
		__entry->device_id = device_id;
		__entry->sector = sector;
		__entry->flags = flags;
		__entry->bi_size = bi_size;
		__entry->ioprio = ioprio;
		__entry->datalen = datalen;
		__entry->usrlen = usrlen;
	),
	TP_printk("I/O req: sess: %s, type: %s, ver: %u, devid: %u, sector: %llu, bsize: %u, flags: %u, ioprio: %u, datalen: %u, usrlen: %zu",
		  __get_str(sessname),
		  __print_symbolic(__entry->dir,
			{ READ, "READ" },
			{ WRITE, "WRITE" }),
		  __entry->ver,
		  __entry->device_id,
		  __entry->sector,
		  __entry->bi_size,
		  __entry->flags,
		  __entry->ioprio,
		  __entry->datalen,
		  __entry->usrlen)
);

TRACE_EVENT(process_msg_sess_info,
	TP_PROTO(u8 agreed, u8 client, u8 server, const char *name),
	TP_ARGS(agreed, client, server, name),
	TP_STRUCT__entry(
		__field(u8, proto_ver)
		__field(u8, clt_ver)
		__field(u8, srv_ver)
		__string(sessname, name)
	),
	TP_fast_assign(
		__entry->proto_ver = agreed;
		__entry->clt_ver = client;
		__entry->srv_ver = server;
		__assign_str(sessname);
	),
	TP_printk("Session %s using proto-ver %u (clt-ver: %u, srv-ver: %u)",
		  __get_str(sessname), __entry->proto_ver, __entry->clt_ver, __entry->srv_ver)
);

TRACE_EVENT(process_msg_open,
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
	TP_printk("Open message received: session='%s' path='%s' access_mode=%s",
		  __get_str(sessname),
		  __get_str(dev_name),
		  __print_symbolic(__entry->access_mode,
			{ 0, "RO" },
			{ 1, "RW" },
			{ 2, "MIGRATION" }))
);

TRACE_EVENT(process_msg_close,
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
	TP_printk("Close message received: session='%s' device id='%u'",
		  __get_str(sessname), __entry->device_id)
);

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE rnbd_srv_trace
#include <trace/define_trace.h>
