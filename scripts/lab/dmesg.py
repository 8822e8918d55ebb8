# SPDX-License-Identifier: GPL-2.0
"""Judges a kernel log: which lines of it make a run fail.

Used by machine.py on the log that every VM sends when its script is over (or
on what reached the console, when it died). A line fails a run when a rule of
BAD matches it and no rule of ALLOW, and none that the test itself announced.
"""

import re
import sys

# What a healthy kernel never prints. Words that also occur in the harmless
# start-up lines of a debug kernel ("Lock dependency validator", "kmemleak:
# Kernel memory leak detector initialized") are matched by the complaint only.
BAD = [
    r"\bBUG:",
    r"kernel BUG at",
    r"\bWARNING:",
    r"-+\[ cut here \]-+",
    r"\bOops\b",
    r"Call Trace:",
    r"Kernel panic",
    r"KASAN:",
    r"KCSAN:",
    r"UBSAN:",
    r"possible (recursive|circular|irq lock inversion|deadlock)",
    r"inconsistent lock state",
    r"bad unlock balance",
    r"held lock freed",
    r"suspicious RCU usage",
    r"lockdep is turned off",
    r"INFO: task .* blocked",
    r"INFO: trying to register non-static key",
    r"general protection",
    r"unable to handle (kernel )?(NULL|page|paging)",
    r"kmemleak: .*(suspected memory leak|disabled)",
    r"kmemleak: unreferenced object",
    r"^\S*unreferenced object 0x",
    r"refcount_t:",
    r"scheduling while atomic",
    r"sleeping function called from invalid context",
    r"soft lockup",
    r"hard LOCKUP",
    r"rcu:? .*(detected stalls?|self-detected stall|kthread starved)",
    r"workqueue lockup",
    r"ODEBUG:",
    r"(list_add|list_del) corruption",
    r"page allocation failure",
    r"rust_kernel: panicked",
    r"still has \d+ (users|objects)|Objects remaining",
    r"Unbalanced|use-after-free|double free",
    r"restrack: .*BUG",
    r"waiting for .* to become free",
]

# Lines that BAD would match and that are no fault of any module here. Each with
# the reason why it may pass; there is no other silent exception.
ALLOW: list[tuple[str, str]] = []

_BAD = re.compile("|".join(f"(?:{r})" for r in BAD))


def findings(lines, allowed=()):
    """The lines that make the run fail. `allowed`: regexes from the test."""
    passes = [re.compile(r) for r, _ in ALLOW] + [re.compile(r) for r in allowed]
    return [
        line
        for line in lines
        if _BAD.search(line) and not any(p.search(line) for p in passes)
    ]


def with_context(lines, bad, after=25, limit=120):
    """The findings, each with the lines that follow it (the call trace)."""
    wanted = set()
    marks = set(bad)
    for number, line in enumerate(lines):
        if line in marks:
            wanted.update(range(max(0, number - 2), min(len(lines), number + after)))
    return [lines[i] for i in sorted(wanted)][:limit]


if __name__ == "__main__":
    text = sys.stdin.read().splitlines()
    hits = findings(text, sys.argv[1:])
    print("\n".join(hits))
    sys.exit(1 if hits else 0)
