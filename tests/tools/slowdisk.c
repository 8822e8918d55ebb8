// SPDX-License-Identifier: GPL-2.0
/*
 * A disk that a test can hold by the hand: an nbd device served from memory,
 * whose operations can be held back and carried out later, delayed at random,
 * failed, and whose power can be cut so that what was not flushed is lost.
 *
 * usage: slowdisk /dev/nbdN MIB DIR
 *
 * DIR/ctl is a pipe for commands, one per line, each "NUMBER WORD [ARG...]":
 *   hold r|w|rw      operations of that kind that come from now on are held
 *   pass             operations that come from now on are not held
 *   release          carries out what is held, in the order it came
 *   jitter MS PCT    PCT of a hundred operations wait up to MS milliseconds
 *   fail on|off      every operation ends with EIO, the held ones too
 *   crash SEED       the power is cut: of what was not flushed, sectors chosen by
 *                    SEED are lost; what is held ends with EIO
 *   stat
 * After each one DIR/stat says "NUMBER READS WRITES FLUSHES HELD BIGGEST": operations that
 * have been carried out, how many wait, and the bytes of the longest.
 *
 * Used by tests/vm/lib/slow.sh. A held operation does nothing at all before it
 * is released: neither reads nor writes the memory.
 */

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/nbd.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SECTOR 512

struct op {
	struct op *next;
	uint64_t cookie, from, due;
	uint32_t type, len;
	bool held;
	char data[];
};

static char *now_data, *durable;
static uint8_t *dirty;
static uint64_t size;
static struct op *head, **tail = &head;
static unsigned long reads, writes, flushes, biggest;
static bool hold_reads, hold_writes, failing;
static unsigned int jitter_ms, jitter_pct;
static int sock;

static void die(const char *what)
{
	fprintf(stderr, "slowdisk: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t clock_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void transfer(void *data, size_t len, bool out)
{
	char *at = data;

	while (len) {
		ssize_t n = out ? write(sock, at, len) : read(sock, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			exit(0); /* The device was taken away: the test is over. */
		at += n;
		len -= n;
	}
}

static void answer(const struct op *op, int error, void *data)
{
	struct nbd_reply reply = {
		.magic = htobe32(NBD_REPLY_MAGIC),
		.error = htobe32(error),
		.cookie = op->cookie,
	};

	transfer(&reply, sizeof(reply), true);
	if (data && !error)
		transfer(data, op->len, true);
}

static void make_durable(uint64_t from, uint64_t len)
{
	memcpy(durable + from, now_data + from, len);
	memset(dirty + from / SECTOR, 0, len / SECTOR);
}

static void carry_out(struct op *op)
{
	uint16_t command = op->type & 0xffff;

	if (failing || op->from > size || op->len > size - op->from) {
		answer(op, EIO, NULL);
		return;
	}
	if (op->len > biggest)
		biggest = op->len;
	switch (command) {
	case NBD_CMD_READ:
		reads++;
		answer(op, 0, now_data + op->from);
		return;
	case NBD_CMD_FLUSH:
		flushes++;
		for (uint64_t s = 0; s < size / SECTOR; s++)
			if (dirty[s])
				make_durable(s * SECTOR, SECTOR);
		break;
	case NBD_CMD_WRITE:
	case NBD_CMD_TRIM:
	case NBD_CMD_WRITE_ZEROES:
		writes++;
		if (command == NBD_CMD_WRITE)
			memcpy(now_data + op->from, op->data, op->len);
		else
			memset(now_data + op->from, 0, op->len);
		memset(dirty + op->from / SECTOR, 1, op->len / SECTOR);
		if (op->type & NBD_CMD_FLAG_FUA)
			make_durable(op->from, op->len);
		break;
	default:
		answer(op, EINVAL, NULL);
		return;
	}
	answer(op, 0, NULL);
}

static void take_request(void)
{
	struct nbd_request request;
	uint32_t type, len;
	struct op *op;
	bool data, mine;

	transfer(&request, sizeof(request), false);
	type = be32toh(request.type);
	len = be32toh(request.len);
	if (be32toh(request.magic) != NBD_REQUEST_MAGIC || (type & 0xffff) == NBD_CMD_DISC)
		exit(0);
	data = (type & 0xffff) == NBD_CMD_WRITE;
	op = calloc(1, sizeof(*op) + (data ? len : 0));
	if (!op)
		die("memory");
	op->cookie = request.cookie;
	op->from = be64toh(request.from);
	op->type = type;
	op->len = len;
	if (data)
		transfer(op->data, len, false);
	mine = (type & 0xffff) == NBD_CMD_READ ? hold_reads : hold_writes;
	op->held = mine && (type & 0xffff) != NBD_CMD_FLUSH;
	if (jitter_pct && (unsigned int)(rand() % 100) < jitter_pct)
		op->due = clock_ms() + rand() % (jitter_ms + 1);
	if (!op->held && !op->due) {
		carry_out(op);
		free(op);
		return;
	}
	*tail = op;
	tail = &op->next;
}

/* Carries out what is due, or everything with `all`; returns ms to the next one. */
static int work_off(bool all)
{
	uint64_t now = clock_ms(), soonest = UINT64_MAX;
	struct op **at = &head;

	while (*at) {
		struct op *op = *at;

		if (all || (!op->held && op->due <= now)) {
			*at = op->next;
			carry_out(op);
			free(op);
			continue;
		}
		if (!op->held && op->due < soonest)
			soonest = op->due;
		at = &op->next;
	}
	tail = at;
	return soonest == UINT64_MAX ? -1 : (int)(soonest - now);
}

static void crash(unsigned int seed)
{
	bool before = failing;

	failing = true;
	work_off(true);
	failing = before;
	srand(seed);
	for (uint64_t s = 0; s < size / SECTOR; s++) {
		if (!dirty[s])
			continue;
		/* Some of it has reached the medium on its own. */
		if (rand() & 1)
			memcpy(durable + s * SECTOR, now_data + s * SECTOR, SECTOR);
		dirty[s] = 0;
	}
	memcpy(now_data, durable, size);
}

static void command(char *line, const char *dir)
{
	char word[16] = "", arg[16] = "", path[300], tmp[300];
	unsigned int number = 0, second = 0, held = 0;
	FILE *file;

	if (sscanf(line, "%u %15s %15s %u", &number, word, arg, &second) < 2)
		return;
	if (!strcmp(word, "hold")) {
		hold_reads = strchr(arg, 'r');
		hold_writes = strchr(arg, 'w');
	} else if (!strcmp(word, "pass")) {
		hold_reads = hold_writes = false;
	} else if (!strcmp(word, "release")) {
		work_off(true);
	} else if (!strcmp(word, "jitter")) {
		jitter_ms = strtoul(arg, NULL, 10);
		jitter_pct = second;
	} else if (!strcmp(word, "fail")) {
		failing = !strcmp(arg, "on");
		if (failing)
			work_off(true);
	} else if (!strcmp(word, "crash")) {
		crash(strtoul(arg, NULL, 10));
	}
	for (struct op *op = head; op; op = op->next)
		held++;
	snprintf(path, sizeof(path), "%s/stat", dir);
	snprintf(tmp, sizeof(tmp), "%s/stat.new", dir);
	file = fopen(tmp, "w");
	if (!file)
		die(tmp);
	fprintf(file, "%u %lu %lu %lu %u %lu\n", number, reads, writes, flushes, held, biggest);
	fclose(file);
	rename(tmp, path);
}

static void serve(const char *dir)
{
	char path[300], line[256];
	size_t have = 0;
	int ctl;

	snprintf(path, sizeof(path), "%s/ctl", dir);
	if (mkfifo(path, 0600) && errno != EEXIST)
		die(path);
	ctl = open(path, O_RDWR | O_NONBLOCK); /* Read and write: never at its end. */
	if (ctl < 0)
		die(path);
	for (;;) {
		struct pollfd fds[2] = { { .fd = sock, .events = POLLIN }, { .fd = ctl, .events = POLLIN } };
		int wait = work_off(false);

		if (poll(fds, 2, wait) < 0 && errno != EINTR)
			die("poll");
		if (fds[1].revents & POLLIN) {
			ssize_t n = read(ctl, line + have, sizeof(line) - 1 - have);
			char *end;

			have += n > 0 ? n : 0;
			line[have] = 0;
			while ((end = strchr(line, '\n'))) {
				*end++ = 0;
				command(line, dir);
				have -= end - line;
				memmove(line, end, have + 1);
			}
			if (have == sizeof(line) - 1)
				have = 0;
		}
		if (fds[0].revents)
			take_request();
	}
}

int main(int argc, char **argv)
{
	int pair[2], dev;

	if (argc != 4 || !(size = strtoull(argv[2], NULL, 10) << 20)) {
		fprintf(stderr, "usage: slowdisk /dev/nbdN MIB DIR\n");
		return 2;
	}
	now_data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	durable = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	dirty = calloc(size / SECTOR, 1);
	if (now_data == MAP_FAILED || durable == MAP_FAILED || !dirty)
		die("memory");
	dev = open(argv[1], O_RDWR);
	if (dev < 0)
		die(argv[1]);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		die("socketpair");
	if (ioctl(dev, NBD_SET_BLKSIZE, SECTOR) || ioctl(dev, NBD_SET_SIZE_BLOCKS, size / SECTOR) ||
	    ioctl(dev, NBD_SET_FLAGS, NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_FUA |
		  NBD_FLAG_SEND_TRIM | NBD_FLAG_SEND_WRITE_ZEROES))
		die("nbd");
	switch (fork()) {
	case -1:
		die("fork");
		break;
	case 0:
		/* The kernel's end; returns when the device is disconnected. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(pair[0]);
		if (ioctl(dev, NBD_SET_SOCK, pair[1]) || ioctl(dev, NBD_DO_IT))
			die("nbd socket");
		return 0;
	}
	close(pair[1]);
	close(dev);
	sock = pair[0];
	serve(argv[3]);
	return 0;
}
