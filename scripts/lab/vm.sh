#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# Runs test scripts in QEMU machines on the lab's kernels.
#
#   vm.sh run --name NAME [options] [--ko DIR]... [--file SRC:DST]... --script SCRIPT [-- ARG...]
#   vm.sh pair --name NAME [options] [--server-ko DIR]... [--client-ko DIR]...
#         [--server-file SRC:DST]... [--client-file SRC:DST]...
#         --server-script SCRIPT --client-script SCRIPT
#   vm.sh shell [options] [--ko DIR]... [--file SRC:DST]...
#   vm.sh probe      prints the accelerator that works on this machine
#
# options: --kernel stock|debug  --timeout SEC  --mem MB  --smp N  --append 'k=v ...'
#          --disk MIB (a disk /dev/vda, in a pair the server's; it outlives "peer kill")
#          --env NAME=VALUE (for the scripts)  --qemu 'ARG ...'  -v
#          --icount        for measuring: one CPU, one instruction is one nanosecond
#          --virtual-time  the same clock with --smp CPUs: timers expire by the VM's
#                          own progress, however slow or busy this machine is, and
#                          --timeout is processor time (twice that for a slow
#                          machine); not for pairs, whose clocks would drift apart
# pair:    --server-kernel, --client-kernel, --server-append, --client-append,
#          --grace SEC (how long the other may go on when one script has ended)
#
# --ko DIR: the *.ko in it can be loaded with modprobe. --file: DST is absolute
# and a program's libraries come with it. tests/vm/lib is at /lab/lib in the VM.
#
# Logs: build/logs/NAME.log (pair: NAME.server.log and NAME.client.log).
# The last line of the output adds up the scripts' own "N passed, N failed".
# Exit status: the script's (pair: the client's, else the server's) or
# 97 complaint in the kernel log, 98 a VM died, 99 the time was over.

. "$(dirname "$0")/lib.sh"

usage() {
	sed -n '/^#   vm.sh run/,/^# 97/s/^# \{0,1\}//p' "$0" >&2
	exit 2
}

[ $# -ge 1 ] || usage
MODE=$1
shift
case $MODE in run | pair | shell | probe) ;; *) usage ;; esac

NAME=$MODE
PASS=() ENVS=() KO=() FILES=() ARGS=()
declare -A SCRIPT=()
while [ $# -gt 0 ]; do
	case $1 in
	--name) NAME=$2; shift 2 ;;
	--ko) KO+=("server:$2" "client:$2" "vm:$2"); shift 2 ;;
	--server-ko) KO+=("server:$2"); shift 2 ;;
	--client-ko) KO+=("client:$2"); shift 2 ;;
	--file) FILES+=("server:$2" "client:$2" "vm:$2"); shift 2 ;;
	--server-file) FILES+=("server:$2"); shift 2 ;;
	--client-file) FILES+=("client:$2"); shift 2 ;;
	--script) SCRIPT[vm]=$2; shift 2 ;;
	--server-script) SCRIPT[server]=$2; shift 2 ;;
	--client-script) SCRIPT[client]=$2; shift 2 ;;
	--env) ENVS+=("$2"); shift 2 ;;
	--timeout | --grace | --mem | --disk | --smp | --kernel | --server-kernel | --client-kernel)
		PASS+=("$1" "$2")
		shift 2
		;;
	--append | --server-append | --client-append | --qemu)
		# Joined, because the value may begin with a dash.
		PASS+=("$1=$2")
		shift 2
		;;
	--icount | --virtual-time) PASS+=("$1"); shift ;;
	-v | --verbose) PASS+=(--verbose); shift ;;
	--) shift; ARGS=("$@"); break ;;
	*) usage ;;
	esac
done
[[ $NAME =~ ^[A-Za-z0-9._-]+$ ]] || die "a run's name is made of letters, digits, dots, dashes"

need_root
KV=$(kernel_release)
STAGE=$TOP/build/vm/$NAME

# stage ROLE: what this VM's overlay holds, below build/vm/NAME/ROLE.
stage() {
	local role=$1 dir=$STAGE/$1 entry src dst word found
	mkdir -p "$dir/lab/lib"
	cp -r "$TOP/tests/vm/lib/." "$dir/lab/lib/"
	if [ -n "${SCRIPT[$role]:-}" ]; then
		{
			printf '. /lab/env\n'
			if [ ${#ARGS[@]} != 0 ]; then
				printf 'set --'
				printf ' %q' "${ARGS[@]}"
				printf '\n'
			fi
			printf '. /lab/main\n'
		} >"$dir/lab/script"
		cp "${SCRIPT[$role]}" "$dir/lab/main"
	fi
	{
		printf 'export LAB_ROLE=%q LAB_NAME=%q\n' "$role" "$NAME"
		for word in "${ENVS[@]}"; do
			printf 'export %s=%q\n' "${word%%=*}" "${word#*=}"
		done
	} >"$dir/lab/env"
	for entry in "${KO[@]}"; do
		[ "${entry%%:*}" = "$role" ] || continue
		src=${entry#*:}
		mkdir -p "$dir/ko"
		found=$(find "$src/" -maxdepth 1 -name '*.ko' | wc -l)
		[ "$found" -gt 0 ] || die "$src holds no *.ko"
		cp "$src"/*.ko "$dir/ko/"
	done
	for entry in "${FILES[@]}"; do
		[ "${entry%%:*}" = "$role" ] || continue
		entry=${entry#*:}
		src=${entry%:*} dst=${entry##*:}
		[[ $dst == /* ]] || die "--file $entry: the destination must be absolute"
		# The VM has a merged /usr.
		case $dst in /bin/* | /sbin/* | /lib/*) dst=/usr$dst ;; esac
		mkdir -p "$(dirname "$dir$dst")"
		cp -rL "$src" "$dir$dst"
	done
}

case $MODE in
run) ROLES=(vm); [ -n "${SCRIPT[vm]:-}" ] || usage ;;
pair) ROLES=(server client); if [ -z "${SCRIPT[server]:-}" ] || [ -z "${SCRIPT[client]:-}" ]; then usage; fi ;;
shell) ROLES=(vm) ;;
probe) ROLES=() ;;
esac

mkdir -p "$TOP/build/vm" "$TOP/build/logs"
exec 7>"$TOP/build/vm/$NAME.lock"
flock -n 7 || die "a run named $NAME is going on in this clone"
rm -rf --one-file-system "$STAGE"
for role in "${ROLES[@]}"; do
	stage "$role"
done

# The runner is our child; it takes its machines with it when it ends.
status=0
if [ "$MODE" = shell ] || [ "$MODE" = probe ]; then
	in_root python3 -B /src/scripts/lab/vm.py "$MODE" --release "$KV" --name "$NAME" "${PASS[@]}" || status=$?
else
	in_root python3 -B /src/scripts/lab/vm.py "$MODE" --release "$KV" --name "$NAME" "${PASS[@]}" </dev/null &
	runner=$!
	trap 'kill $runner 2>/dev/null' TERM INT HUP
	while true; do
		wait "$runner" && status=0 || status=$?
		kill -0 "$runner" 2>/dev/null || break
	done
fi
rm -rf --one-file-system "$STAGE"
[ "$MODE" = run ] || [ "$MODE" = pair ] || rm -f "$STAGE.lock"
exit "$status"
