// SPDX-License-Identifier: GPL-2.0
/*
 * Adapters that are smaller than others. All soft-RoCE devices have the same limits;
 * this module makes some of them name lower ones, and refuse what exceeds them. For tests of
 * a session whose paths use adapters of different kinds.
 *
 *   modprobe small_hca devices=clt1,srv1 max_qp_wr=100 max_fast_reg=40 max_sge=2
 *
 * /sys/module/small_hca/parameters/refused counts what a kernel user asked for in vain.
 */
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <rdma/ib_verbs.h>

static char *devices[8];
static int devices_num;
module_param_array(devices, charp, &devices_num, 0444);
MODULE_PARM_DESC(devices, "Names of the adapters that are to be smaller");

static int max_qp_wr = 100;
module_param(max_qp_wr, int, 0444);
MODULE_PARM_DESC(max_qp_wr, "Most work requests of a queue");

static uint max_fast_reg = 40;
module_param(max_fast_reg, uint, 0444);
MODULE_PARM_DESC(max_fast_reg, "Most pages of a fast registration");

static int max_sge = 2;
module_param(max_sge, int, 0444);
MODULE_PARM_DESC(max_sge, "Most elements of a send");

static uint refused;
module_param(refused, uint, 0444);
MODULE_PARM_DESC(refused, "Objects that were refused because they exceed the limits");

/* An adapter as it was. */
struct before {
	int max_qp_wr;
	int max_send_sge;
	u32 max_fast_reg;
};

/* All devices are of one driver, so one of each will do. */
static typeof_member(struct ib_device_ops, create_qp) driver_create_qp;
static typeof_member(struct ib_device_ops, alloc_mr) driver_alloc_mr;

static int small_create_qp(struct ib_qp *qp, struct ib_qp_init_attr *attr, struct ib_udata *udata)
{
	const struct ib_device_attr *most = &qp->device->attrs;

	if (!udata && attr->qp_type == IB_QPT_RC &&
	    (attr->cap.max_send_wr > most->max_qp_wr || attr->cap.max_recv_wr > most->max_qp_wr ||
	     attr->cap.max_send_sge > most->max_send_sge)) {
		pr_info("small_hca: %s: a queue pair of %u and %u requests of %u elements is refused\n",
			dev_name(&qp->device->dev), attr->cap.max_send_wr, attr->cap.max_recv_wr,
			attr->cap.max_send_sge);
		refused++;
		return -EINVAL;
	}
	return driver_create_qp(qp, attr, udata);
}

static struct ib_mr *small_alloc_mr(struct ib_pd *pd, enum ib_mr_type type, u32 pages)
{
	if (pages > pd->device->attrs.max_fast_reg_page_list_len) {
		pr_info("small_hca: %s: a region of %u pages is refused\n",
			dev_name(&pd->device->dev), pages);
		refused++;
		return ERR_PTR(-EINVAL);
	}
	return driver_alloc_mr(pd, type, pages);
}

static struct ib_client client;

static int small_add(struct ib_device *dev)
{
	struct before *before;
	int i;

	for (i = 0; i < devices_num; i++) {
		if (!strcmp(devices[i], dev_name(&dev->dev)))
			break;
	}
	if (i == devices_num)
		return -EOPNOTSUPP;
	before = kzalloc(sizeof(*before), GFP_KERNEL);
	if (!before)
		return -ENOMEM;
	before->max_qp_wr = dev->attrs.max_qp_wr;
	before->max_send_sge = dev->attrs.max_send_sge;
	before->max_fast_reg = dev->attrs.max_fast_reg_page_list_len;
	driver_create_qp = dev->ops.create_qp;
	driver_alloc_mr = dev->ops.alloc_mr;
	dev->attrs.max_qp_wr = max_qp_wr;
	dev->attrs.max_send_sge = max_sge;
	dev->attrs.max_fast_reg_page_list_len = max_fast_reg;
	dev->ops.create_qp = small_create_qp;
	dev->ops.alloc_mr = small_alloc_mr;
	ib_set_client_data(dev, &client, before);
	return 0;
}

static void small_remove(struct ib_device *dev, void *data)
{
	struct before *before = data;

	dev->attrs.max_qp_wr = before->max_qp_wr;
	dev->attrs.max_send_sge = before->max_send_sge;
	dev->attrs.max_fast_reg_page_list_len = before->max_fast_reg;
	dev->ops.create_qp = driver_create_qp;
	dev->ops.alloc_mr = driver_alloc_mr;
	kfree(before);
}

static struct ib_client client = {
	.name = "small_hca",
	.add = small_add,
	.remove = small_remove,
};

static int __init small_init(void)
{
	return ib_register_client(&client);
}

static void __exit small_exit(void)
{
	ib_unregister_client(&client);
}

module_init(small_init);
module_exit(small_exit);
MODULE_DESCRIPTION("Makes RDMA devices smaller, for tests");
MODULE_LICENSE("GPL");
