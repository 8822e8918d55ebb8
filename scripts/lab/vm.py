# SPDX-License-Identifier: GPL-2.0
"""Runs lab VMs. Called by vm.sh inside the lab root; see there for the usage.

Exit status: the script's own, or 97 when the kernel log holds a complaint,
98 when a VM died without an exit status, 99 when the time was over.
"""

import argparse
import fcntl
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import image
from machine import Machine, die_with_parent
from unpacked import unpacked

DMESG, DIED, TIMEOUT = 97, 98, 99
# With --virtual-time the limit is one of processor time, which a machine that hangs spends as
# well. A slow host may need so many times as much of it, and a busy one so many times as long.
SLOW_HOST, BUSY_HOST = 2, 6
# Boot options of every lab kernel. An oops ends the machine at once; the log is
# large enough for a whole run; the watchdogs wait long enough for an emulated
# CPU that shares its host with other work.
APPEND = (
    "console=ttyS0,115200 loglevel=5 panic=-1 oops=panic log_buf_len=4M printk.devkmsg=on "
    "sysrq_always_enabled mitigations=off tsc=reliable random.trust_cpu=on audit=0 apparmor=0 "
    "watchdog_thresh=30 rcupdate.rcu_cpu_stall_timeout=60"
)
# Not when instructions are counted: those figures are compared with others'.
# Memory that no one zeroes also shows whether our code does.
FAST = "init_on_alloc=0"
# An emulated "rep movsb" costs more than the loop the kernel has for old CPUs.
TCG_CPU = "max,-erms,-fsrm,-fzrm,-fsrs"


def qemu(opts, kernel, initrd, append, folder):
    """The command line of one machine, without its network."""
    accel, cpu = opts.accel, TCG_CPU
    if opts.icount:
        accel, cpu, opts.smp = "tcg,thread=single", "max", 1
    else:
        append = f"{FAST} {append}"
        if opts.virtual_time:
            accel = "tcg,thread=single"
    if accel == "kvm":
        cpu = "host"
    command = [
        "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-M", "q35", "-accel", accel,
        "-cpu", cpu, "-smp", str(opts.smp), "-m", str(opts.mem),
        "-display", "none", "-no-reboot", "-kernel", kernel, "-initrd", initrd,
        "-append", f"{APPEND} {append}".strip(),
    ]
    if opts.icount or opts.virtual_time:
        command += ["-icount", "shift=0,sleep=off"]
    if folder:
        for name in ("con", "out", "ctl", "qmp"):
            command += ["-chardev", f"socket,id={name},path={folder}/{name}"]
        command += [
            "-serial", "chardev:con", "-serial", "chardev:out", "-device", "virtio-serial-pci",
            "-device", "virtserialport,chardev=ctl,nr=1,name=ctl", "-mon", "chardev=qmp,mode=control",
        ]
    return command


def network(role, folder):
    """Two NICs; the server's end listens, so the client's reconnects to a reborn server.

    Without mergeable receive buffers virtio_net keeps no page pool. With one,
    rxe frees packets of a failed queue pair with interrupts off, which a page
    pool does not allow: a fault of the kernel's own that would end every test
    of a broken path on the debug kernel.
    """
    command = []
    for nic in range(2):
        side = "server=on" if role == "server" else "server=off,reconnect-ms=200"
        mac = f"52:54:00:00:0{nic}:0{1 if role == 'server' else 2}"
        command += [
            "-netdev", f"stream,id=n{nic},{side},addr.type=unix,addr.path={folder}/net{nic}",
            "-device", f"virtio-net-pci,netdev=n{nic},mac={mac},mrg_rxbuf=off,host_mtu=9000",
        ]
    return command


def disk(path, mib):
    """A disk that a killed and reborn machine finds as it was: /dev/vda.

    This machine keeps its power, so a flush need not wait for its real disk.
    """
    with open(path, "wb") as file:
        file.truncate(mib << 20)
    return ["-drive", f"file={path},format=raw,if=none,id=d0,cache=unsafe", "-device", "virtio-blk-pci,drive=d0"]


def kernel_of(kind, release):
    """(kernel image, module folder, release) of the stock or the debug kernel."""
    if kind == "stock":
        return f"/usr/lib/modules/{release}/vmlinuz", f"/usr/lib/modules/{release}", release
    with open(f"/cache/debug-{release}/release") as file:
        debug = file.read().strip()
    return f"/cache/debug-{release}/vmlinuz", f"/cache/debug-{release}/modules/lib/modules/{debug}", debug


NO_KVM = "tcg,thread=multi"


def accel_stamp():
    """Where it is remembered that KVM is of no use, until this machine boots again."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        return f"/cache/stamp/no-kvm-{file.read().strip()}"


def forgo_kvm(why):
    os.makedirs("/cache/stamp", exist_ok=True)
    with open(accel_stamp(), "w") as file:
        file.write(why)
    print(f"accelerator: tcg ({why})", file=sys.stderr)
    return NO_KVM


def probe_kvm(opts):
    """Does KVM run a guest here, and two at a time? Once it did not, it is not asked again.

    That it did before says little: where this machine is a virtual one itself, it may have moved.
    """
    if opts.virtual_time or opts.icount or os.path.exists(accel_stamp()):
        return NO_KVM
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return forgo_kvm("there is no KVM")
    kernel, modules, release = kernel_of("stock", opts.release)
    base = image.make_base("/cache/initramfs", modules, release)
    probe = argparse.Namespace(**{**vars(opts), "accel": "kvm"})
    command = [*qemu(probe, kernel, f"{base}/base.img", "lab.probe=1", None), "-serial", "stdio"]
    guests = [
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            preexec_fn=die_with_parent,
        )
        for _ in range(2)
    ]
    works = True
    for guest in guests:
        try:
            works &= b"@@lab-probe ok" in guest.communicate(timeout=20)[0]
        except subprocess.TimeoutExpired:
            guest.kill()
            guest.wait()
            works = False
    return "kvm" if works else forgo_kvm("KVM runs no guest here")


class Run:
    """One or two machines until both are done or the time is over."""

    def __init__(self, opts):
        self.opts, self.machines = opts, []
        self.selector = selectors.DefaultSelector()
        self.folder = tempfile.mkdtemp(prefix="rnbd-vm-")
        self.deadline = time.monotonic() + opts.timeout * (BUSY_HOST if opts.virtual_time else 1)
        self.peer_end = None

    def add(self, role, kind, append):
        opts, tag = self.opts, f"-{role}" if role else ""
        kernel, modules, release = kernel_of(kind, opts.release)
        os.makedirs("/cache/initramfs", exist_ok=True)
        with open("/cache/initramfs/lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            base = image.make_base("/cache/initramfs", modules, release)
            if opts.accel != "kvm" and not opts.icount:
                kernel = unpacked(kernel, "/cache/unpacked", release)
        initrd = f"{self.folder}/initrd{tag}"
        image.append_overlay(base, release, f"/src/build/vm/{opts.name}/{role or 'vm'}", initrd)
        folder = f"{self.folder}/vm{tag}"
        os.mkdir(folder)
        command = qemu(opts, kernel, initrd, f"{opts.append} {append}", folder)
        if role:
            command += network(role, self.folder)
        if opts.disk and role != "client":
            command += disk(f"{self.folder}/disk{tag}", opts.disk)
        command += opts.qemu
        log = f"/src/build/logs/{opts.name}{'.' + role if role else ''}.log"
        real_time = not (opts.icount or opts.virtual_time)
        machine = Machine(role, folder, command, log, opts.verbose, self.on_control, real_time)
        machine.start(self.selector)
        self.machines.append(machine)

    def peer(self, machine):
        return next((m for m in self.machines if m is not machine), None)

    def on_control(self, machine, verb, rest):
        peer = self.peer(machine)
        if verb == "signal" and peer:
            peer.tell(f"signal {rest}")
        elif verb == "exit":
            machine.write(f"[lab] exit {rest}")
            if peer and peer.status is None:
                peer.tell(f"signal peer-exit {rest}")
                self.peer_end = time.monotonic() + self.opts.grace
        elif verb == "host":
            sequence, _, command = rest.partition(" ")
            machine.write(f"[lab] host: {command}")
            machine.tell(f"reply {sequence} {self.host(machine, peer, command.split())}")

    def host(self, machine, peer, words):
        """What a script may ask of the host: its own links, and its peer's life."""
        match words:
            case ["link", nic, "on" | "off" as state]:
                return machine.human(f"set_link {nic} {state}") or "ok"
            case ["peer", "link", nic, "on" | "off" as state] if peer:
                return peer.human(f"set_link {nic} {state}") or "ok"
            case ["peer", "freeze"] if peer:
                return "ok" if peer.monitor("stop") else "failed"
            case ["peer", "thaw"] if peer:
                return "ok" if peer.monitor("cont") else "failed"
            case ["peer", "kill"] if peer:
                peer.write("[lab] killed by its peer")
                peer.expect_end = True
                peer.kill()
                machine.drop_waiting()
                return "ok"
            case ["peer", "boot"] if peer and not peer.alive():
                self.forget(peer)
                peer.reboots += 1
                peer.expect_end = False
                peer.start(self.selector)
                return "ok"
        return "unknown"

    def forget(self, machine):
        for line in machine.lines.values():
            # A line that ended by itself has been taken out already.
            if line.conn and line.conn.fileno() in {k.fd for k in self.selector.get_map().values()}:
                self.selector.unregister(line.conn)
        machine.close()

    def drain(self, seconds, until=lambda: False):
        """Takes in what the machines say for so long, or until all have hung up."""
        end = time.monotonic() + seconds
        while self.selector.get_map() and (left := end - time.monotonic()) > 0 and not until():
            for key, _ in self.selector.select(left):
                machine, line = key.data
                if line.conn.fileno() < 0:
                    continue  # Closed by what another machine just asked for.
                try:
                    data = line.conn.recv(65536)
                except OSError:
                    data = b""
                if data:
                    line.feed(data)
                else:
                    self.selector.unregister(line.conn)
                    line.flush()

    def done(self):
        return all(m.status is not None or m.expect_end for m in self.machines)

    def late(self):
        now, opts = time.monotonic(), self.opts
        if now > self.deadline or (self.peer_end and now > self.peer_end):
            return True
        return opts.virtual_time and any(m.cpu_seconds() > opts.timeout * SLOW_HOST for m in self.machines)

    def lost(self):
        return any(m.status is None and not m.expect_end and not m.alive() for m in self.machines)

    def loop(self):
        while True:
            self.drain(0.5, lambda: self.done() or self.lost() or any(m.start_again for m in self.machines))
            for machine in self.machines:
                if machine.start_again:
                    print(f"{machine.log.name[5:]}: the kernel's own start went wrong, once more", file=sys.stderr)
                    machine.kill()
                    if (peer := self.peer(machine)) and peer.alive():
                        peer.drop_waiting()
                    self.forget(machine)
                    machine.restart(self.selector)
            if self.done():
                return 0
            if self.lost():
                # Nothing may be lost of what a dying kernel said.
                self.drain(1)
                if self.lost():
                    return DIED
            if self.late():
                for machine in self.machines:
                    if machine.status is None:
                        machine.write("[lab] the time is over; blocked tasks and busy CPUs follow")
                        machine.blame(self.drain)
                return TIMEOUT

    def finish(self, how):
        """Ends the machines, judges their logs, returns the run's status."""
        status = next((m.status for m in reversed(self.machines) if m.status), 0) or how
        if how in (DIED, TIMEOUT):
            status = how
        for machine in self.machines:
            machine.kill()
        self.drain(0.2)
        for machine in self.machines:
            self.forget(machine)
            bad, context = machine.verdict()
            if bad:
                print(f"{machine.log.name[5:]}: {len(bad)} complaints in the kernel log:", file=sys.stderr)
                print("\n".join(context), file=sys.stderr)
                status = status or DMESG
            if machine.status is None:
                word = "the time was over" if how == TIMEOUT else "the VM died"
                print(f"{self.opts.name} {machine.role}: {word}, see {machine.log.name[5:]}", file=sys.stderr)
            machine.log.write(f"[lab] run status {status}\n")
        self.report()
        return status

    def report(self):
        """The failed checks (unless they were seen live) and the counts of all scripts."""
        for machine in self.machines:
            for text in [] if self.opts.verbose else machine.failures:
                print(f"{machine.role}| {text}" if machine.role and text[0] != "#" else text)
        counts = [count for machine in self.machines for count in machine.counts]
        if counts:
            print("{} passed, {} failed".format(*(sum(column) for column in zip(*counts))), flush=True)

    def close(self):
        for machine in self.machines:
            machine.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("mode", choices=["run", "pair", "shell", "probe"])
    parser.add_argument("--release", required=True)
    parser.add_argument("--name", default="vm")
    parser.add_argument("--timeout", type=float, default=300)
    parser.add_argument("--grace", type=float, default=30)
    parser.add_argument("--mem", type=int, default=2048)
    parser.add_argument("--smp", type=int, default=2)
    parser.add_argument("--kernel", default="stock")
    parser.add_argument("--server-kernel")
    parser.add_argument("--client-kernel")
    parser.add_argument("--append", default="")
    parser.add_argument("--server-append", default="")
    parser.add_argument("--client-append", default="")
    parser.add_argument("--qemu", action="append", default=[])
    parser.add_argument("--disk", type=int, default=0)
    parser.add_argument("--icount", action="store_true")
    parser.add_argument("--virtual-time", action="store_true")
    parser.add_argument("--verbose", action="store_true")
    opts = parser.parse_args()
    opts.qemu = [word for text in opts.qemu for word in text.split()]
    os.makedirs("/cache/initramfs", exist_ok=True)
    opts.accel = probe_kvm(opts)
    if opts.mode == "probe":
        print(opts.accel)
        return 0
    # vm.sh's own end is ours: leave through the clean-up below.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    die_with_parent(signal.SIGTERM)
    os.makedirs("/src/build/logs", exist_ok=True)
    if opts.mode == "shell":
        return shell(opts)
    try:
        status, spoke = attempt(opts)
    except SystemExit as end:
        # A QEMU that did not even start says so in words.
        if opts.accel != "kvm" or not isinstance(end.code, str):
            raise
        status, spoke = DIED, False
    if opts.accel == "kvm" and status in (DIED, TIMEOUT) and not spoke:
        opts.accel = forgo_kvm("KVM ran a guest, and then did not")
        status, _ = attempt(opts)
    return status


def attempt(opts):
    """One run: its status, and whether every machine has come as far as our own init."""
    run = Run(opts)
    try:
        if opts.mode == "run":
            run.add("", opts.kernel, "")
        else:
            run.add("server", opts.server_kernel or opts.kernel, opts.server_append)
            run.add("client", opts.client_kernel or opts.kernel, opts.client_append)
        status = run.finish(run.loop())
        return status, all(any("lab: init" in text for text in m.console) for m in run.machines)
    finally:
        run.close()


def shell(opts):
    """One interactive machine on this terminal; Ctrl-a x ends it."""
    kernel, modules, release = kernel_of(opts.kernel, opts.release)
    base = image.make_base("/cache/initramfs", modules, release)
    with tempfile.TemporaryDirectory(prefix="rnbd-vm-") as folder:
        initrd = f"{folder}/initrd"
        image.append_overlay(base, release, f"/src/build/vm/{opts.name}/vm", initrd)
        command = qemu(opts, kernel, initrd, f"{opts.append} lab.shell=1", None)
        words = [*command, "-serial", "mon:stdio", *opts.qemu]
        return subprocess.run(words, preexec_fn=die_with_parent).returncode


if __name__ == "__main__":
    sys.exit(main())
