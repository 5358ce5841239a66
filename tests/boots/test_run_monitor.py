"""A guest of the monitor on a terminal, kept in a folder, and gone on with from there."""

from __future__ import annotations

import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from boots.bare_guests import build_guest
from timehands.errors import KvmUnavailable
from timehands.kvm import Kvm

pytestmark = pytest.mark.boot

PATIENCE_S = 120.0
#: Says that it waits, takes a byte, says what it is, and ends the machine.
ASK = """
    put_text("waiting\\n");
    while (!(inb(0x3fd) & 1))
        ;
    char said[] = {(char)inb(0x3f8), '\\n', 0};
    put_text(said);
    bare_end();
"""


@pytest.fixture(autouse=True)
def kvm() -> None:
    """The host's KVM can be opened; or a skip that says what is wrong with it."""
    try:
        Kvm().close()
    except KvmUnavailable as error:
        pytest.skip(error.message)


@contextmanager
def started(*words: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    """The command, with pipes for its streams. It is ended when it is left."""
    command = [sys.executable, "-m", "timehands", *map(str, words)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0) as process:
        try:
            yield process
        finally:
            process.kill()


def hear(process: subprocess.Popen[bytes], last: bytes) -> None:
    """What the guest says up to there. Before it has set up its line, what is typed is lost."""
    assert process.stdout is not None
    said = b""
    while not said.endswith(last):
        readable, _, _ = select.select([process.stdout], [], [], PATIENCE_S)
        byte = process.stdout.read(1) if readable else b""
        assert byte, said
        said += byte


def test_what_is_typed_goes_to_the_guest_and_what_it_says_comes_back(tmp_path: Path) -> None:
    guest = build_guest(tmp_path, ASK)
    with started("run", guest, "--machine", "monitor", "--memory", "32") as process:
        hear(process, b"waiting")
        out, errors = process.communicate(b"y", PATIENCE_S)
    assert out.replace(b"\r", b"") == b"\ny\n"
    assert errors.startswith(b"the guest ended by guest-reset: triple fault")
    assert process.returncode == 0


def test_a_snapshot_can_be_gone_on_with_more_than_once(tmp_path: Path) -> None:
    """It is taken a second after the start: then the guest has long set up its line."""
    guest, folder = build_guest(tmp_path, ASK), tmp_path / "kept"
    words = ("run", guest, "--machine", "monitor", "--memory", "32", "--snapshot-after", "1")
    with started(*words, folder) as process:
        hear(process, b"waiting")
        assert process.stderr is not None
        process.stderr.readline()  # an empty one: the guest's may not be at its end
        assert process.stderr.readline().strip() == b"the guest as it is now is kept in %s" % (
            bytes(folder)
        )
        out, _ = process.communicate(b"1", PATIENCE_S)
    assert out.replace(b"\r", b"").endswith(b"1\n")
    for byte in (b"2", b"3"):
        with started("restore", folder) as process:
            out, _ = process.communicate(byte, PATIENCE_S)
        assert out.replace(b"\r", b"").endswith(byte + b"\n")
        assert process.returncode == 0


def test_a_machine_that_this_cannot_be_is_an_error_not_a_trace(tmp_path: Path) -> None:
    guest = build_guest(tmp_path, ASK)
    words = ("run", guest, "--machine", "monitor", "--clock", "pvclock=perhaps")
    with started(*words) as process:
        out, errors = process.communicate(b"", PATIENCE_S)
    assert (out, process.returncode) == (b"", 2)
    assert errors.startswith(b"timehands: 'pvclock=perhaps': it is one of kvm, ours, none")
