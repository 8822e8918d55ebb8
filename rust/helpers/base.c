// SPDX-License-Identifier: GPL-2.0
/*
 * See base.h: the inline functions and macros behind kernel_ext's locks, wait
 * queues and CPU facts, as functions that can be linked.
 */

#include <linux/cpumask.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/smp.h>
#include <linux/spinlock.h>
#include <linux/wait.h>

#include "base.h"

unsigned long kx_spin_lock_irqsave(spinlock_t *lock)
{
	unsigned long flags;

	spin_lock_irqsave(lock, flags);
	return flags;
}

bool kx_spin_trylock_irqsave(spinlock_t *lock, unsigned long *flags)
{
	return spin_trylock_irqsave(lock, *flags);
}

void kx_spin_unlock_irqrestore(spinlock_t *lock, unsigned long flags)
{
	spin_unlock_irqrestore(lock, flags);
}

/*
 * wq_has_sleeper() starts with a full barrier, so what the caller stored before
 * is visible to a sleeper that is not seen here: it tests its condition after
 * it has queued itself.
 */
void kx_wake_up_all(struct wait_queue_head *queue)
{
	if (wq_has_sleeper(queue))
		wake_up_all(queue);
}

unsigned int kx_this_cpu(void)
{
	return raw_smp_processor_id();
}

unsigned int kx_num_online_cpus(void)
{
	return num_online_cpus();
}

bool kx_cpu_possible(unsigned int cpu)
{
	return cpu < nr_cpu_ids && cpu_possible(cpu);
}

unsigned int kx_noio_save(void)
{
	return memalloc_noio_save();
}

void kx_noio_restore(unsigned int flags)
{
	memalloc_noio_restore(flags);
}
