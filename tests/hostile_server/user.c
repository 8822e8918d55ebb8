// SPDX-License-Identifier: GPL-2.0
/*
 * The user of this host: maps the liar's device with the kernel's client, does IO
 * on it, takes it away again, and then does the same with an honest server. He notes
 * what he saw; judging is for main.c.
 */
#define _GNU_SOURCE	/* O_DIRECT */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "liar.h"

#define CTL	"/sys/devices/virtual/rnbd-client/ctl"
#define IO_LEN	(512u << 10)	/* several requests at once */

static uint8_t *buf;
/* What the disk is to hold as far as the user knows. */
static uint8_t *known;

void step(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(sh->step, sizeof(sh->step), fmt, ap);
	va_end(ap);
}

void user_sleep(int ms)
{
	usleep(ms * 1000);
}

/* One write(2); 0 or an errno. */
int user_put(const char *file, const char *text)
{
	int fd = open(file, O_WRONLY), err = 0;

	if (fd < 0)
		return errno;
	if (write(fd, text, strlen(text)) < 0)
		err = errno;
	close(fd);
	return err;
}

static int map(const char *session, const char *device, int port, const char *options, bool two, char name[64])
{
	char text[512], link[300], target[300];
	ssize_t len;
	int err;

	/* The port applies to what follows it. */
	snprintf(text, sizeof(text), "sessname=%s dest_port=%d path=ip:%s%s%s device_path=/%s %s", session,
		 port, opt.dst, two ? " path=ip:" : "", two ? opt.dst2 : "", device, options ? options : "");
	err = user_put(CTL "/map_device", text);
	if (err)
		return err;
	snprintf(link, sizeof(link), CTL "/devices/!%s@%s", device, session);
	for (char *s = link + sizeof(CTL "/devices/"); *s; s++)
		*s = *s == '/' ? '!' : *s;
	len = readlink(link, target, sizeof(target) - 1);
	if (len < 0) {
		snprintf(sh->why, sizeof(sh->why), "mapped, but there is no %.100s", link);
		return WRONG;
	}
	target[len] = 0;
	snprintf(name, 64, "%.60s", strrchr(target, '/') ? strrchr(target, '/') + 1 : target);
	return 0;
}

static int unmap(const char *name)
{
	char file[128];
	int err;

	snprintf(file, sizeof(file), "/sys/block/%.64s/rnbd/unmap_device", name);
	err = user_put(file, "force");
	if (!err && !access(file, F_OK))
		return EEXIST;
	return err;
}

int user_open(struct user *u)
{
	char file[128];

	snprintf(file, sizeof(file), "/dev/%.64s", u->device);
	u->fd = open(file, O_RDWR | O_DIRECT);
	return u->fd < 0 ? errno : 0;
}

int user_read(struct user *u, uint64_t at, uint32_t len, bool compare)
{
	ssize_t got;

	memset(buf, 0x99, len);
	got = pread(u->fd, buf, len, at);
	if (got < 0)
		return errno;
	if (got != (ssize_t)len)
		return SHORT;
	return compare && memcmp(buf, known + at, len) ? WRONG : 0;
}

int user_write(struct user *u, uint64_t at, uint32_t len)
{
	ssize_t got;

	for (uint32_t i = 0; i < len; i += 4)
		*(uint32_t *)(buf + i) = rnd();
	got = pwrite(u->fd, buf, len, at);
	if (got < 0)
		return errno;
	if (got != (ssize_t)len)
		return SHORT;
	memcpy(known + at, buf, len);
	return 0;
}

/* Writes where nobody remembers what is there. */
int user_write_blind(struct user *u, uint64_t at, uint32_t len)
{
	ssize_t got = pwrite(u->fd, buf, len, at);

	return got < 0 ? errno : got == (ssize_t)len ? 0 : SHORT;
}

/* Reads several requests' worth, writes, reads what was written. */
void user_default(struct user *u)
{
	step("open");
	sh->read = user_open(u);
	if (sh->read)
		return;
	step("read");
	sh->read = user_read(u, 0, IO_LEN, true);
	step("write");
	sh->write = user_write(u, IO_LEN, IO_LEN / 2);
	step("read again");
	sh->reread = user_read(u, IO_LEN, IO_LEN / 2, sh->write == 0);
}

/* Unmaps, and maps through another session; 0 or an errno. */
int user_another(struct user *u)
{
	size_t len = strlen(u->session);
	int err;

	if (u->fd >= 0)
		close(u->fd);
	u->fd = -1;
	step("unmap for another");
	err = unmap(u->device);
	if (err)
		return err;
	u->session[len - 1]++;
	u->device[0] = 0;
	step("map another");
	return map(u->session, "liar", opt.port, u->lie->options, u->lie->two_paths, u->device);
}

/* Sets a limit for the time that IO may take, and then waits no longer. */
void user_limited(struct user *u)
{
	char file[128];

	snprintf(file, sizeof(file), "/sys/block/%.64s/rnbd/io_timeout", u->device);
	step("limit");
	if (user_put(file, "2")) {
		snprintf(sh->why, sizeof(sh->why), "no limit can be set");
		sh->extra = WRONG;
		return;
	}
	user_default(u);
}

/* Unmaps while another process waits for its IO, which then has to end, too. */
void user_abandon(struct user *u)
{
	int status = 0;
	pid_t reader;

	step("fork");
	reader = fork();
	if (reader == 0) {
		sh->read = user_open(u);
		if (!sh->read)
			sh->read = user_read(u, 0, IO_LEN, true);
		_exit(0);
	}
	step("wait for the IO");
	for (int i = 0; i < 100 && !sh->lies; i++)
		user_sleep(100);
	user_sleep(1500);
	step("unmap under IO");
	sh->unmap = unmap(u->device);
	u->device[0] = 0;
	step("end of the IO");
	if (waitpid(reader, &status, 0) != reader || status)
		sh->extra = WRONG;
}

/* Maps a second device over the same session, and gives both some time and IO. */
void user_two_devices(struct user *u)
{
	struct user other = { .lie = u->lie, .fd = -1 };
	int err;

	step("map another device");
	err = map(u->session, "liar2", opt.port, u->lie->options, u->lie->two_paths, other.device);
	if (err) {
		sh->extra = err;
		return;
	}
	for (int i = 0; i < 4; i++) {
		step("read both, round %d", i);
		if (!user_open(u))
			sh->read = user_read(u, 0, 65536, true);
		if (!user_open(&other))
			sh->reread = user_read(&other, 0, 65536, true);
		close(u->fd);
		close(other.fd);
		u->fd = -1;
		user_sleep(1000);
	}
	step("unmap the other device");
	sh->extra = unmap(other.device);
}

/* Writes to that file of all paths; the first error, ENOENT if there is no path. */
int user_paths_put(struct user *u, const char *file, const char *text)
{
	char pattern[200];
	int err = ENOENT;
	glob_t g;

	snprintf(pattern, sizeof(pattern), "/sys/class/rtrs-client/%.64s/paths/*/%.40s", u->session, file);
	if (glob(pattern, 0, NULL, &g))
		return ENOENT;
	for (size_t i = 0; i < g.gl_pathc; i++) {
		int e = user_put(g.gl_pathv[i], text);

		if (!i || (!err && e))
			err = e;
	}
	globfree(&g);
	return err;
}

/* Whether all paths are in that state. */
bool user_path_state(struct user *u, const char *state)
{
	char pattern[200], text[64];
	bool all = true;
	glob_t g;

	snprintf(pattern, sizeof(pattern), "/sys/class/rtrs-client/%.64s/paths/*/state", u->session);
	if (glob(pattern, 0, NULL, &g))
		return false;
	for (size_t i = 0; i < g.gl_pathc; i++) {
		int fd = open(g.gl_pathv[i], O_RDONLY);
		ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

		if (fd >= 0)
			close(fd);
		text[n > 0 ? n - 1 : 0] = 0;
		all &= !strcmp(text, state);
	}
	globfree(&g);
	return all;
}

/* Whether an honest server can be used at the same time. */
static int honest(void)
{
	struct user u = { .fd = -1 };
	char session[64];
	int err, gone;

	snprintf(session, sizeof(session), "honest%d", (int)getpid());
	step("honest: map");
	err = map(session, opt.honest, opt.honest_port, NULL, false, u.device);
	if (err) {
		snprintf(sh->why, sizeof(sh->why), "mapping the honest device: %s", strerror(err));
		return err;
	}
	step("honest: io");
	err = user_open(&u);
	if (!err)
		err = user_write(&u, 0, 65536);
	if (!err)
		err = user_read(&u, 0, 65536, true);
	if (u.fd >= 0)
		close(u.fd);
	if (err)
		snprintf(sh->why, sizeof(sh->why), "IO on the honest device: %d", err);
	step("honest: unmap");
	gone = unmap(u.device);
	if (gone && !err) {
		snprintf(sh->why, sizeof(sh->why), "unmapping the honest device: %s", strerror(gone));
		err = gone;
	}
	return err;
}

/* How many things of the session are still there. */
static int leftovers(const char *session)
{
	char file[200];
	int left = 0;

	snprintf(file, sizeof(file), "/sys/class/rtrs-client/%.64s", session);
	left += !access(file, F_OK);
	snprintf(file, sizeof(file), CTL "/devices/!liar@%.64s", session);
	left += !readlink(file, (char[2]){ 0 }, 1) ? 0 : !access(file, F_OK);
	return left;
}

void user_main(const struct lie *lie, int mode)
{
	struct user u = { .lie = lie, .fd = -1 };

	/* What the liar has open ends with the liar; and so does the user, who would be in the way of
	 * the next case.
	 */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	close_range(3, ~0u, 0);
	buf = aligned_alloc(4096, DISK_LEN);
	known = malloc(DISK_LEN);
	if (!buf || !known)
		_exit(3);
	memcpy(known, sh->disk, DISK_LEN);
	snprintf(u.session, sizeof(u.session), "liar_%.40s_%da", lie->name, mode);
	step("map");
	sh->map = map(u.session, "liar", opt.port, lie->options, lie->two_paths, u.device);
	if (sh->map == 0) {
		sh->armed = true;
		sh->unmap = 0;
		if (lie->user)
			lie->user(&u);
		else
			user_default(&u);
		if (u.fd >= 0) {
			step("close");
			close(u.fd);
		}
		step("unmap");
		if (u.device[0])
			sh->unmap = unmap(u.device);
	}
	sh->left = leftovers(u.session);
	sh->armed = false;
	sh->honest = honest();
	step("end");
	_exit(0);
}
