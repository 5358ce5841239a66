"""Every symbol that we read from a kernel file is one that the booted kernel shows, and the other
way round. The kernel under test is TIMEHANDS_LINUX_KERNEL, or the sample that set-up unpacked."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from kernels.proc_kallsyms import differences, parse
from timehands.kernels.kernel import Kernel

INIT = r"""
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <unistd.h>

static char text[1 << 16];

static void put(const char *from, long size)
{
    for (long sent; size > 0 && (sent = write(1, from, size)) > 0; size -= sent)
        from += sent;
}

int main(void)
{
    mkdir("/proc", 0755);
    mount("proc", "/proc", "proc", 0, 0);
    int file = open("/proc/sys/kernel/printk", O_WRONLY);
    if (file >= 0 && write(file, "0", 1) == 1)
        close(file);
    file = open("/proc/kallsyms", O_RDONLY);
    put("\n<<<\n", 5);
    for (long size; (size = read(file, text, sizeof text)) > 0;)
        put(text, size);
    put(">>>\n", 4);
    reboot(RB_AUTOBOOT);
    return 0;
}
"""


def _sample_kernel() -> Path:
    named = os.environ.get("TIMEHANDS_LINUX_KERNEL")
    if named:
        return Path(named)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    found = sorted((cache / "timehands" / "sample").glob("**/boot/vmlinuz-*"))
    if not found:
        pytest.skip("no sample Linux kernel: run ./demo, or set TIMEHANDS_LINUX_KERNEL")
    return found[-1]


def _need(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not installed")
    return path


def _initrd(folder: Path) -> Path:
    source = folder / "init.c"
    source.write_text(INIT)
    build = [_need("gcc"), "-static", "-O1", "-o", "init", "init.c"]
    subprocess.run(build, cwd=folder, check=True, timeout=60)
    archive = folder / "initrd"
    archive.write_bytes(_cpio("init", (folder / "init").read_bytes(), 0o100755))
    return archive


def _cpio(name: str, content: bytes, mode: int) -> bytes:
    """An archive of one file (cpio -H newc)."""

    def entry(name: str, content: bytes, mode: int) -> bytes:
        fields = [1, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0]
        head = b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
        head += bytes(-len(head) % 4)
        return head + content + bytes(-len(content) % 4)

    return entry(name, content, mode) + entry("TRAILER!!!", b"", 0)


def _boot(kernel: Path, initrd: Path, console: Path) -> str:
    command = [_need("qemu-system-x86_64"), "-M", "microvm,acpi=off,rtc=on", "-accel", "tcg"]
    command += ["-cpu", "max", "-m", "512", "-nodefaults", "-no-user-config", "-display", "none"]
    command += ["-no-reboot", "-serial", f"file:{console}", "-kernel", str(kernel)]
    command += ["-initrd", str(initrd)]
    command += ["-append", "console=ttyS0 nokaslr quiet reboot=t panic=-1 kptr_restrict=0"]
    subprocess.run(command, check=True, timeout=150, stdin=subprocess.DEVNULL)
    return console.read_text("latin-1").replace("\r", "")


@pytest.mark.boot
def test_symbols_are_those_of_the_booted_kernel(tmp_path: Path) -> None:
    kernel = Kernel.open(_sample_kernel(), cache=False)
    if kernel.pvh_entry is None:
        pytest.skip("the kernel has no PVH entry")
    console = _boot(kernel.elf_path(tmp_path), _initrd(tmp_path), tmp_path / "console")
    assert "<<<\n" in console and ">>>\n" in console, console[-2000:]
    proc = parse(console.partition("<<<\n")[2].partition(">>>\n")[0])
    assert len(proc) > 10_000
    assert differences(kernel.symbols, proc) == ([], [])
