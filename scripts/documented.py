# SPDX-License-Identifier: GPL-2.0
"""Says where the documents and the sources contradict each other; silent if they do not.

What administrators rely on is compared in both directions: files in sysfs and their modes,
module parameters and their defaults, trace points and their fields, lines of the kernel log. And
what `Documentation/hardening.md` names as a proof must be there, and every file that is named. Each
file in sysfs, parameter and trace point also has to occur in a script of `tests/vm`.

usage: scripts/documented.py   (in the root of the tree)
"""

import glob
import os
import re
import sys

WRONG = []


def wrong(text):
    WRONG.append(text)


def read(*patterns):
    """The text of all files that match, without comments of a whole line."""
    files = sorted(f for p in patterns for f in glob.glob(p, recursive=True))
    if not files:
        wrong(f"{patterns}: no such file; mend scripts/documented.py")
    return "\n".join(re.sub(r"(?m)^\s*//.*$", "", open(f).read()) for f in files)


def sections(path, level):
    """The parts of a document, by the beginnings of their headings."""
    parts = re.split(r"(?m)^#{%d} (.*)$" % level, open(path).read())
    return dict(zip(parts[1::2], parts[2::2]))


def rows(text):
    """Rows of the tables of a text, as lists of cells."""
    for line in text.splitlines():
        if line.startswith("|") and not line.startswith("|--"):
            yield [cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def words(cell):
    return re.findall(r"`([^`]+)`", cell)


def tested(*names):
    """The names that no script of the tests knows."""
    text = "\n".join(open(f).read() for f in glob.glob("tests/vm/**/*.sh", recursive=True))
    for name in names:
        if not re.search(r"\b%s\b" % name, text):
            wrong(f"tests/vm: nothing about {name}")


# --- files in sysfs --------------------------------------------------------------------

# The beginning of a heading of sysfs.md, and the sources of what is described below it.
SYSFS = {
    "Client: `/sys/class/rnbd-client": ("rnbd_client/control_files.rs",),
    "A mapped disk": ("rnbd_client/files.rs", "rnbd_client/stats.rs"),
    "Server: `/sys/class/rnbd-server/ctl/listen": ("rnbd_server/listen.rs",),
    "Server: `/sys/class/rnbd-server/ctl/devices": (
        "rnbd_server/export.rs", "rnbd_server/mapping.rs", "rnbd_server/stats.rs"),
    "Client, transport": ("rtrs/client/sysfs.rs", "rtrs/client/stats.rs", "rtrs/core/heartbeat.rs"),
    "Server, transport": ("rtrs/server/sysfs.rs", "rtrs/server/stats.rs", "rtrs/core/heartbeat.rs"),
}


def sysfs():
    parts = sections("Documentation/sysfs.md", 2)
    for begin, sources in SYSFS.items():
        text = next((head + body for head, body in parts.items() if head.startswith(begin)), None)
        if text is None:
            wrong(f"sysfs.md: no heading begins with {begin}")
            continue
        code = read(*sources)
        files = dict.fromkeys(re.findall(r'(?:name:|read_write\(|: &\'static CStr =)\s*c"(\w+)"', code), "0644")
        files |= dict.fromkeys(re.findall(r'read_only\(\s*c"(\w+)"', code), "0444")
        # Records of the server's transport say in the next line whether they can be written.
        for name in re.findall(r'name: c"(\w+)",\s*show: [^,]*(?:\{[^}]*\}[^,]*)?,\s*store: None', code):
            files[name] = "0444"
        tested(*files)
        described = {}
        for row in rows(text):
            mode = row[1] if len(row) > 1 and re.fullmatch(r"0[46]44", row[1]) else None
            for name in words(row[0]):
                described[name.rstrip("/").split("/")[-1]] = mode
        for name, mode in files.items():
            if name not in described and not re.search(r"`[^`\n]*\b%s`" % name, text):
                wrong(f"sysfs.md, {begin}: nothing about {name}")
            elif described.get(name) not in (None, mode):
                wrong(f"sysfs.md, {begin}: {name} has mode {mode}")
        for name, mode in described.items():
            if mode and name not in files:
                wrong(f"sysfs.md, {begin}: there is no {name}")


# --- module parameters -------------------------------------------------------------------

PARAMS = {
    "rtrs_server": "rtrs/server/params.rs",
    "rtrs_client": "rtrs/client/params.rs",
    "rnbd_server": "rnbd_server/params.rs",
}


def parameters():
    text = open("Documentation/operations.md").read()
    described = {}
    for row in rows(text):
        if len(row) == 4 and row[0].startswith("`r"):
            for module in words(row[0]):
                for name, default in zip(words(row[1]), row[2].split(", ")):
                    described[module, name] = default.strip("`")
    for module, source in PARAMS.items():
        found = re.findall(r'^    "(\w+)",\s*"([^"]*)"', read(source), re.M)
        tested(*(name for name, _ in found))
        for name, about in found:
            default = re.search(r"\(default: ([^)]*)\)", about)
            got = described.pop((module, name), None)
            if not default or got != default[1]:
                wrong(f"operations.md: {module}.{name} has default {default and default[1]}, not {got}")
    for module, name in described:
        wrong(f"operations.md: {module} has no parameter {name}")


# --- trace points --------------------------------------------------------------------------

def traces():
    described = {}
    for row in rows(open("Documentation/operations.md").read()):
        if len(row) == 3 and words(row[0]):
            names, system = words(row[0]), words(row[0])[0].split(":")[0]
            for name in names:
                described[f"{system}:{name.split(':')[-1]}"] = row[2]
    for header in sorted(glob.glob("rust/helpers/*_trace.h")):
        code = open(header).read()
        system = re.search(r"define TRACE_SYSTEM (\w+)", code)[1]
        fields = {}
        for kind, body in re.findall(r"(?s)\n(TRACE_EVENT|DEFINE_EVENT|DECLARE_EVENT_CLASS)\((.*?)\n\);", code):
            names = re.match(r"(\w+),\s*(\w+)?", body)
            # An event of a class has that one's fields.
            name = names[2] if kind == "DEFINE_EVENT" else names[1]
            own = re.findall(r"__(field|array|string)\(([^)]*)\)", body)
            fields[name] = fields.get(names[1], []) + [args.split(",")[how != "string"].strip() for how, args in own]
            if kind == "DECLARE_EVENT_CLASS":
                continue
            tested(name)
            row = described.get(f"{system}:{name}")
            if row is None:
                wrong(f"operations.md: no trace point {system}:{name}")
                continue
            for field in fields[name]:
                if field not in row and "the same" not in row:
                    wrong(f"operations.md: {system}:{name} has a field {field}")


# --- the kernel log --------------------------------------------------------------------------

LOG = ("rnbd_client/**/*.rs", "rnbd_server/**/*.rs", "rtrs/**/*.rs", "rust/**/*.rs")


def log():
    text = open("Documentation/operations.md").read().partition("## What the log says")[2]
    spans = words(text.replace("\n", " "))
    lines = re.findall(r'(?:pr_(?:err|warn|info|notice)!|(?:warn|err|info)_limited!|self\.report)\(\s*"((?:[^"\\]|\\.)*)"', read(*LOG))
    for source in ("rtrs/client/fault.rs", "rtrs/server/reason.rs"):
        lines += re.findall(r'(?:=>|write_str\(|write!\(f,)\s*"([^"]*)"', read(source))
    for line in lines:
        line = line.replace("\\n", "").replace("\\\n", "")
        pieces = [p for p in re.split(r"\{[^}]*\}", line) if re.search(r"\w{2}", p)]
        pattern = ".*".join(re.escape(p.strip(" :")) for p in pieces)
        if pieces and not any(re.search(pattern, span) for span in spans):
            wrong(f"operations.md: the log may say: {line}")


# --- proofs ------------------------------------------------------------------------------------

def kinds():
    """For each kind of proof a function that says what is missing of the names in `proof`."""
    host = set(re.findall(r"#\[test\]\s*(?:#\[.*\]\s*)*fn (\w+)\s*\(", read("tests/host/**/*.rs")))
    hostile = set(re.findall(r'^\t\{ "([\w-]+)",', read("tests/hostile/*.c"), re.M))
    liar = set(re.findall(r'\.name = "([\w-]+)"', read("tests/hostile_server/*.c")))

    def vm(proof):
        """Files, and behind each the descriptions of checks in it, which are whole strings there."""
        text = ""
        for name, quoted in re.findall(r'`([^`]+)`|"([^"]+)"', proof):
            if name and not os.path.exists(f"tests/vm/{name}"):
                yield name
            elif name:
                text = read(f"tests/vm/{name}", f"tests/vm/{os.path.dirname(name)}/*.rs" if "/" in name else f"tests/vm/{name}")
            elif not re.search(r'(?<!\\)c?"%s(\\n)?"' % re.escape(quoted), text):
                yield f'"{quoted}"'

    def types(proof):
        """Definitions with their file, and behind it words that have to occur there."""
        parts = re.split(r"((?:`\w+`, )*`\w+`) \(`([^`]+)`\)", proof)
        if len(parts) < 4:
            yield f"file for it in '{proof}'"
        for names, path, rest in zip(parts[1::3], parts[2::3], parts[3::3]):
            if not os.path.exists(path):
                yield path
                continue
            code = read(path)
            for name in words(names):
                if not re.search(r"\b(struct|enum|trait|type|fn|impl|macro_rules!) %s\b" % name, code):
                    yield name
            for name in words(rest):
                if not re.search(r"(?<!\w)%s(?!\w)" % re.escape(name), code):
                    yield f"{name} in {path}"

    return {
        "hostile-server": lambda proof: (n for n in words(proof) if n not in liar),
        "hostile": lambda proof: (n for n in words(proof) if n not in hostile),
        "host": lambda proof: (n for n in words(proof) if n not in host),
        "compile_fail": lambda proof: (n for n in words(proof) if not os.path.exists(f"tests/compile_fail/{n}.rs")),
        "vm": vm,
        "type": types,
    }


# How many weak points the specifications count.
WEAK = {"rtrs S": 34, "rtrs C": 14, "rtrs L": 19, "rnbd S": 27, "rnbd C": 20}


def proofs():
    missing = kinds()
    left = {f"{kind}{number}" for kind, most in WEAK.items() for number in range(1, most + 1)}
    for row in rows(open("Documentation/hardening.md").read()):
        if len(row) != 4 or row[0] == "id":
            continue
        if row[0] != "-" and row[0] not in left:
            wrong(f"hardening.md: {row[0]}: not in the specifications, or twice")
        left.discard(row[0])
        if row[3] == "`open`":
            wrong(f"hardening.md: {row[0]} is open: {row[1]}")
            continue
        for proof in re.split(r"; ", row[3]):
            kind = re.match(r"[\w-]+", proof)
            if not kind or kind[0] not in missing:
                wrong(f"hardening.md: {row[0]}: what kind of proof is '{proof}'?")
                continue
            if not words(proof):
                wrong(f"hardening.md: {row[0]}: '{proof}' names nothing")
            for name in missing[kind[0]](proof):
                wrong(f"hardening.md: {row[0]}: there is no {kind[0]} {name}")
    for name in sorted(left):
        wrong(f"hardening.md: no row for {name}")


# --- files of the tree ---------------------------------------------------------------------------

def paths():
    """Files, suites' scripts among them, that a document names."""
    for document in ["README.md", *sorted(glob.glob("Documentation/*.md"))]:
        text = open(document).read()
        named = [w for w in words(text) if re.fullmatch(r"[\w./-]+\.(rs|sh|py|c|h|md|config)", w)]
        for name in named + re.findall(r"\]\(([^)#]+)", text):
            if not any(os.path.exists(os.path.join(d, name)) for d in (".", "Documentation", "tests/vm")):
                wrong(f"{document}: there is no {name}")


for check in (sysfs, parameters, traces, log, proofs, paths):
    check()
print("\n".join(WRONG), end="\n" if WRONG else "")
sys.exit(bool(WRONG))
