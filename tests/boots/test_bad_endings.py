"""The command `timehands boot` that is interrupted, killed, or has no room to write.

In each case: no process is left behind, no traceback is printed, what was recorded opens.
"""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from boots.bare_guests import build_guest, plugin_qemu, processes_with, sample_kernel, wait_until
from timehands.watch.recording import Recording

pytestmark = pytest.mark.boot


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "timehands", *map(str, words)]


def started(*words: object, **options: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
    )  # type: ignore[call-overload, no-any-return]


def run(*words: object, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*words), capture_output=True, text=True, timeout=60, check=False, **options
    )  # type: ignore[call-overload, no-any-return]


@pytest.fixture
def own_cache(tmp_path: Path) -> dict[str, str]:
    """An environment whose cache is below the test's folder, so that its processes show it.

    What takes long to make is taken over from the real cache.
    """
    real = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "timehands"
    cache = tmp_path / "cache" / "timehands"
    cache.mkdir(parents=True)
    for name in ("kernels", "qemu", "payloads"):
        if (real / name).is_dir():
            subprocess.run(["cp", "-a", real / name, cache], check=True)
    return {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}


def opens(folder: Path) -> None:
    """Whatever there is of a recording can be shown; without any, that is said."""
    done = run("report", folder)
    assert "Traceback" not in done.stderr
    if (folder / "recording.json").exists():
        assert done.returncode in (0, 1), done.stderr
        assert "Kernel" in done.stdout
    else:
        assert done.returncode == 2


SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.mark.parametrize("attempt", range(9))
def test_a_signal_at_any_moment_leaves_nothing_behind(
    tmp_path: Path, own_cache: dict[str, str], attempt: int
) -> None:
    plugin_qemu()
    number = SIGNALS[attempt % 3]
    folder = tmp_path / "r"
    process = started("boot", sample_kernel(), "--record", folder, env=own_cache)
    time.sleep(random.uniform(0.3, 3.5))
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    text = errors.decode()
    assert "Traceback" not in text
    assert "never retrieved" not in text
    # A signal ends Python itself before we take it, and SIGINT while it runs exec() for an import.
    assert process.returncode in (130, 0, -number), text
    assert wait_until(lambda: not processes_with(str(tmp_path)))
    opens(folder)


@pytest.mark.parametrize("survey", [True, False])
def test_a_kill_takes_the_guest_along(
    tmp_path: Path, own_cache: dict[str, str], survey: bool
) -> None:
    plugin_qemu()
    kernel = build_guest(tmp_path, "for (;;) ;")
    folder = tmp_path / "r"
    words = ("--cpu", "max") if survey else ("--no-survey",)
    process = started("boot", kernel, "--record", folder, *words, env=own_cache)

    def guests() -> list[int]:
        return [p for p in processes_with(str(tmp_path)) if p != process.pid]

    assert wait_until(guests)
    process.kill()
    process.communicate()
    assert wait_until(lambda: not guests())
    opens(folder)


def test_a_closed_terminal_ends_it_quietly(tmp_path: Path, own_cache: dict[str, str]) -> None:
    plugin_qemu()
    kernel = build_guest(tmp_path, "for (;;) ;")
    read, write = os.pipe()
    process = subprocess.Popen(
        command("boot", kernel, "--record", tmp_path / "r"),
        stdout=write, stderr=write, env=own_cache,
    )  # fmt: skip
    os.close(write)
    assert wait_until(lambda: len(processes_with(str(tmp_path))) > 1)
    os.close(read)
    process.send_signal(signal.SIGHUP)
    assert process.wait(20) == 130
    assert wait_until(lambda: not processes_with(str(tmp_path)))


FLOOD = 'for (;;) put_text("some line or other that fills the disk up\\r\\n");'


def test_a_file_size_limit_is_a_clear_error_and_the_recording_opens(
    tmp_path: Path, own_cache: dict[str, str]
) -> None:
    plugin_qemu()
    kernel = build_guest(tmp_path, FLOOD)
    folder = tmp_path / "r"

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (128 << 10, 128 << 10))

    done = run("boot", kernel, "--record", folder, "--no-survey", env=own_cache, preexec_fn=limit)
    assert done.returncode == 2
    assert "cannot be written: File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert not processes_with(str(tmp_path))
    opens(folder)
    assert len(Recording.open(folder).console) > 1000


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "none", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no tmpfs can be mounted: {mounted.stderr.decode().strip()}")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def test_a_full_disk_is_a_clear_error_and_the_recording_opens(
    tmp_path: Path, own_cache: dict[str, str], tiny_disk: Path
) -> None:
    plugin_qemu()
    kernel = build_guest(tmp_path, FLOOD)
    folder = tiny_disk / "r"
    done = run("boot", kernel, "--record", folder, "--no-survey", env=own_cache)
    assert done.returncode == 2
    assert "cannot be written: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert not processes_with(str(tmp_path))
    opens(folder)
    assert len(Recording.open(folder).console) > 1000


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("/nonexistent/qemu", "there is no program"),
        ("/bin/true", "does not answer as QEMU does"),
        ("/bin/cat", "does not answer as QEMU does"),
    ],
)
def test_without_a_qemu_it_says_how_to_get_one(tmp_path: Path, program: str, words: str) -> None:
    kernel = build_guest(tmp_path, "bare_end();")
    done = run("boot", kernel, "--qemu", program)
    assert done.returncode == 2
    assert words in done.stderr
    assert "To mend it: " in done.stderr


def test_a_qemu_that_may_not_be_executed_is_missing(tmp_path: Path) -> None:
    kernel = build_guest(tmp_path, "bare_end();")
    program = tmp_path / "qemu-system-x86_64"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o644)
    done = run("boot", kernel, "--qemu", program)
    assert (done.returncode, "there is no program" in done.stderr) == (2, True)


def test_a_qemu_without_plugins_is_told_apart(tmp_path: Path) -> None:
    """A script that hands everything on to QEMU is no ELF file that exports plugin functions."""
    kernel = build_guest(tmp_path, "bare_end();")
    program = tmp_path / "qemu-system-x86_64"
    program.write_text(f'#!/bin/sh\nexec {plugin_qemu()} "$@"\n')
    program.chmod(0o755)
    done = run("boot", kernel, "--qemu", program)
    assert done.returncode == 2
    assert "has no TCG plugins" in done.stderr
    assert "To mend it: " in done.stderr
    unwatched = run("boot", kernel, "--qemu", program, "--no-watch", "--record", tmp_path / "r")
    assert unwatched.returncode == 1
    assert Recording.open(tmp_path / "r").header.ended_reason == "guest-reset"


@pytest.mark.parametrize(
    ("script", "words"),
    [("echo no room for it >&2; exit 1", "no room for it"), ("exit 0", "could not build")],
)
def test_a_compiler_that_fails_is_told_with_its_words(
    tmp_path: Path, script: str, words: str
) -> None:
    kernel = build_guest(tmp_path, "bare_end();")
    compiler = tmp_path / "cc"
    compiler.write_text(f"#!/bin/sh\n{script}\n")
    compiler.chmod(0o755)
    environment = {**os.environ, "CC": str(compiler), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = run("boot", kernel, env=environment)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    kernel = build_guest(tmp_path, "bare_end();")
    plugin_qemu()
    (tmp_path / "file").write_text("")
    environment = {
        **os.environ,
        "XDG_CACHE_HOME": str(tmp_path / "file"),
        "TMPDIR": str(tmp_path),
    }
    done = run("boot", kernel, "--record", tmp_path / "r", env=environment)
    assert done.returncode == 1, done.stderr
    assert Recording.open(tmp_path / "r").header.ended_reason == "guest-reset"
