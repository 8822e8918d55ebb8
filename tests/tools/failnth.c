// SPDX-License-Identifier: GPL-2.0
/*
 * Does something again and again, that is one write(2) to a file: each time another of the
 * allocations that it makes fails, the first, the second, and so on, until there are no more.
 *
 * usage: failnth own|any|pages STEP LIMIT FILE TEXT [pause:MS] [CONDITION|WRITE]...
 *
 *   own    the allocations of this process, with /proc/self/fail-nth; whatever their place.
 *   any    those of every process and work item, as far as failslab's filter lets them: see
 *          require-start in the kernel's fault-injection.rst. For one processor only, as the
 *          count that the kernel keeps is not atomic.
 *   pages  the same with fail_page_alloc: whole pages.
 *
 * Of STEP allocations one fails: with 1 all do. FILE may be a glob pattern. Afterwards things
 * have to be brought back to where they were. Until all CONDITIONs hold, each WRITE is repeated
 * as long as the condition behind it does not; after a first pause if there is one:
 *
 *   pause:MS           what the write leads to takes some time
 *   gone:PATTERN       no file is called so
 *   is:PATTERN=TEXT    the first line of the file is TEXT
 *   write:PATTERN=TEXT TEXT is written to each such file; what that gives does not matter
 *
 * Prints one line. Ends with 0 if that always worked and every allocation had its turn.
 *
 * Used by tests/vm/faults.sh.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define FAULTS "/sys/kernel/debug/"
/* Where the kernel's count of allocations stands, for the next of us. */
#define COUNT "/run/failnth."
/* More than slab has in a cache: such an allocation takes pages at once. */
#define PAGES_SIZE 16384
#define WRITE_SECONDS 120
#define UNDO_MS 90000

static char **undo;
static unsigned long now_at;
/* Which allocations fail: the kernel's name for them. */
static const char *kind = "failslab";

static int put(const char *file, const char *text);

/* The path of a file of theirs, until the next call. */
static const char *attribute(const char *name)
{
	static char file[128];

	snprintf(file, sizeof(file), FAULTS "%s/%s", kind, name);
	return file;
}

static const char *count_file(void)
{
	static char file[128];

	snprintf(file, sizeof(file), COUNT "%s", kind);
	return file;
}

static void __attribute__((noreturn, format(printf, 1, 2))) die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	fflush(stdout);
	/* Nothing is to fail any more, whatever it was. */
	put(attribute("probability"), "0");
	put(attribute("task-filter"), "N");
	_exit(1);
}

static void hangs(int number)
{
	static const char text[] = "the write hangs\n";

	(void)number;
	if (write(1, text, sizeof(text) - 1) < 0)
		_exit(2);
	_exit(1);
}

static long long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static void pause_ms(long ms)
{
	struct timespec pause = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	nanosleep(&pause, NULL);
}

/* Writes once; the errno, or 0. */
static int put(const char *file, const char *text)
{
	int fd = open(file, O_WRONLY), error = 0;

	if (fd < 0)
		return errno;
	if (write(fd, text, strlen(text)) < 0)
		error = errno;
	close(fd);
	return error;
}

static void must_put(const char *file, const char *text)
{
	int error = put(file, text);

	if (error)
		die("%s: %s", file, strerror(error));
}

/* The first line of a file; false if there is none. */
static bool get(const char *file, char *text, size_t size)
{
	FILE *stream = fopen(file, "re");
	bool ok;

	if (!stream)
		return false;
	ok = fgets(text, size, stream);
	fclose(stream);
	if (ok)
		text[strcspn(text, "\n")] = 0;
	return ok;
}

static unsigned long get_number(const char *file)
{
	char text[64];

	if (!get(file, text, sizeof(text)))
		die("%s cannot be read", file);
	return strtoul(text, NULL, 0);
}

/* One step of the way back: a condition is looked at, or a write is made. */
static bool step(const char *word, bool writing)
{
	bool write = !strncmp(word, "write:", 6), gone = !strncmp(word, "gone:", 5), ok = false;
	char pattern[512], line[256];
	const char *text;
	glob_t files;
	size_t i;

	if (!strncmp(word, "pause:", 6))
		return true;
	if (!write && !gone && strncmp(word, "is:", 3))
		die("what is '%s'?", word);
	if (write != writing)
		return true;
	word = strchr(word, ':') + 1;
	/* The last one: addresses have none, and the texts have none, either. */
	text = gone ? NULL : strrchr(word, '=');
	if (!gone && !text)
		die("'%s' has no text", word);
	snprintf(pattern, sizeof(pattern), "%.*s", (int)(gone ? strlen(word) : (size_t)(text - word)), word);
	if (glob(pattern, 0, NULL, &files))
		return gone || write;
	if (write)
		for (i = 0; i < files.gl_pathc; i++)
			put(files.gl_pathv[i], text + 1);
	else if (!gone)
		ok = get(files.gl_pathv[0], line, sizeof(line)) && !strcmp(line, text + 1);
	globfree(&files);
	return write || ok;
}

/* Brings everything back to where it was. */
static void go_back(void)
{
	long long end = now_ms() + UNDO_MS;
	char **word = undo;

	if (*word && !strncmp(*word, "pause:", 6))
		pause_ms(atol(*word + 6));
	while (true) {
		bool done = true;

		for (word = undo; *word; word++)
			done &= step(*word, false);
		if (done)
			return;
		if (now_ms() > end)
			break;
		/* What is only on its way must not be begun anew. */
		for (word = undo; *word; word++)
			if (!word[1] || !step(word[1], false))
				step(*word, true);
		pause_ms(10);
	}
	for (word = undo; *word; word++)
		if (!step(*word, false))
			die("after allocation %lu has failed it does not come to '%s'", now_at, *word);
}

/* --- the allocations of this process ------------------------------------------------ */

static int nth_fd;

static void own_arm(unsigned long n)
{
	char text[32];
	int len = snprintf(text, sizeof(text), "%lu", n);

	if (pwrite(nth_fd, text, len, 0) != len)
		die("/proc/self/fail-nth: %s", strerror(errno));
}

/* How many allocations are missing to the one that was to fail: 0 if it did. */
static unsigned long own_left(void)
{
	char text[32] = "";

	if (pread(nth_fd, text, sizeof(text) - 1, 0) < 0)
		die("/proc/self/fail-nth: %s", strerror(errno));
	return strtoul(text, NULL, 10);
}

/*
 * The one write to the one file of that name, in which our nth allocation fails if n is not 0;
 * `left` is then what is missing to it. The errno, or 0.
 */
static int once(const char *pattern, const char *text, unsigned long n, unsigned long *left)
{
	glob_t files;
	int fd, error = 0;

	if (glob(pattern, 0, NULL, &files) || files.gl_pathc != 1)
		die("%s is not one file", pattern);
	fd = open(files.gl_pathv[0], O_WRONLY);
	if (fd < 0)
		die("%s: %s", files.gl_pathv[0], strerror(errno));
	globfree(&files);
	alarm(WRITE_SECONDS);
	if (n)
		own_arm(n);
	if (write(fd, text, strlen(text)) < 0)
		error = errno;
	if (n) {
		*left = own_left();
		own_arm(0);
	}
	alarm(0);
	close(fd);
	return error;
}

/* --- everybody's -------------------------------------------------------------------- */

/*
 * The kernel counts the allocations that it considers, and with an interval of N it lets those
 * fail whose number is a multiple of N. So an interval that is by n above what was counted so
 * far makes the nth of the following fail, and what was counted is then known again.
 */
static unsigned long counted;

static void any_arm(unsigned long n)
{
	char text[32];

	snprintf(text, sizeof(text), "%lu", counted + n);
	must_put(attribute("interval"), text);
	must_put(attribute("times"), "1");
	must_put(attribute("probability"), "100");
}

static bool any_failed(void)
{
	char text[32] = "";
	int fd = open(attribute("times"), O_RDONLY);
	ssize_t got;

	if (fd < 0)
		return false;
	got = read(fd, text, sizeof(text) - 1);
	close(fd);
	return got > 0 && !strtoul(text, NULL, 0);
}

static void any_disarm(void)
{
	must_put(attribute("probability"), "0");
}

static void any_remember(unsigned long count)
{
	char text[32];
	int fd = open(count_file(), O_WRONLY | O_CREAT | O_TRUNC, 0600);

	counted = count;
	snprintf(text, sizeof(text), "%lu\n", count);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		die("%s: %s", count_file(), strerror(errno));
	close(fd);
}

/* Less was counted than was to be: makes up for it with allocations of our own. */
static void any_fill_up(unsigned long n)
{
	static const char pages[PAGES_SIZE];
	char start[64], end[64];
	long long limit = now_ms() + 60000;

	if (!get(attribute("require-start"), start, sizeof(start)) ||
	    !get(attribute("require-end"), end, sizeof(end)))
		die("%s has no filter", kind);
	must_put(attribute("task-filter"), "Y");
	must_put(attribute("require-start"), "0");
	must_put(attribute("require-end"), "0xffffffffffffffff");
	must_put("/proc/self/make-it-fail", "1");
	any_arm(n);
	/* To open a file takes memory; so what fails may be this very look, and the next one works. */
	while (!any_failed()) {
		/* Its value is copied before anything else is looked at; that file takes none. */
		setxattr("/proc", "user.x", pages, sizeof(pages), 0);
		if (now_ms() > limit)
			die("the kernel's count is lost");
	}
	any_disarm();
	must_put("/proc/self/make-it-fail", "0");
	must_put(attribute("task-filter"), "N");
	must_put(attribute("require-start"), start);
	must_put(attribute("require-end"), end);
	any_remember(counted + n);
}

/* --- all of it ---------------------------------------------------------------------- */

static void sweep(bool own, unsigned long step_by, unsigned long limit, const char *file, const char *text)
{
	unsigned long failed = 0, refused = 0, left = 0, n;
	unsigned int errors[134] = { 0 };
	long long slowest = 0;
	size_t i;

	for (n = 1 + rand() % step_by; n <= limit; n += step_by) {
		long long began = now_ms();
		int error;
		bool hit;

		now_at = n;
		if (own) {
			error = once(file, text, n, &left);
			hit = left == 0;
			go_back();
		} else {
			/* Whatever the others do because of it may come later. */
			any_arm(n);
			error = once(file, text, 0, NULL);
			go_back();
			hit = any_failed();
			any_disarm();
			if (hit)
				any_remember(counted + n);
		}
		began = now_ms() - began;
		if (began > slowest)
			slowest = began;
		if (!hit)
			break;
		failed++;
		refused += error != 0;
		if (error > 0 && error < 134)
			errors[error]++;
	}
	if (n > limit)
		die("more than %lu allocations", limit);
	if (!own)
		any_fill_up(n);
	printf("of %lu allocations %lu have failed once; %lu times it was refused (", n - (own ? left : 1),
	       failed, refused);
	for (i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		if (errors[i])
			printf(" %s: %u", strerrorname_np(i), errors[i]);
	printf(" ), the slowest took %lld ms\n", slowest);
}

int main(int argc, char **argv)
{
	bool own;

	if (argc < 6)
		die("usage: see the source");
	own = !strcmp(argv[1], "own");
	if (!strcmp(argv[1], "pages"))
		kind = "fail_page_alloc";
	undo = argv + 6;
	signal(SIGALRM, hangs);
	srand(time(NULL) ^ getpid());
	if (own) {
		nth_fd = open("/proc/self/fail-nth", O_RDWR | O_CLOEXEC);
		if (nth_fd < 0)
			die("/proc/self/fail-nth: %s", strerror(errno));
	} else if (!access(count_file(), R_OK)) {
		counted = get_number(count_file());
	} else {
		/* Not 0: an interval of 1 is none. */
		any_fill_up(2);
	}
	sweep(own, strtoul(argv[2], NULL, 10), strtoul(argv[3], NULL, 10), argv[4], argv[5]);
	return 0;
}
