"""Memory of a QEMU by its monitor: pages that change, monitors that refuse, lie or say nothing."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clocks.pvclock.golden import KVM_RECORDS
from timehands.cli import pvclock_qmp
from timehands.cli.main import main
from timehands.errors import MachineError

PAGE, NEXT = KVM_RECORDS[0].build(), KVM_RECORDS[1].build()
TORN = b"\3" + NEXT[1:]


def xp(data: bytes, address: int = 0x1000) -> str:
    """As QEMU's monitor prints memory by bytes."""
    return "".join(
        f"{address + at:016x}: {' '.join(f'0x{byte:02x}' for byte in data[at : at + 8])}\r\n"
        for at in range(0, len(data), 8)
    )


class Monitor:
    """A QMP server for one client; ``answers`` in turn to the monitor's commands, the last on."""

    def __init__(self, path: Path, answers: list[str]) -> None:
        self.commands: list[str] = []
        self._answers = answers
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(1)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # the client is gone, or never came
            client, _ = self._listener.accept()
            with client:
                self._talk(client)

    def _talk(self, client: socket.socket) -> None:
        version = {"qemu": {"major": 10, "minor": 0, "micro": 2}, "package": ""}
        self._say(client, {"QMP": {"version": version, "capabilities": []}})
        waiting = ""
        while data := client.recv(1 << 16):  # requests do not end in newlines
            waiting += data.decode()
            with contextlib.suppress(json.JSONDecodeError):
                request, end = json.JSONDecoder().raw_decode(waiting)
                waiting = waiting[end:].lstrip()
                answer = self._answer(request)
                if answer is None:
                    return
                known = {"id": request["id"]} if "id" in request else {}
                self._say(client, {"return": answer, **known})

    def _answer(self, request: dict[str, object]) -> object:
        if request["execute"] == "qmp_capabilities":
            return {}
        arguments = request["arguments"]
        assert isinstance(arguments, dict)
        self.commands.append(arguments["command-line"])
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return None if answer == "die" else answer

    @staticmethod
    def _say(client: socket.socket, message: object) -> None:
        client.sendall(json.dumps(message).encode() + b"\n")

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


@pytest.fixture
def monitor(tmp_path: Path) -> Iterator[Callable[..., tuple[str, Monitor]]]:
    started: list[Monitor] = []

    def start(*answers: str) -> tuple[str, Monitor]:
        path = tmp_path / "qmp"
        started.append(Monitor(path, list(answers)))
        return str(path), started[-1]

    yield start
    for one in started:
        one.close()


def test_a_page(
    monitor: Callable[..., tuple[str, Monitor]], capsys: pytest.CaptureFixture[str]
) -> None:
    path, server = monitor(xp(PAGE))
    assert main(["pvclock", "decode", "--qmp", path, "--address", "0x1001", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["time_info"]["hex"] == PAGE.hex()
    assert data["source"] == f"{path} at 0x1000"
    assert set(server.commands) == {"xp /32bx 0x1000"}


@pytest.mark.parametrize(
    ("reads", "expected"),
    [
        ([PAGE, PAGE], PAGE),
        ([PAGE, TORN, NEXT, NEXT], NEXT),
        ([TORN, TORN, TORN, NEXT, NEXT], NEXT),
        ([PAGE, NEXT, NEXT], NEXT),
        ([TORN], TORN),
    ],
)
def test_a_page_that_is_written_meanwhile_is_read_again(
    reads: list[bytes], expected: bytes, monitor: Callable[..., tuple[str, Monitor]]
) -> None:
    path, server = monitor(*(xp(data) for data in reads))
    assert pvclock_qmp.read_page(path, 0x1000, 32) == expected
    assert len(server.commands) <= pvclock_qmp.TRIES + 1


@pytest.mark.parametrize("answer", ["Cannot access memory\r\n", "", xp(PAGE[:16]), "0x00: zz"])
def test_memory_that_is_not_shown(answer: str, monitor: Callable[..., tuple[str, Monitor]]) -> None:
    path, _ = monitor(answer)
    with pytest.raises(MachineError, match="QEMU shows no 32 bytes at guest physical 0x1000"):
        pvclock_qmp.read_page(path, 0x1000, 32)


def test_a_qemu_that_dies(monitor: Callable[..., tuple[str, Monitor]]) -> None:
    path, _ = monitor(xp(PAGE), "die")
    with pytest.raises(MachineError, match="no memory by QMP"):
        pvclock_qmp.read_page(path, 0x1000, 32)


def test_a_socket_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="no memory by QMP") as caught:
        pvclock_qmp.read_page(str(tmp_path / "none"), 0x1000, 32)
    assert "-qmp unix:" in str(caught.value)


def test_a_server_that_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pvclock_qmp, "ANSWER_SECONDS", 0.1)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "qmp"))
        listener.listen(1)
        with pytest.raises(MachineError, match="did not answer in time"):
            pvclock_qmp.read_page(str(tmp_path / "qmp"), 0x1000, 32)
