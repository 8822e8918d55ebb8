/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a case is, and how it says what it saw.
 *
 * To add one: write `static int NAME(struct verdict *v)` in the cases_*.c file
 * it belongs to, return good() or bad() from it, add one row to the table at
 * the end of that file. Every case runs in a process of its own, which ends
 * with it: nothing needs to be freed, and what it leaves open is one more thing
 * the server has to cope with.
 */
#ifndef HOSTILE_CASE_H
#define HOSTILE_CASE_H

#include "rnbd.h"

enum result { CASE_DIED, CASE_GOOD, CASE_BAD, CASE_SKIP };

struct verdict {
	enum result result;
	char text[320];
};

struct hostile_case {
	const char *name;
	const char *weak;		/* rows of the specifications it answers */
	int (*run)(struct verdict *v);
};

__attribute__((format(printf, 2, 3))) int good(struct verdict *v, const char *fmt, ...);
__attribute__((format(printf, 2, 3))) int bad(struct verdict *v, const char *fmt, ...);
/* For a case that cannot be run with the options given. */
__attribute__((format(printf, 2, 3))) int skip(struct verdict *v, const char *fmt, ...);

/*
 * The usual ending: good if the server closed the path or answered with an
 * error, bad if it was silent or claims success.
 */
int refused(struct verdict *v, int r, const char *what);

/* Each table ends with an empty row. */
extern const struct hostile_case connect_cases[], info_cases[], rtrs_cases[], key_cases[],
	load_cases[], rnbd_cases[], open_cases[], ext_cases[], race_cases[], fence_cases[],
	slow_cases[];
/* Run only with --many. */
extern const struct hostile_case many_cases[];

#endif
