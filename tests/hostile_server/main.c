// SPDX-License-Identifier: GPL-2.0
/*
 * hostile_server: an RTRS/RNBD server that lies to the kernel's client.
 *
 *   hostile_server --dst ADDRESS [options]   run all cases
 *   hostile_server --list                    name the cases
 *   hostile_server --serve CASE              only serve, for a look by hand
 *
 * For each case one line is printed:
 *
 *   ok - NAME (WEAK POINTS): what the user saw
 *   not ok - NAME (WEAK POINTS): what he should not have seen
 *   skip - NAME (WEAK POINTS): the option that is missing
 *
 * and at the end "N passed, N failed" (exit status 1 if any failed). In each case the
 * program serves on --port while a child of it, the user, writes to map_device, reads and
 * writes the disk, and unmaps it. A case is passed when the user saw what he may see (the
 * errno that belongs to it, the right data or an error, nothing for ever), when everything of
 * the session is gone afterwards, when then an honest server at --honest-port can be mapped
 * and verified, and when the kernel log has no more than some lines about it. Warnings, leaks
 * and unloading are for the script around this program.
 *
 * Needs root, the client modules, /dev/infiniband/{rdma_cm,uverbs*}.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "liar.h"

struct options opt = {
	.honest = "dev/ram1",
	.port = 4321,
	.honest_port = 1234,
};

struct shared *sh;

static const struct lie *const tables[] = {
	connect_lies, info_lies, key_lies, answer_lies, carrier_lies, end_lies, path_lies, rnbd_lies, again_lies,
};

#define TABLES	(sizeof(tables) / sizeof(tables[0]))

static char text[800];

__attribute__((format(printf, 1, 2))) static void add(const char *fmt, ...)
{
	size_t at = strlen(text);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text + at, sizeof(text) - at, fmt, ap);
	va_end(ap);
}

static const char *outcome(int r)
{
	static char t[8][48];
	static unsigned int next;
	char *s = t[next++ % 8];

	switch (r) {
	case 0:
		return "ok";
	case NOT_RUN:
		return "not done";
	case WRONG:
		return "WRONG DATA";
	case SHORT:
		return "short";
	}
	snprintf(s, sizeof(t[0]), "error %d (%s)", r, strerror(r));
	return s;
}

/* Lines of the kernel's log that came since the file was opened or read. */
static int log_lines(int fd)
{
	char line[2048];
	int n = 0;

	while (read(fd, line, sizeof(line)) > 0 || errno == EPIPE)
		n++;
	return n;
}

static bool io_fine(const struct lie *l, const char *what, int r, bool *failed)
{
	bool fine = true;

	if (r == NOT_RUN)
		return true;
	add(", %s %s", what, outcome(r));
	if (r == WRONG)
		fine = l->lie_data;
	if (r == SHORT)
		fine = l->io != IO_OK;
	if (r > 0) {
		*failed = true;
		fine = l->io != IO_OK;
	}
	if (!fine)
		add(" (!)");
	return fine;
}

/* Whether the user saw what he may see. Writes down what he saw. */
static bool judge(const struct lie *l, int lines, bool hung, int status)
{
	int most = l->lines ? l->lines : 60;
	bool fine = true, failed = false;

	add("map %s", outcome(sh->map));
	if (hung) {
		add(", then no end while \"%s\" (!)", sh->step);
		return false;
	}
	if (status) {
		add(", the user ended with status %#x while \"%s\" (!)", status, sh->step);
		fine = false;
	}
	if (l->map != ANY && sh->map != l->map) {
		add(" instead of %s (!)", outcome(l->map));
		fine = false;
	}
	if (sh->map == WRONG)
		fine = false;
	fine &= io_fine(l, "read", sh->read, &failed);
	fine &= io_fine(l, "write", sh->write, &failed);
	fine &= io_fine(l, "read again", sh->reread, &failed);
	fine &= io_fine(l, "extra", sh->extra, &failed);
	if (sh->remap != NOT_RUN)
		add(", remap %s", outcome(sh->remap));
	if (l->io == IO_BAD && sh->map == 0 && !failed) {
		add(", and no error (!)");
		fine = false;
	}
	if (sh->map == 0 && sh->unmap) {
		add(", unmap %s (!)", outcome(sh->unmap));
		fine = false;
	}
	if (sh->left) {
		add(", %d things left behind (!)", sh->left);
		fine = false;
	}
	if (sh->lies)
		add(", %d lies", sh->lies);
	if (sh->lies < l->lies) {
		add(", only %d lies were told (!)", sh->lies);
		fine = false;
	}
	if (sh->caught)
		add(", %d intrusions refused", sh->caught);
	if (sh->escaped) {
		add(", %d intrusions SUCCEEDED (!)", sh->escaped);
		fine = false;
	}
	if (sh->honest) {
		add(", then no honest mapping (!)");
		fine = false;
	}
	if (sh->why[0])
		add(": %s", sh->why);
	if (sh->liar[0]) {
		add("; liar: %s (!)", sh->liar);
		fine = false;
	}
	add(", %d log lines", lines);
	if (lines > most) {
		add(" instead of at most %d (!)", most);
		fine = false;
	}
	return fine;
}

static void reset_shared(void)
{
	memset(sh, 0, sizeof(*sh));
	sh->map = sh->read = sh->write = sh->reread = sh->extra = NOT_RUN;
	sh->unmap = sh->remap = sh->honest = NOT_RUN;
	for (size_t i = 0; i < DISK_LEN; i += 4)
		put32(sh->disk + i, rnd());
	/* No partition table, whatever the numbers are. */
	memset(sh->disk, 0, 8192);
}

/* Serves while the user is busy; in a process of its own. Its status is the user's. */
static void serve_case(const struct lie *l, int mode)
{
	long long end = now_ms() + (l->limit_s ? l->limit_s : 60) * 1000LL;
	int status = 0;
	pid_t user;

	server_start(l, mode);
	user = fork();
	if (user == 0)
		user_main(l, mode);
	while (now_ms() < end) {
		if (waitpid(user, &status, WNOHANG) == user)
			_exit(status ? 2 : 0);
		server_pump(10);
	}
	_exit(1);
}

static int run_case(const struct lie *l, int mode)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK), status, lines;
	pid_t liar;
	bool fine;

	reset_shared();
	text[0] = 0;
	if (fd >= 0)
		lseek(fd, 0, SEEK_END);
	fflush(stdout);
	liar = fork();
	if (liar == 0)
		serve_case(l, mode);
	waitpid(liar, &status, 0);
	lines = fd >= 0 ? log_lines(fd) : 0;
	if (fd >= 0)
		close(fd);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 1)
		fine = judge(l, lines, true, 0);
	else
		fine = judge(l, lines, false, status);
	printf("%s - %s%s (%s): %s\n", fine ? "ok" : "not ok", l->name, mode == KEYS ? " +keys" : "", l->weak,
	       text);
	/* A user who hangs ends with the liar, when the kernel lets him; until then he would be in the
	 * way of all that follows.
	 */
	for (int i = 0; i < 300 && waitpid(-1, NULL, WNOHANG) >= 0; i++)
		usleep(100000);
	return fine ? 1 : -1;
}

static int usage(void)
{
	fprintf(stderr, "usage: hostile_server --dst ADDRESS [--dst2 ADDRESS] [--port 4321] [--case NAME|all]...\n"
			"                      [--honest dev/ram1] [--honest-port 1234] [--slow] [--list] [--serve CASE]\n"
			"  --dst          an address of this host that RDMA connections can be made to\n"
			"  --dst2         a second one, for a second path\n"
			"  --port         where the liar listens\n"
			"  --slow         also the cases that wait for a minute or more\n"
			"  --honest       device of an honest server at --honest-port, without its first slash\n");
	return 2;
}

/* What takes long is only run when it is asked for. */
static bool wanted(const char *name, const char *const *names, int num, bool long_one)
{
	if (!num)
		return !long_one;
	for (int i = 0; i < num; i++) {
		if (!strcmp(names[i], name) || (!strcmp(names[i], "all") && !long_one))
			return true;
	}
	return false;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "dst", required_argument, NULL, 'd' },
		{ "dst2", required_argument, NULL, 'D' },
		{ "port", required_argument, NULL, 'p' },
		{ "case", required_argument, NULL, 'c' },
		{ "honest", required_argument, NULL, 'h' },
		{ "honest-port", required_argument, NULL, 'P' },
		{ "list", no_argument, NULL, 'l' },
		{ "serve", required_argument, NULL, 's' },
		{ "slow", no_argument, NULL, 'S' },
		{ NULL, 0, NULL, 0 },
	};
	int c, num = 0, passed = 0, failed = 0, seen = 0;
	const char *names[256], *only = NULL;
	bool list = false, slow = false;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 'd': opt.dst = optarg; break;
		case 'D': opt.dst2 = optarg; break;
		case 'p': opt.port = atoi(optarg); break;
		case 'c':
			if (num < 256)
				names[num++] = optarg;
			break;
		case 'h': opt.honest = optarg; break;
		case 'P': opt.honest_port = atoi(optarg); break;
		case 'l': list = true; break;
		case 's': only = optarg; break;
		case 'S': slow = true; break;
		default: return usage();
		}
	}
	if (optind != argc || (!opt.dst && !list))
		return usage();
	setvbuf(stdout, NULL, _IOLBF, 0);
	sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	/* Who loses his parent is ours to wait for. */
	if (sh == MAP_FAILED || prctl(PR_SET_CHILD_SUBREAPER, 1))
		return 2;
	for (size_t t = 0; t < TABLES; t++) {
		for (const struct lie *l = tables[t]; l->name; l++) {
			int modes = l->modes ? l->modes : PLAIN;

			if (only && !strcmp(only, l->name)) {
				reset_shared();
				server_start(l, modes & PLAIN ? PLAIN : KEYS);
				for (;;)
					server_pump(50);
			}
			if (only || !wanted(l->name, names, num, l->slow && !slow && !list)) {
				if (!only && wanted(l->name, names, num, false))
					printf("skip - %s (%s): needs --slow\n", l->name, l->weak);
				continue;
			}
			seen++;
			if (list) {
				printf("%-28s %s\n", l->name, l->weak);
				continue;
			}
			for (int mode = PLAIN; mode <= KEYS; mode <<= 1) {
				int rc;

				if (!(modes & mode))
					continue;
				rc = run_case(l, mode);
				passed += rc > 0;
				failed += rc < 0;
			}
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
