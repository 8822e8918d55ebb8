/* SPDX-License-Identifier: GPL-2.0 */
/*
 * C helpers for kernel_ext::rdma, kernel_ext::dma, kernel_ext::sg and
 * kernel_ext::net: one function per operation that the headers offer only as
 * a static inline or a macro. bindgen reads this file too.
 */
#ifndef RNBD_RUST_HELPERS_RDMA_H
#define RNBD_RUST_HELPERS_RDMA_H

#include <linux/scatterlist.h>
#include <linux/types.h>
#include <rdma/ib_verbs.h>
#include <rdma/rdma_cm.h>

/* Posting. */
int rdx_post_send(struct ib_qp *qp, const struct ib_send_wr *wr);
int rdx_post_recv(struct ib_qp *qp, const struct ib_recv_wr *wr);

/* DMA mappings of kernel memory; they hide devices without DMA. */
u64 rdx_dma_map(struct ib_device *dev, void *addr, size_t len, int dir);
bool rdx_dma_map_failed(struct ib_device *dev, u64 addr);
void rdx_dma_unmap(struct ib_device *dev, u64 addr, size_t len, int dir);
void rdx_dma_sync_for_cpu(struct ib_device *dev, u64 addr, size_t len, int dir);
void rdx_dma_sync_for_device(struct ib_device *dev, u64 addr, size_t len, int dir);

/* Scatter lists. */
int rdx_dma_map_sg(struct ib_device *dev, struct scatterlist *sg, int nents, int dir);
void rdx_dma_unmap_sg(struct ib_device *dev, struct scatterlist *sg, int nents, int dir);
void rdx_sg_set_buf(struct scatterlist *sg, void *addr, unsigned int len);
void rdx_sg_mark_end(struct scatterlist *sg);
void rdx_sg_set_dma(struct scatterlist *sg, u64 addr, unsigned int len);
u64 rdx_sg_dma_addr(const struct scatterlist *sg);
unsigned int rdx_sg_dma_len(const struct scatterlist *sg);

/* Physically contiguous zeroed pages, without a warning when there are none. */
void *rdx_alloc_pages(size_t len);
void rdx_free_pages(void *addr, size_t len);
void *rdx_alloc_zeroed(size_t len);
struct page *rdx_virt_to_page(const void *addr);
/* A copy the compiler cannot look into: one side is shared with a device. */
void rdx_copy(void *to, const void *from, size_t len);

/* Objects of a device; the name of this module goes along. */
struct ib_pd *rdx_alloc_pd(struct ib_device *dev);
int rdx_dealloc_pd(struct ib_pd *pd);
struct ib_cq *rdx_alloc_cq(struct ib_device *dev, int entries, int vector,
			   enum ib_poll_context context);

/* Memory regions. */
void rdx_mr_next_key(struct ib_mr *mr);

/* Connection manager. */
struct rdma_cm_id *rdx_create_id(struct net *net, rdma_cm_event_handler handler,
				 void *context, enum rdma_ucm_port_space ps);

/* Devices. */
bool rdx_device_has_mem_mgt(const struct ib_device *dev);
bool rdx_device_has_sg_gaps(const struct ib_device *dev);

/* Network namespaces; the first two answer a reference that the caller owns. */
struct net *rdx_net_current(void);
struct net *rdx_net_get(struct net *net);
void rdx_net_put(struct net *net);
struct net *rdx_net_initial(void);
unsigned int rdx_net_number(const struct net *net);
int rdx_ifindex(struct net *net, const char *name);

#endif /* RNBD_RUST_HELPERS_RDMA_H */
