# SPDX-License-Identifier: GPL-2.0
"""Makes the initial RAM file systems of lab VMs. Runs inside the lab root.

Two parts: a base per kernel (programs with their libraries, kernel modules),
kept in the cache, and a small overlay per run (script, library, freshly built
modules), appended to it. The kernel unpacks one after the other.

usage: image.py base CACHE_DIR MODULES_DIR RELEASE   (prints the base's folder)
"""

import hashlib
import lzma
import os
import re
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))

PROGRAMS = """
bash ip tc ss rdma ethtool bridge fio strace stress-ng
mkfs.ext4 chattr e2fsck fsck.ext4 tune2fs dumpe2fs debugfs resize2fs mkfs.xfs xfs_repair
sfdisk partx lsblk blkdiscard blockdev blkid losetup mount umount findmnt mkswap swapon swapoff
fsfreeze flock setsid taskset unshare nsenter dmesg stdbuf
kmod modprobe insmod rmmod lsmod modinfo depmod
comm dd stat timeout truncate sleep date tail head sort seq shuf nproc od sha256sum cmp diff
chmod install cp df du sync wc cut tr tee env readlink realpath mktemp mkfifo
grep sed mawk awk find xargs
dmsetup mdadm lvm keyctl
ibv_devinfo ibv_devices rping ucmatose
""".split()

# Modules that every VM can load; what they depend on comes with them. One that
# this kernel neither has nor has built in is left out and named in the log.
MODULES = """
ib_core ib_uverbs ib_umad ib_cm iw_cm rdma_cm rdma_ucm rdma_rxe siw
dummy veth virtio_net virtio_blk virtio_pci virtio_console virtio_scsi
bridge sch_netem sch_prio sch_htb sch_ingress cls_u32 cls_matchall act_mirred
nft_compat nf_tables
brd null_blk loop zram nbd ublk_drv scsi_debug sd_mod
ext4 xfs configfs dm-mod dm-delay dm-flakey dm-log-writes dm-crypt dm-snapshot raid1 raid0
nvme nvme-rdma nvmet nvmet-rdma nvme-fabrics
xts cbc ecb essiv crc32c_generic crc32c-intel aesni-intel sha256_generic
tun 9pnet_virtio 9p
""".split()

FILES = """
/etc/ld.so.cache /etc/ld.so.conf /etc/passwd /etc/group /etc/nsswitch.conf /etc/services
/etc/libibverbs.d/rxe.driver /etc/libibverbs.d/siw.driver /etc/mke2fs.conf
/usr/share/terminfo/l/linux
""".split()


def run(*command, **options):
    return subprocess.run(command, check=True, **options)


def usr(path):
    """The path in a merged /usr: /lib/x and /bin/x are /usr/lib/x and /usr/bin/x."""
    return re.sub(r"^/(bin|sbin|lib|lib64)/", r"/usr/\1/", path)


def is_elf(path):
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"


def libraries(path):
    """The shared objects a program or library needs, as the loader resolves them."""
    out = subprocess.run(["ldd", path], capture_output=True, text=True).stdout
    return re.findall(r"(/\S+) \(0x", out)


def copy_program(path, tree):
    """Copies a program (through symbolic links) with all the libraries it needs."""
    path = usr(path)
    target = tree + path
    if os.path.lexists(target):
        return
    real = os.path.realpath(path)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if real != path and os.path.dirname(real) == os.path.dirname(path):
        os.symlink(os.path.basename(real), target)
        copy_program(real, tree)
        return
    shutil.copy2(real, target)
    if is_elf(real):
        for library in libraries(real):
            copy_program(library, tree)


def copy_libraries_of(tree, base_files):
    """Adds to an overlay what its own programs need and the base lacks."""
    for folder, _, names in os.walk(tree):
        for name in names:
            path = os.path.join(folder, name)
            if name.endswith(".ko") or os.path.islink(path) or not is_elf(path):
                continue
            for library in libraries(path):
                if usr(library) not in base_files:
                    copy_program(library, tree)


def parse_depends(path):
    """modules.dep: normalised module name -> (file, files it needs)."""
    table = {}
    with open(path) as file:
        for line in file:
            name, needs = line.rstrip("\n").split(":", 1)
            key = re.sub(r"\.ko(\.\w+)?$", "", os.path.basename(name)).replace("-", "_")
            table[key] = (name, needs.split())
    return table


def soft_needs(modules_dir):
    """modules.softdep: normalised name -> names that should be there too."""
    table = {}
    path = os.path.join(modules_dir, "modules.softdep")
    if os.path.exists(path):
        with open(path) as file:
            for line in file:
                words = line.split()
                if len(words) > 2 and words[0] == "softdep":
                    names = [w for w in words[2:] if w not in ("pre:", "post:")]
                    table.setdefault(words[1].replace("-", "_"), []).extend(names)
    return table


def copy_modules(modules_dir, tree, release):
    """The chosen modules, unpacked (they are packed again with the image)."""
    table = parse_depends(os.path.join(modules_dir, "modules.dep"))
    soft = soft_needs(modules_dir)
    with open(os.path.join(modules_dir, "modules.builtin")) as file:
        builtin = {os.path.basename(l.strip())[:-3].replace("-", "_") for l in file}
    target = os.path.join(tree, "usr/lib/modules", release)
    os.makedirs(target)
    wanted, queue, absent = set(), list(MODULES), []
    while queue:
        name = queue.pop().replace("-", "_")
        if name not in table:
            if name not in builtin:
                absent.append(name)
            continue
        file, needs = table[name]
        for path in [file, *needs]:
            if path not in wanted:
                wanted.add(path)
                queue += soft.get(re.sub(r"\.ko(\.\w+)?$", "", os.path.basename(path)).replace("-", "_"), [])
    for path in wanted:
        source = os.path.join(modules_dir, path)
        out = os.path.join(target, re.sub(r"\.(xz|gz|zst)$", "", path))
        os.makedirs(os.path.dirname(out), exist_ok=True)
        if path.endswith(".xz"):
            with lzma.open(source) as packed, open(out, "wb") as plain:
                shutil.copyfileobj(packed, plain)
        else:
            shutil.copy2(source, out)
            if not path.endswith(".ko"):
                raise SystemExit(f"{path}: a packing that image.py does not know")
    for name in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
        source = os.path.join(modules_dir, name)
        if os.path.exists(source):
            shutil.copy2(source, target)
    run("depmod", "-b", os.path.join(tree, "usr"), release)
    print(f"{len(wanted)} modules; not in this kernel: {' '.join(sorted(absent)) or 'none'}", file=sys.stderr)


def skeleton(tree):
    for folder in "usr/bin usr/sbin usr/lib usr/lib64 etc dev proc sys run tmp root mnt var/tmp lab".split():
        os.makedirs(os.path.join(tree, folder), exist_ok=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        os.symlink(f"usr/{name}", os.path.join(tree, name))
    os.symlink("/proc/mounts", os.path.join(tree, "etc/mtab"))
    os.symlink("/run", os.path.join(tree, "var/run"))


def pack(tree, out):
    """A newc archive of the tree. Not compressed: unpacking is what costs an
    emulated CPU most of its start (10 of 24 seconds on the debug kernel)."""
    names = subprocess.Popen(["find", ".", "-print0"], cwd=tree, stdout=subprocess.PIPE)
    cpio = subprocess.Popen(
        ["cpio", "-0", "-o", "-H", "newc", "-R", "0:0", "--quiet"],
        cwd=tree, stdin=names.stdout, stdout=open(out, "wb"),
    )
    if cpio.wait() or names.wait():
        raise SystemExit("cpio failed")


def base_key(modules_dir, release):
    """Everything a base depends on, in one word."""
    digest = hashlib.sha256(release.encode())
    for path in (
        os.path.abspath(__file__), os.path.join(HERE, "guest/init"), "/var/lib/dpkg/status",
        os.path.join(modules_dir, "modules.dep"), os.path.join(modules_dir, "modules.order"),
    ):
        with open(path, "rb") as file:
            digest.update(hashlib.sha256(file.read()).digest())
    for stamp in ("modules.dep", "modules.builtin"):
        digest.update(str(os.stat(os.path.join(modules_dir, stamp)).st_mtime_ns).encode())
    return digest.hexdigest()[:12]


def make_base(cache, modules_dir, release):
    """Makes the base image unless it is there; returns its folder."""
    out = os.path.join(cache, f"{release}-{base_key(modules_dir, release)}")
    if os.path.exists(out):
        return out
    print(f"initramfs for {release} ...", file=sys.stderr)
    work = f"{out}.tmp{os.getpid()}"
    shutil.rmtree(work, ignore_errors=True)
    try:
        fill_base(work, modules_dir, release)
        os.rename(work, out)
        for name in os.listdir(cache):
            # Bases that nothing asks for any more; a run may still use a young one.
            path = os.path.join(cache, name)
            if name.startswith(release + "-") and os.stat(path).st_mtime < time.time() - 86400:
                shutil.rmtree(path, ignore_errors=True)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return out


def fill_base(work, modules_dir, release):
    """The base image, the list of its files and its modules, into `work`."""
    tree = os.path.join(work, "tree")
    skeleton(tree)
    for program in PROGRAMS:
        path = shutil.which(program)
        if path is None:
            print(f"the lab root has no {program}", file=sys.stderr)
        else:
            copy_program(path, tree)
    for path in FILES:
        if os.path.exists(path):
            os.makedirs(os.path.dirname(tree + path), exist_ok=True)
            shutil.copy2(path, tree + path)
    for folder, pattern in (("/usr/lib/x86_64-linux-gnu/libibverbs", r"lib(rxe|siw)-"),):
        for name in os.listdir(folder):
            if re.match(pattern, name):
                copy_program(os.path.join(folder, name), tree)
    shutil.copy2(shutil.which("busybox"), os.path.join(tree, "usr/bin/busybox"))
    for applet in subprocess.run(["busybox", "--list"], capture_output=True, text=True).stdout.split():
        if not any(os.path.lexists(os.path.join(tree, d, applet)) for d in ("usr/bin", "usr/sbin")):
            os.symlink("busybox", os.path.join(tree, "usr/bin", applet))
    shutil.copy2(os.path.join(HERE, "guest/init"), os.path.join(tree, "init"))
    copy_modules(modules_dir, tree, release)
    pack(tree, os.path.join(work, "base.img"))
    # The second archive must begin at a multiple of four.
    with open(os.path.join(work, "base.img"), "ab") as file:
        file.write(b"\0" * (-file.tell() % 4))
    with open(os.path.join(work, "files.txt"), "w") as file:
        for folder, _, names in os.walk(tree):
            for name in names:
                file.write(os.path.join(folder, name)[len(tree):] + "\n")
    os.makedirs(os.path.join(work, "modules"))
    shutil.move(os.path.join(tree, "usr/lib/modules", release), os.path.join(work, "modules", release))
    shutil.rmtree(tree)


def append_overlay(base, release, overlay, image):
    """Writes `image`: the base and then the overlay folder.

    Modules that lie in the overlay's ko/ become loadable by name.
    """
    fresh = os.path.join(overlay, "ko")
    if os.path.isdir(fresh):
        lab = os.path.join(overlay, "depmod/lib/modules", release)
        shutil.rmtree(os.path.join(overlay, "depmod"), ignore_errors=True)
        shutil.copytree(os.path.join(base, "modules", release), lab, symlinks=True)
        updates = os.path.join(lab, "updates")
        os.makedirs(updates)
        for name in os.listdir(fresh):
            run("strip", "--strip-debug", "-o", os.path.join(updates, name), os.path.join(fresh, name))
        run("depmod", "-b", os.path.join(overlay, "depmod"), release)
        target = os.path.join(overlay, "usr/lib/modules", release)
        os.makedirs(target)
        shutil.move(updates, target)
        for name in os.listdir(lab):
            if name.startswith("modules."):
                shutil.copy2(os.path.join(lab, name), target)
        shutil.rmtree(os.path.join(overlay, "depmod"))
        shutil.rmtree(fresh)
    with open(os.path.join(base, "files.txt")) as file:
        copy_libraries_of(overlay, set(file.read().split("\n")))
    pack(overlay, image + ".overlay")
    with open(image, "wb") as out:
        for part in (os.path.join(base, "base.img"), image + ".overlay"):
            with open(part, "rb") as file:
                shutil.copyfileobj(file, out)
    os.unlink(image + ".overlay")


if __name__ == "__main__":
    if len(sys.argv) != 5 or sys.argv[1] != "base":
        sys.exit(__doc__)
    print(make_base(*sys.argv[2:]))
