// SPDX-License-Identifier: GPL-2.0
/*
 * C helpers for the RDMA parts of kernel_ext. One function per operation, no
 * decisions: whatever can be decided in Rust is decided there.
 */
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/netdevice.h>
#include <linux/nsproxy.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <net/net_namespace.h>

#include "rdma.h"

int rdx_post_send(struct ib_qp *qp, const struct ib_send_wr *wr)
{
	const struct ib_send_wr *bad;

	return ib_post_send(qp, wr, &bad);
}

int rdx_post_recv(struct ib_qp *qp, const struct ib_recv_wr *wr)
{
	const struct ib_recv_wr *bad;

	return ib_post_recv(qp, wr, &bad);
}

u64 rdx_dma_map(struct ib_device *dev, void *addr, size_t len, int dir)
{
	return ib_dma_map_single(dev, addr, len, dir);
}

bool rdx_dma_map_failed(struct ib_device *dev, u64 addr)
{
	return ib_dma_mapping_error(dev, addr);
}

void rdx_dma_unmap(struct ib_device *dev, u64 addr, size_t len, int dir)
{
	ib_dma_unmap_single(dev, addr, len, dir);
}

void rdx_dma_sync_for_cpu(struct ib_device *dev, u64 addr, size_t len, int dir)
{
	ib_dma_sync_single_for_cpu(dev, addr, len, dir);
}

void rdx_dma_sync_for_device(struct ib_device *dev, u64 addr, size_t len, int dir)
{
	ib_dma_sync_single_for_device(dev, addr, len, dir);
}

int rdx_dma_map_sg(struct ib_device *dev, struct scatterlist *sg, int nents, int dir)
{
	return ib_dma_map_sg(dev, sg, nents, dir);
}

void rdx_dma_unmap_sg(struct ib_device *dev, struct scatterlist *sg, int nents, int dir)
{
	ib_dma_unmap_sg(dev, sg, nents, dir);
}

void rdx_sg_set_buf(struct scatterlist *sg, void *addr, unsigned int len)
{
	sg_set_buf(sg, addr, len);
}

void rdx_sg_mark_end(struct scatterlist *sg)
{
	sg_mark_end(sg);
}

void rdx_sg_set_dma(struct scatterlist *sg, u64 addr, unsigned int len)
{
	sg_dma_address(sg) = addr;
	sg_dma_len(sg) = len;
}

u64 rdx_sg_dma_addr(const struct scatterlist *sg)
{
	return sg_dma_address(sg);
}

unsigned int rdx_sg_dma_len(const struct scatterlist *sg)
{
	return sg_dma_len(sg);
}

void *rdx_alloc_pages(size_t len)
{
	return alloc_pages_exact(len, GFP_KERNEL | __GFP_ZERO | __GFP_NOWARN);
}

void rdx_free_pages(void *addr, size_t len)
{
	free_pages_exact(addr, len);
}

void *rdx_alloc_zeroed(size_t len)
{
	return kzalloc(len, GFP_KERNEL | __GFP_NOWARN);
}

struct page *rdx_virt_to_page(const void *addr)
{
	return virt_to_page(addr);
}

void rdx_copy(void *to, const void *from, size_t len)
{
	memcpy(to, from, len);
}

struct ib_pd *rdx_alloc_pd(struct ib_device *dev)
{
	return ib_alloc_pd(dev, 0);
}

int rdx_dealloc_pd(struct ib_pd *pd)
{
	return ib_dealloc_pd_user(pd, NULL);
}

struct ib_cq *rdx_alloc_cq(struct ib_device *dev, int entries, int vector,
			   enum ib_poll_context context)
{
	return ib_alloc_cq(dev, NULL, entries, vector, context);
}

void rdx_mr_next_key(struct ib_mr *mr)
{
	ib_update_fast_reg_key(mr, (u8)ib_inc_rkey(mr->rkey));
}

struct rdma_cm_id *rdx_create_id(struct net *net, rdma_cm_event_handler handler,
				 void *context, enum rdma_ucm_port_space ps)
{
	return rdma_create_id(net, handler, context, ps, IB_QPT_RC);
}

bool rdx_device_has_mem_mgt(const struct ib_device *dev)
{
	return dev->attrs.device_cap_flags & IB_DEVICE_MEM_MGT_EXTENSIONS;
}

bool rdx_device_has_sg_gaps(const struct ib_device *dev)
{
	return dev->attrs.kernel_cap_flags & IBK_SG_GAPS_REG;
}

struct net *rdx_net_current(void)
{
	/* A task that has given up its namespaces is on its way out. */
	return get_net(current->nsproxy ? current->nsproxy->net_ns : &init_net);
}

struct net *rdx_net_get(struct net *net)
{
	return get_net(net);
}

void rdx_net_put(struct net *net)
{
	put_net(net);
}

struct net *rdx_net_initial(void)
{
	return &init_net;
}

unsigned int rdx_net_number(const struct net *net)
{
	return net->ns.inum;
}

int rdx_ifindex(struct net *net, const char *name)
{
	struct net_device *dev;
	int index = 0;

	rcu_read_lock();
	dev = dev_get_by_name_rcu(net, name);
	if (dev)
		index = dev->ifindex;
	rcu_read_unlock();
	return index;
}
