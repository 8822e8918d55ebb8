// SPDX-License-Identifier: GPL-2.0
/*
 * Lies about a second path, or a path that comes back: other parameters than the session
 * has (weak points C3, C4, C13).
 */
#include <errno.h>

#include "liar.h"

const struct lie path_lies[] = {
	{ }
};
