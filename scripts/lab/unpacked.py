# SPDX-License-Identifier: GPL-2.0
"""The kernel inside a bzImage, for vm.py: an emulated CPU takes seconds to unpack it, at every boot.

QEMU boots the unpacked kernel by its PVH entry. What has none, or is packed in another way than
Debian packs, stays a bzImage. Offsets are those of the kernel's Documentation/arch/x86/boot.rst.
"""

import os
import struct
import subprocess

UNPACK = {b"\x28\xb5\x2f\xfd": ["zstd", "-dcq"], b"\x1f\x8b\x08\x00": ["gzip", "-dcq"]}
# ELF notes: length of the name, of the value (an address), XEN_ELFNOTE_PHYS32_ENTRY, the name.
PVH_ENTRY = [struct.pack("<3I4s", 4, size, 18, b"Xen\0") for size in (4, 8)]


def unpacked(kernel, folder, release):
    """The path of what is in `kernel`, a bzImage, kept in `folder`; or `kernel` itself.

    The caller holds a lock; an image of another time or size is unpacked anew.
    """
    about = os.stat(kernel)
    path = f"{folder}/{release}-{about.st_size}-{about.st_mtime_ns}"
    if not os.path.exists(path):
        os.makedirs(folder, exist_ok=True)
        for name in os.listdir(folder):
            if name.rsplit("-", 2)[0] == release:
                os.unlink(f"{folder}/{name}")
        with open(kernel, "rb") as file:
            image = unpack(file.read())
        # Empty says that it is of no use.
        with open(f"{folder}/{release}.new", "wb") as file:
            file.write(image)
        os.rename(file.name, path)
    return path if os.path.getsize(path) else kernel


def unpack(packed):
    """The ELF in a bzImage; nothing if QEMU could not boot it."""
    if packed[0x202:0x206] != b"HdrS":
        return b""
    offset, length = struct.unpack_from("<2I", packed, 0x248)
    start = (packed[0x1F1] + 1) * 512 + offset
    # Its last four bytes are the size.
    payload = packed[start : start + length - 4]
    command = UNPACK.get(payload[:4])
    if not command:
        return b""
    done = subprocess.run(command, input=payload, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    fits = done.returncode == 0 and done.stdout[:4] == b"\x7fELF" and any(n in done.stdout for n in PVH_ENTRY)
    return done.stdout if fits else b""
