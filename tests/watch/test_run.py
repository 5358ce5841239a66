"""Running a guest to its end, with stand-ins for QEMU that behave badly."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import pytest

from timehands.errors import QemuFailed
from timehands.machines.vmm import QemuVmm
from timehands.watch.plan import Plan
from timehands.watch.recorder import Recorder
from timehands.watch.recording import Recording
from timehands.watch.run import Limits, run
from watch.stream import header

#: Speaks QMP on the socket that it is given, and does `body` when the guest is let go.
STAND_IN = """#!{python}
import json, os, signal, socket, sys, time
words = sys.argv[1:]
chardevs = [words[i + 1] for i, word in enumerate(words) if word == "-chardev"]
qmp = socket.socket(fileno=int(chardevs[0].rpartition("=")[2]))
console = os.open(chardevs[1].rpartition("=")[2], os.O_WRONLY)
{before}
def tell(message):
    qmp.sendall(json.dumps(message).encode() + b"\\r\\n")
def event(name, **data):
    tell({{"event": name, "data": data, "timestamp": {{"seconds": 1, "microseconds": 0}}}})
tell({{"QMP": {{"version": {{"qemu": {{"major": 10, "minor": 0, "micro": 0}}, "package": ""}},
      "capabilities": []}}}})
waiting = ""
while part := qmp.recv(4096).decode():
    waiting += part
    try:
        asked = json.loads(waiting)  # a question follows only upon an answer
    except ValueError:
        continue
    waiting = ""
    tell({{"return": {{}}}} | {{key: asked[key] for key in asked if key == "id"}})
    if asked["execute"] == "quit":
        break
    if asked["execute"] == "cont":
        {body}
"""


def stand_in(folder: Path, body: str = "pass", before: str = "") -> str:
    path = folder / "qemu"
    path.write_text(STAND_IN.format(python=sys.executable, body=body, before=before))
    path.chmod(0o755)
    return str(path)


def recorded(folder: Path, qemu: str, limits: Limits | None = None) -> Recording:
    async def boot() -> None:
        recorder = Recorder(folder / "r", header(), Plan())
        await run(QemuVmm(qemu), recorder, None, limits or Limits(timeout_s=20))

    asyncio.run(boot())
    return Recording.open(folder / "r")


def test_a_shutdown_ends_it_with_qemus_word_and_times_in_order(tmp_path: Path) -> None:
    before = time.monotonic_ns()
    body = "event('SHUTDOWN', guest=True, reason='guest-shutdown')"
    made = recorded(tmp_path, stand_in(tmp_path, body)).header
    assert made.ended_reason == "guest-shutdown"
    assert made.exit_status == 0
    assert made.ended_ns is not None
    times = [before, made.started_ns, made.ready_ns, made.resumed_ns, made.ended_ns]
    assert times == sorted(times)
    assert made.qemu_cpu_ns is not None
    assert made.qemu_cpu_ns > 0


def test_one_that_refuses_is_told_in_its_own_words(tmp_path: Path) -> None:
    qemu = stand_in(tmp_path, before='sys.exit("no such machine")')
    with pytest.raises(QemuFailed, match="no such machine") as caught:
        recorded(tmp_path, qemu)
    assert caught.value.command[0] == qemu
    assert Recording.open(tmp_path / "r").header.ended_reason == "interrupted"


@pytest.mark.parametrize(
    "greeting", ["b'no JSON\\r\\n'", "b'{}\\r\\n'", "b'[' * 100000 + b'\\r\\n'", "b'\\xff\\x00\\n'"]
)
def test_one_that_speaks_no_qmp_is_refused(tmp_path: Path, greeting: str) -> None:
    qemu = stand_in(tmp_path, before=f"qmp.sendall({greeting}); time.sleep(30)")
    with pytest.raises(QemuFailed, match="did not start"):
        recorded(tmp_path, qemu)


def test_one_that_dies_is_lost_with_its_last_words(tmp_path: Path) -> None:
    body = "os.write(2, b'assertion failed'); os.kill(os.getpid(), signal.SIGABRT)"
    made = recorded(tmp_path, stand_in(tmp_path, body)).header
    assert (made.ended_reason, made.exit_status) == ("lost", -6)
    assert made.stderr == "assertion failed"


def test_a_flood_of_last_words_is_kept_to_a_bound(tmp_path: Path) -> None:
    body = "os.write(2, b'x' * 1000000); sys.exit(1)"
    made = recorded(tmp_path, stand_in(tmp_path, body)).header
    assert made.ended_reason == "lost"
    assert len(made.stderr) == 64 << 10


def test_one_that_does_not_quit_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("timehands.machines.guest.QUIT_SECONDS", 0.3)
    monkeypatch.setattr("timehands.machines.guest.ANSWER_SECONDS", 0.3)
    body = "event('SHUTDOWN', guest=True, reason='guest-reset'); time.sleep(60)"
    begun = time.monotonic()
    made = recorded(tmp_path, stand_in(tmp_path, body)).header
    assert (made.ended_reason, made.exit_status) == ("guest-reset", -9)
    assert time.monotonic() - begun < 10


def test_a_silent_one_ends_when_the_time_is_over(tmp_path: Path) -> None:
    limits = Limits(timeout_s=0.5, quiet_s=0.1)
    assert recorded(tmp_path, stand_in(tmp_path), limits).header.ended_reason == "timeout"


def test_a_line_can_end_it_at_once(tmp_path: Path) -> None:
    body = "os.write(console, b'one\\ntwo\\nenough\\nmore')"
    made = recorded(
        tmp_path, stand_in(tmp_path, body), Limits(20, stop_at_line=lambda text: text == "enough")
    )
    assert made.header.ended_reason == "boundary"
    assert [line.text for line in made.console] == ["one", "two", "enough", "more"]


def test_events_of_any_shape_are_kept_or_ignored(tmp_path: Path) -> None:
    body = (
        "tell({'event': 'ODD', 'timestamp': {'seconds': 1, 'microseconds': 0}});"
        "tell({'event': 'ODD', 'data': [1], 'timestamp': {'seconds': 1, 'microseconds': 0}});"
        "event('SHUTDOWN', reason='guest-reset')"
    )
    made = recorded(tmp_path, stand_in(tmp_path, body))
    assert made.header.ended_reason == "guest-reset"
    assert [event.name for event in made.machine_events] == ["ODD", "ODD", "SHUTDOWN"]
