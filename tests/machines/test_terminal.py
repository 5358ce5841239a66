"""A machine on a terminal: its command, its end."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from timehands.errors import QemuFailed
from timehands.machines.machine import Load, Machine
from timehands.machines.qemu import Wiring, command_line, terminal_command
from timehands.machines.terminal import run_on_terminal

LOAD = Load(Path("/k"), ("console=com",))


def test_the_console_is_this_terminal() -> None:
    words = terminal_command("qemu", Machine(), LOAD)
    assert words[words.index("-serial") + 1] == "mon:stdio"
    assert "-no-reboot" in words
    assert "-S" not in words
    assert "-gdb" not in words
    assert "-sandbox" not in terminal_command("qemu", Machine(), LOAD, sandbox=False)


def test_a_guest_for_gdb_waits_at_the_place_that_is_told() -> None:
    words = terminal_command("qemu", Machine(), LOAD, gdb="tcp:127.0.0.1:1234")
    assert words[-3:] == ("-S", "-gdb", "tcp:127.0.0.1:1234,server=on,wait=off")


def test_time_does_not_jump_at_a_stop_of_a_deterministic_machine() -> None:
    def icount(words: tuple[str, ...]) -> str:
        return words[words.index("-icount") + 1]

    machine = Machine(deterministic=True)
    assert "sleep=off" in icount(command_line("qemu", machine, LOAD, Wiring(3, 4)))
    assert "sleep=on" in icount(command_line("qemu", machine, LOAD, Wiring(3, 4, gdb_fd=5)))
    assert "sleep=off" in icount(terminal_command("qemu", machine, LOAD))
    assert "sleep=on" in icount(terminal_command("qemu", machine, LOAD, gdb="tcp::1"))


def test_the_exit_status_is_the_program_s() -> None:
    assert run_on_terminal((sys.executable, "-c", "raise SystemExit(7)")) == 7
    killed = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    assert run_on_terminal((sys.executable, "-c", killed)) == 128 + 9


def test_sockets_that_it_makes_are_for_their_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    made = f"import socket; socket.socket(socket.AF_UNIX).bind({str(path)!r})"
    assert run_on_terminal((sys.executable, "-c", made)) == 0
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_program_that_is_not_there_is_said_so() -> None:
    with pytest.raises(QemuFailed, match="no-such-program"):
        run_on_terminal(("/no-such-program",))
