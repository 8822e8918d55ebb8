# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A transcript that a person can follow: each command is printed before it runs,
# its output is indented. Sourced after guest.sh. The lines go to the transcript
# of scripts/demo.sh, which looks for their prefix.

# The status for the script to end with.
# shellcheck disable=SC2034
SHOW_STATUS=0

say() { printf '@%s \n@%s # %s\n' "$LAB_ROLE" "$LAB_ROLE" "$*"; }

# show COMMAND...: prints and runs it; a failure is remembered.
show() {
	printf '@%s %s\n' "$LAB_ROLE" "\$ $*"
	show_run "$@"
}

# show_write TEXT FILE: an echo into a file.
show_write() {
	printf '@%s %s\n' "$LAB_ROLE" "\$ echo \"$1\" > $2"
	show_run write_line "$1" "$2"
}

write_line() { echo "$1" >"$2"; }

show_quiet() { show_run "$@"; }

show_run() {
	local out=/tmp/show.$BASHPID status=0
	"$@" >"$out" 2>&1 || status=$?
	sed "s/^/@$LAB_ROLE     /" "$out"
	if [ "$status" != 0 ]; then
		printf '@%s     (failed with status %d)\n' "$LAB_ROLE" "$status"
		# shellcheck disable=SC2034
		SHOW_STATUS=1
	fi
}
