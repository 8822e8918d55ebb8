# SPDX-License-Identifier: GPL-2.0
"""One QEMU machine of the lab: starts it, reads its lines, answers its requests.

Used by vm.py. A machine has two serial lines (ttyS0 the kernel's console, ttyS1
the script's output), a virtio-serial control port that speaks the line
protocol of guest/init, and QEMU's own monitor. It is ended by its process only.
"""

import ctypes
import json
import os
import re
import signal
import socket
import subprocess
import time

import dmesg


def die_with_parent(how=signal.SIGKILL):
    """The calling process gets signal `how` when its parent ends, however that ends.

    QEMU calls it in the child, so that no machine outlives its runner.
    """
    ctypes.CDLL(None).prctl(1, how)  # PR_SET_PDEATHSIG


class Line:
    """One stream of lines from a machine, over a Unix socket QEMU connects to."""

    def __init__(self, path, handler):
        self.path, self.handler, self.pending, self.conn = path, handler, b"", None
        if os.path.exists(path):
            os.unlink(path)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(1)

    def feed(self, data):
        self.pending += data
        *lines, self.pending = self.pending.split(b"\n")
        for line in lines:
            self.handler(line.decode("utf-8", "replace").rstrip("\r"))

    def flush(self):
        if self.pending:
            self.feed(b"\n")

    def send(self, data):
        if self.conn:
            try:
                self.conn.sendall(data)
            except OSError:
                pass  # The machine is gone; its end is seen elsewhere.


class Machine:
    """A VM with its log; `on_control` gets what the control port says.

    `real_time`: its clock is to go as that of this machine.
    """

    def __init__(self, role, folder, command, log, show, on_control, real_time):
        self.role, self.folder, self.command = role, folder, command
        self.show, self.on_control, self.real_time = show, on_control, real_time
        self.log = open(log, "w", buffering=1, errors="replace")
        self.process, self.status, self.died = None, None, False
        self.console, self.kernel_log, self.allowed = [], [], []
        self.lines, self.qmp, self.reboots, self.expect_end = {}, None, 0, False
        self.bad_starts, self.start_again, self.judged = 0, False, None
        self.clock_is_fast, self.told = False, []
        self.started = self.began = time.monotonic()
        self.counts, self.failures, self.after_failure = [], [], False

    def write(self, text, visible=True):
        stamp = f"{time.monotonic() - self.started:8.2f} "
        self.log.write(stamp + text + "\n")
        if self.show and visible:
            print(f"{self.role}| {text}" if self.role else text, flush=True)

    def from_script(self, text):
        """A line of the script: logged, and its verdicts remembered."""
        self.write(text)
        if match := re.fullmatch(r"(\d+) passed, (\d+) failed", text):
            self.counts.append((int(match[1]), int(match[2])))
        if text.startswith("not ok ") or (self.after_failure and text.startswith("# ")):
            self.failures.append(text)
        self.after_failure = text.startswith("not ok ")

    def start(self, selector):
        """Starts QEMU and takes its connections; raises OSError if it does not come up."""
        def from_console(text):
            self.console.append(text)
            self.write(text)
            # Its clock has not been running for longer than its process.
            if self.real_time and (match := re.match(r"\[ *(\d+\.\d+)\] lab: init", text)):
                self.clock_is_fast = float(match[1]) > 1.2 * (time.monotonic() - self.began)

        self.lines = {
            "con": Line(f"{self.folder}/con", from_console),
            "out": Line(f"{self.folder}/out", self.from_script),
            "ctl": Line(f"{self.folder}/ctl", self.control),
            "qmp": Line(f"{self.folder}/qmp", lambda text: None),
        }
        self.status, self.died, self.kernel_log = None, False, []
        self.clock_is_fast, self.told, self.began = False, [], time.monotonic()
        self.process = subprocess.Popen(
            self.command, preexec_fn=die_with_parent, stdin=subprocess.DEVNULL,
            stdout=self.log, stderr=self.log,
        )
        for name, line in self.lines.items():
            line.listener.settimeout(0.5)
            while line.conn is None:
                try:
                    line.conn, _ = line.listener.accept()
                except TimeoutError:
                    if not self.alive():
                        raise SystemExit(f"QEMU did not start; see {self.log.name[5:]}") from None
            line.listener.close()
            if name != "qmp":
                line.conn.setblocking(True)
                selector.register(line.conn, 1, (self, line))
        self.lines["qmp"].conn.settimeout(60)
        self.qmp = self.lines["qmp"].conn.makefile("rw")
        self.qmp.readline()
        self.monitor("qmp_capabilities")

    def monitor(self, name, **arguments):
        """One QMP command; returns its answer, or None if there was no sane one."""
        try:
            self.qmp.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
            self.qmp.flush()
            while True:
                text = self.qmp.readline()
                if not text:
                    return None
                answer = json.loads(text)
                if "return" in answer or "error" in answer:
                    return answer
        except (OSError, ValueError, AttributeError):
            return None

    def human(self, command):
        """One command of QEMU's human monitor; returns what it printed."""
        answer = self.monitor("human-monitor-command", **{"command-line": command})
        return "no answer" if not answer else str(answer.get("return", answer.get("error"))).strip()

    def drop_waiting(self):
        """The peer has died: drops what waits for room in the socket to it.

        QEMU does so only when a machine is stopped. Else the first packet would wait for ever, and
        all others behind it, also when the peer is back.
        """
        self.monitor("stop")
        self.monitor("cont")

    def control(self, text):
        verb, _, rest = text.partition(" ")
        if self.start_again:
            return  # The words of a life that does not count.
        if verb == "hello":
            # No module of ours is loaded yet. A kernel that has complained so
            # far (an emulated CPU can be late for its timers) judges nothing
            # after that: KASAN and lockdep report once. One that has measured its clock
            # wrongly, because this machine is busy, breaks every connection in time.
            if (self.clock_is_fast or dmesg.findings(self.console)) and self.bad_starts < 2:
                self.bad_starts += 1
                self.start_again = True
        elif verb == "dmesg":
            self.kernel_log.append(rest)
        elif verb == "allow":
            self.allowed.append(rest)
        elif verb == "exit":
            self.status = int(rest) if re.fullmatch(r"\d+", rest) else 1
            self.on_control(self, "exit", rest)
        else:
            self.on_control(self, verb, rest)

    def tell(self, text):
        self.told.append(text)
        self.lines["ctl"].send(text.encode() + b"\n")

    def restart(self, selector):
        """Again from the start, as if the first start had not been."""
        why = "its clock is too fast" if self.clock_is_fast else "the kernel complained during its own start"
        self.write(f"[lab] {why}; it is started again", False)
        told = self.told
        self.kill()
        self.close()
        self.console, self.counts, self.failures, self.start_again = [], [], [], False
        self.start(selector)
        # The peer says nothing twice.
        for text in told:
            self.tell(text)

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def cpu_seconds(self):
        """Processor time that its present life has taken."""
        try:
            with open(f"/proc/{self.process.pid}/stat") as file:
                fields = file.read().rpartition(")")[2].split()
        except (AttributeError, OSError):
            return 0
        # utime and stime; proc(5) counts them from the process id.
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def blame(self, drain):
        """Before a hanging machine is killed: what are its tasks and CPUs doing?"""
        if not self.alive():
            return
        self.judged = len(self.console)
        for key in "wl":
            self.monitor("chardev-send-break", id="con")
            time.sleep(0.3)
            self.lines["con"].send(key.encode())
            drain(3)

    def kill(self):
        if self.alive():
            self.process.kill()
        if self.process:
            self.process.wait()

    def close(self):
        for line in self.lines.values():
            line.flush()
            if line.conn:
                line.conn.close()

    def verdict(self):
        """(status, findings): the log's judgement; writes the kernel log out."""
        complete = bool(self.kernel_log)
        # Not what was asked of a hanging kernel: that is full of call traces.
        lines = self.kernel_log if complete else self.console[: self.judged]
        # What went by on the console of an earlier life counts as well.
        if self.reboots:
            lines = self.console + lines
        if complete:
            self.log.write("==== kernel log ====\n" + "\n".join(self.kernel_log) + "\n==== end ====\n")
        bad = dmesg.findings(lines, self.allowed)
        if bad:
            self.log.write("==== kernel log: findings ====\n" + "\n".join(bad) + "\n")
        return bad, dmesg.with_context(lines, bad)
