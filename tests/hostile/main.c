// SPDX-License-Identifier: GPL-2.0
/*
 * hostile: an RTRS/RNBD client that lies, over librdmacm and libibverbs.
 *
 *   hostile --dst ADDRESS [options]       run all cases against a server
 *   hostile --list                        name the cases
 *
 * For each case one line is printed:
 *
 *   ok - NAME (WEAK POINTS): what the server did
 *   not ok - NAME (WEAK POINTS): what it should not have done
 *   skip - NAME (WEAK POINTS): the option that is missing
 *
 * and at the end "N passed, N failed" (exit status 1 if any failed). A case is
 * passed when the server refused in a way the protocol has (an error answer, a
 * disconnect, a reject with an errno) and when afterwards a fresh honest client
 * can still connect, open the device and read. What only the server's own host
 * can see (warnings, leaks, log floods) is for the script around this program.
 *
 * The program needs /dev/infiniband/{rdma_cm,uverbs*}. The backends named by
 * --device and --device2 are written to; no other client may have them open.
 *
 * Rooms: wire.c bytes, con.c one connection, session.c a path, io.c requests,
 * rnbd.c honest RNBD, cases_*.c and race.c the lies. See case.h to add one.
 */
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "case.h"

struct options opt = {
	.device = "/dev/ram0",
	.port = 1234,
	.timeout_ms = 10000,
	.halfopen_s = 45,
	.recover_s = 20,
	.sessions = 24,
};

static const struct hostile_case *const tables[] = {
	connect_cases, info_cases, rtrs_cases, key_cases, load_cases,
	rnbd_cases, open_cases, ext_cases, race_cases, fence_cases, slow_cases, many_cases,
};

#define TABLES	(sizeof(tables) / sizeof(tables[0]))

static int say(struct verdict *v, enum result result, const char *fmt, va_list ap)
{
	v->result = result;
	vsnprintf(v->text, sizeof(v->text), fmt, ap);
	return result == CASE_GOOD ? 0 : -1;
}

int good(struct verdict *v, const char *fmt, ...)
{
	va_list ap;
	int rc;

	va_start(ap, fmt);
	rc = say(v, CASE_GOOD, fmt, ap);
	va_end(ap);
	return rc;
}

int bad(struct verdict *v, const char *fmt, ...)
{
	va_list ap;
	int rc;

	va_start(ap, fmt);
	rc = say(v, CASE_BAD, fmt, ap);
	va_end(ap);
	return rc;
}

int skip(struct verdict *v, const char *fmt, ...)
{
	va_list ap;
	int rc;

	va_start(ap, fmt);
	rc = say(v, CASE_SKIP, fmt, ap);
	va_end(ap);
	return rc;
}

int refused(struct verdict *v, int r, const char *what)
{
	if (r == SILENT || r == 0)
		return bad(v, "%s: %s", what, reaction(r));
	return good(v, "%s: %s", what, reaction(r));
}

/* Runs `run` in a child with a time limit; its verdict comes back in `v`. */
static void in_child(int (*run)(struct verdict *v), struct verdict *v, unsigned int limit_s)
{
	int status;
	pid_t pid;

	fflush(stdout);
	v->result = CASE_DIED;
	v->text[0] = 0;
	pid = fork();
	if (pid < 0) {
		bad(v, "fork failed: %m");
		return;
	}
	if (pid == 0) {
		alarm(limit_s);
		run(v);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	if (v->result != CASE_DIED)
		return;
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
		bad(v, "not finished after %u s", limit_s);
	else
		bad(v, "the case itself ended with wait status %#x", status);
}

static int run_honest(struct verdict *v)
{
	char why[200];

	if (honest_check(why, sizeof(why)))
		return bad(v, "%s", why);
	return good(v, "an honest client can connect, open and read");
}

/* One case and the honest check after it; the line of output; 1, 0 or -1. */
static int run_case(const struct hostile_case *c, struct verdict *v)
{
	unsigned int limit = 180 + opt.halfopen_s + 6 * opt.sessions;
	char first[sizeof(v->text)];
	enum result result;

	in_child(c->run, v, limit);
	result = v->result;
	if (result == CASE_SKIP) {
		printf("skip - %s (%s): %s\n", c->name, c->weak, v->text);
		return 0;
	}
	memcpy(first, v->text, sizeof(first));
	in_child(run_honest, v, limit);
	if (result == CASE_GOOD && v->result == CASE_GOOD) {
		printf("ok - %s (%s): %s\n", c->name, c->weak, first);
		return 1;
	}
	printf("not ok - %s (%s): %s%s%s\n", c->name, c->weak, first,
	       v->result == CASE_GOOD ? "" : "; and then no honest session: ",
	       v->result == CASE_GOOD ? "" : v->text);
	return -1;
}

static int usage(void)
{
	fprintf(stderr,
		"usage: hostile --dst ADDRESS [--port 1234] [--case NAME|all]... [--list]\n"
		"               [--device PATH] [--device2 PATH] [--flush-device PATH]\n"
		"               [--slow-device PATH] [--slow] [--files PREFIX] [--many PREFIX]\n"
		"               [--dst2 ADDRESS] [--timeout SECONDS] [--halfopen SECONDS]\n"
		"               [--recover SECONDS] [--sessions NUMBER]\n"
		"  --device        backend as the server names it (default /dev/ram0)\n"
		"  --device2       another one, for stale ids\n"
		"  --flush-device  one with 4 KiB blocks and a write cache, for flushes\n"
		"  --slow-device   one that takes 4 s for everything\n"
		"  --slow          also the cases that wait for it for long\n"
		"  --files         regular files, PREFIX0 to PREFIX1024\n"
		"  --many          addresses, PREFIX1 to PREFIX129: only what needs so many\n"
		"  --dst2          another address of the server, for a second path\n"
		"  --timeout       for each answer, connect or disconnect (default 10)\n"
		"  --halfopen      for half-open paths to be reaped (default 45)\n"
		"  --recover       for an honest session after a case (default 20)\n"
		"  --sessions      most sessions opened at once (default 24)\n");
	return 2;
}

static bool wanted(const char *name, const char *const *names, int num)
{
	if (!num)
		return true;
	for (int i = 0; i < num; i++) {
		if (!strcmp(names[i], "all") || !strcmp(names[i], name))
			return true;
	}
	return false;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "dst", required_argument, NULL, 'd' },
		{ "port", required_argument, NULL, 'p' },
		{ "case", required_argument, NULL, 'c' },
		{ "list", no_argument, NULL, 'l' },
		{ "device", required_argument, NULL, '1' },
		{ "device2", required_argument, NULL, '2' },
		{ "flush-device", required_argument, NULL, 'f' },
		{ "slow-device", required_argument, NULL, 'w' },
		{ "slow", no_argument, NULL, 'S' },
		{ "files", required_argument, NULL, 'F' },
		{ "many", required_argument, NULL, 'm' },
		{ "dst2", required_argument, NULL, 'D' },
		{ "timeout", required_argument, NULL, 't' },
		{ "halfopen", required_argument, NULL, 'h' },
		{ "recover", required_argument, NULL, 'r' },
		{ "sessions", required_argument, NULL, 's' },
		{ NULL, 0, NULL, 0 },
	};
	const char *names[128];
	int c, num = 0, passed = 0, failed = 0, seen = 0;
	bool list = false;
	struct verdict *v;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 'd': opt.dst = optarg; break;
		case 'p': opt.port = atoi(optarg); break;
		case 'c':
			if (num < 128)
				names[num++] = optarg;
			break;
		case 'l': list = true; break;
		case '1': opt.device = optarg; break;
		case '2': opt.device2 = optarg; break;
		case 'f': opt.flush_device = optarg; break;
		case 'w': opt.slow_device = optarg; break;
		case 'S': opt.slow = true; break;
		case 'F': opt.files = optarg; break;
		case 'm': opt.many = optarg; break;
		case 'D': opt.dst2 = optarg; break;
		case 't': opt.timeout_ms = atoi(optarg) * 1000; break;
		case 'h': opt.halfopen_s = atoi(optarg); break;
		case 'r': opt.recover_s = atoi(optarg); break;
		case 's': opt.sessions = atoi(optarg); break;
		default: return usage();
		}
	}
	if (optind != argc || (!opt.dst && !list))
		return usage();
	v = mmap(NULL, sizeof(*v), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (v == MAP_FAILED)
		return 2;
	for (size_t t = 0; t < TABLES; t++) {
		if (!list && (tables[t] == many_cases) != !!opt.many)
			continue;
		for (const struct hostile_case *k = tables[t]; k->name; k++) {
			int rc;

			if (!wanted(k->name, names, num))
				continue;
			seen++;
			if (list) {
				printf("%-28s %s\n", k->name, k->weak);
				continue;
			}
			rc = run_case(k, v);
			passed += rc > 0;
			failed += rc < 0;
		}
	}
	if (!seen) {
		fprintf(stderr, "no such case; --list names them\n");
		return 2;
	}
	if (!list)
		printf("%d passed, %d failed\n", passed, failed);
	return failed || (!list && !passed);
}
