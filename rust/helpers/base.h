/* SPDX-License-Identifier: GPL-2.0 */
/*
 * C helpers for what kernel_ext needs and the kernel offers only as inline
 * functions or macros. One function per operation, one line each. The Rust
 * side declares them in rust/kernel_ext/ffi.rs.
 */
#ifndef _KX_BASE_H
#define _KX_BASE_H

#include <linux/spinlock_types.h>
#include <linux/wait.h>

unsigned long kx_spin_lock_irqsave(spinlock_t *lock);
bool kx_spin_trylock_irqsave(spinlock_t *lock, unsigned long *flags);
void kx_spin_unlock_irqrestore(spinlock_t *lock, unsigned long flags);

void kx_wake_up_all(struct wait_queue_head *queue);

unsigned int kx_this_cpu(void);
unsigned int kx_num_online_cpus(void);
bool kx_cpu_possible(unsigned int cpu);

unsigned int kx_noio_save(void);
void kx_noio_restore(unsigned int flags);

#endif
