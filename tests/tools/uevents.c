// SPDX-License-Identifier: GPL-2.0
/*
 * What udev does with the events of mapped disks: listens to the kernel, and keeps links that
 * are named by the identity of the disk, as the rule in Documentation/sysfs.md does.
 *
 * usage: uevents DIR
 *
 * A line per event of a disk rnbd<N>: `<action> <disk>[ RESIZE=1][ identity=<text>]`. The
 * identity is what its file says when the event is received; if there is none, there is no such
 * word. DIR/rnbd-<identity> leads to the disk until it is removed. "ready" is the first line.
 */
#include <dirent.h>
#include <errno.h>
#include <linux/netlink.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXT_MAX 256

static void die(const char *what)
{
	fprintf(stderr, "uevents: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* identity_of - the one line of the disk's file; false if there is no such file now. */
static bool identity_of(const char *disk, char *text)
{
	char path[TEXT_MAX];
	FILE *file;

	snprintf(path, sizeof(path), "/sys/block/%s/rnbd/identity", disk);
	file = fopen(path, "r");
	if (!file)
		return false;
	if (!fgets(text, TEXT_MAX, file))
		text[0] = 0;
	text[strcspn(text, "\n")] = 0;
	fclose(file);
	return true;
}

/* unlink_all - removes every link to the disk. */
static void unlink_all(const char *dir, const char *target)
{
	char path[2 * TEXT_MAX], to[TEXT_MAX];
	struct dirent *entry;
	ssize_t len;
	DIR *links = opendir(dir);

	if (!links)
		die(dir);
	while ((entry = readdir(links))) {
		snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
		len = readlink(path, to, sizeof(to) - 1);
		if (len < 0)
			continue;
		to[len] = 0;
		if (!strcmp(to, target))
			unlink(path);
	}
	closedir(links);
}

static void handle(const char *dir, const char *action, const char *disk, bool resize)
{
	char identity[TEXT_MAX], path[3 * TEXT_MAX], target[TEXT_MAX];
	bool known = strcmp(action, "remove") && identity_of(disk, identity);

	snprintf(target, sizeof(target), "/dev/%s", disk);
	if (!strcmp(action, "remove"))
		unlink_all(dir, target);
	if (known && identity[0]) {
		snprintf(path, sizeof(path), "%s/rnbd-%s", dir, identity);
		unlink(path);
		if (symlink(target, path))
			die(path);
	}
	printf("%s %s%s%s%s\n", action, disk, resize ? " RESIZE=1" : "",
	       known ? " identity=" : "", known ? identity : "");
}

int main(int argc, char **argv)
{
	struct sockaddr_nl group = { .nl_family = AF_NETLINK, .nl_groups = 1 };
	char message[8192];
	int from;

	if (argc != 2) {
		fprintf(stderr, "usage: uevents DIR\n");
		return 2;
	}
	if (mkdir(argv[1], 0755) && errno != EEXIST)
		die(argv[1]);
	from = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);
	if (from < 0 || bind(from, (struct sockaddr *)&group, sizeof(group)))
		die("socket");
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("ready\n");
	for (;;) {
		const char *action = "", *disk = "", *word;
		bool resize = false, block = false, whole = false;
		ssize_t len = recv(from, message, sizeof(message) - 1, 0);

		if (len < 0 && errno == ENOBUFS)
			continue;
		if (len < 0)
			die("recv");
		message[len] = 0;
		for (word = message; word < message + len; word += strlen(word) + 1) {
			if (!strncmp(word, "ACTION=", 7))
				action = word + 7;
			else if (!strncmp(word, "DEVNAME=rnbd", 12))
				disk = word + 8;
			else if (!strcmp(word, "SUBSYSTEM=block"))
				block = true;
			else if (!strcmp(word, "DEVTYPE=disk"))
				whole = true;
			else if (!strcmp(word, "RESIZE=1"))
				resize = true;
		}
		if (block && whole && *action && *disk && strlen(disk) < 32)
			handle(argv[1], action, disk, resize);
	}
}
