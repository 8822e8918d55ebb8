// SPDX-License-Identifier: GPL-2.0
/*
 * Exports the Rust symbols of rtrs_server to the modules above it. The list is
 * generated from the objects: only the compiler knows which symbols exist.
 */
#include <linux/export.h>
#include <linux/module.h>

#define EXPORT_SYMBOL_RUST_GPL(sym) extern int sym; EXPORT_SYMBOL_GPL(sym)

#include "exports_generated.h"
