/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What bindgen reads to make the crate rdma_bindings: the verbs and the
 * connection manager of the kernel, and the prototypes of our own C helpers,
 * so that a helper and its Rust declaration cannot drift apart.
 */
#ifndef RDMA_BINDINGS_H
#define RDMA_BINDINGS_H

#include <linux/in.h>
#include <linux/in6.h>
#include <linux/netdevice.h>
#include <linux/scatterlist.h>
#include <rdma/ib.h>
#include <rdma/ib_cm.h>
#include <rdma/ib_verbs.h>
#include <rdma/rdma_cm.h>

#include "../helpers/rdma.h"

#endif /* RDMA_BINDINGS_H */
